"""The editors that `sm-proxy vscode` can open: programs, application bundles, settings folders.

Sources: each project's product.json (applicationName, nameLong, dataFolderName) and installer. VS
Code's documentation gives the place of the settings; the product's name is part of it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError


@dataclass(frozen=True)
class Editor:
    """An editor of the VS Code family.

    Attributes:
        name: the program's name.
        title: the name of the macOS bundle, and what people call it.
        folder: the name of the settings folder.
        aliases: other names of the program.
        bundled: the program's name inside the macOS bundle, if it differs.
        windows: the folder of the Windows installer, if it is not `title`.
    """

    name: str
    title: str
    folder: str
    aliases: tuple[str, ...] = ()
    bundled: str = ""
    windows: str = ""


EDITORS: Final = (
    Editor("code", "Visual Studio Code", "Code", windows="Microsoft VS Code"),
    Editor("cursor", "Cursor", "Cursor", windows="cursor/resources/app"),
    Editor("windsurf", "Windsurf", "Windsurf"),
    Editor("codium", "VSCodium", "VSCodium", aliases=("vscodium",)),
    Editor(
        "code-insiders",
        "Visual Studio Code - Insiders",
        "Code - Insiders",
        bundled="code",
        windows="Microsoft VS Code Insiders",
    ),
    Editor("positron", "Positron", "Positron"),
)
NAMES: Final = tuple(name for editor in EDITORS for name in (editor.name, *editor.aliases))


def by_name(name: str) -> Editor:
    """The editor with this program name, one of `NAMES`."""
    return next(editor for editor in EDITORS if name in (editor.name, *editor.aliases))


def find_installed(editors: Iterable[Editor] = EDITORS) -> tuple[Editor, str]:
    """The first editor that is installed, and the path of its program.

    Raises:
        SmProxyError: `unsupported`, no editor is installed.
    """
    wanted = list(editors)
    for editor in wanted:
        if program := program_of(editor):
            return editor, program
    names = ", ".join(editor.name for editor in wanted)
    raise SmProxyError(
        "unsupported",
        f"no editor found on this machine: looked for {names}",
        "Install one with its Remote-SSH extension and its shell command, or run "
        "`Remote-SSH: Connect to Host...` in the editor's own window.",
    )


def program_of(editor: Editor) -> str | None:
    """The path of an editor's program: on PATH, else where its installer puts it."""
    for name in (editor.name, *editor.aliases):
        if on_path := shutil.which(name):
            return on_path
    return next((str(path) for path in _installed(editor) if path.is_file()), None)


def _installed(editor: Editor) -> list[Path]:
    if sys.platform == "darwin":
        inside = Path(f"{editor.title}.app/Contents/Resources/app/bin")
        folders = (Path("/Applications"), Path.home() / "Applications")
        return [folder / inside / (editor.bundled or editor.name) for folder in folders]
    if sys.platform == "win32":
        places = [
            (os.environ.get("LOCALAPPDATA"), "Programs"),
            (os.environ.get("PROGRAMFILES"), ""),
        ]
        folder = editor.windows or editor.title
        return [
            Path(root, below, folder, "bin", f"{editor.name}.cmd") for root, below in places if root
        ]
    return []


def user_settings(editor: Editor) -> Path:
    """The path of the user's settings.json, which may not exist."""
    if portable := os.environ.get("VSCODE_PORTABLE"):
        return Path(portable) / "user-data" / "User" / "settings.json"
    return _data_root() / editor.folder / "User" / "settings.json"


def _data_root() -> Path:
    if override := os.environ.get("VSCODE_APPDATA"):
        return Path(override)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
