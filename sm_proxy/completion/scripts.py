"""The shells' scripts, and where each of them goes on this machine.

A shell's own folder of completions is the place if the shell reads it. Else the script is in our
folder of settings, and one line in the shell's start-up file reads it.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from sm_proxy.local import paths

Shell = Literal["bash", "zsh", "fish"]
SHELLS: Final[tuple[Shell, ...]] = get_args(Shell)

_FILES: Final[dict[Shell, str]] = {"bash": "bash.sh", "zsh": "zsh.zsh", "fish": "fish.fish"}
_NAMES: Final[dict[Shell, str]] = {"bash": "sm-proxy", "zsh": "_sm-proxy", "fish": "sm-proxy.fish"}
"""The file names that the shells look for."""
_OURS: Final = b"# The completion of sm-proxy for "
_BASH_STARTS: Final = (
    *("~/.bashrc", "~/.bash_profile", "~/.profile", "/etc/bash.bashrc", "/etc/bashrc"),
)
_READS_BASH_COMPLETION: Final = re.compile(r"^[^#\n]*bash[_-]completion", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a script goes.

    Attributes:
        script: its file.
        startup: the start-up file that must read it; None if the shell finds it by itself.
    """

    script: Path
    startup: Path | None

    @property
    def line(self) -> str:
        """The command that reads the script, in bash and zsh."""
        path = shlex.quote(str(self.script))
        return f"[ ! -r {path} ] || . {path}"


def text(shell: Shell) -> str:
    """The script."""
    folder = importlib.resources.files("sm_proxy.completion") / "shell"
    return (folder / _FILES[shell]).read_text(encoding="utf-8").replace("\r\n", "\n")


def is_ours(content: bytes) -> bool:
    """Whether it is one of our scripts, of this version or another."""
    return _OURS in b"\n".join(content.split(b"\n", 2)[:2])


def login_shell() -> Shell | None:
    """The user's shell, by SHELL; None if it is another than these."""
    name = Path(os.environ.get("SHELL", "")).name
    return next((shell for shell in SHELLS if shell == name), None)


def place(shell: Shell) -> Place:
    """Where the script goes now.

    Raises:
        SmProxyError: `bad-setting`, there is no home folder.
    """
    if folder := _folder(shell):
        return Place(folder / _NAMES[shell], None)
    return Place(_own_script(shell), _startup(shell))


def places(shell: Shell) -> list[Place]:
    """Everywhere that a script may be, now or since an earlier installation.

    Raises:
        SmProxyError: as `place`.
    """
    finders = {"bash": _bash_folders, "zsh": _zsh_folders, "fish": _fish_folders}
    folders = [Place(folder / _NAMES[shell], None) for folder in finders[shell]()]
    return [*folders, Place(_own_script(shell), _startup(shell))]


def _own_script(shell: Shell) -> Path:
    return paths.config_dir().absolute() / f"completion.{shell}"


def _folder(shell: Shell) -> Path | None:
    """The folder of completions that the shell reads; None if it reads none of the user's."""
    if shell == "bash":
        return next(_bash_folders()) if _bash_completion_runs() else None
    if shell == "zsh":
        return next(filter(_writable, _zsh_folders()), None)
    return next(_fish_folders())


def _bash_folders() -> Iterator[Path]:
    """As bash-completion looks for them: BASH_COMPLETION_USER_DIR may be a list since 2.12."""
    for folder in filter(None, os.environ.get("BASH_COMPLETION_USER_DIR", "").split(":")):
        yield Path(folder).expanduser() / "completions"
    yield _xdg("DATA", ".local/share") / "bash-completion" / "completions"


def _zsh_folders() -> Iterator[Path]:
    """Folders of the user's in zsh's `fpath`, as far as the environment tells."""
    home = Path.home()
    for name in filter(None, os.environ.get("FPATH", "").split(":")):
        if Path(name).is_relative_to(home):
            yield Path(name)
    oh_my_zsh = Path(os.environ.get("ZSH") or home / ".oh-my-zsh")
    custom = Path(os.environ.get("ZSH_CUSTOM") or oh_my_zsh / "custom")
    if custom.is_dir():
        yield custom / "completions"  # Oh My Zsh puts it into fpath


def _fish_folders() -> Iterator[Path]:
    yield _xdg("CONFIG", ".config") / "fish" / "completions"


def _startup(shell: Shell) -> Path | None:
    home = Path.home()
    if shell == "zsh":
        return Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
    if shell == "bash":
        # Terminals of macOS start login shells.
        profile = home / ".bash_profile"
        return profile if sys.platform == "darwin" and profile.exists() else home / ".bashrc"
    return None


def _bash_completion_runs() -> bool:
    """Whether a start-up file of bash reads bash-completion: without it, its folder is not read."""
    names = map(os.path.expanduser, _BASH_STARTS)
    return any(_READS_BASH_COMPLETION.search(content) for content in _contents(map(Path, names)))


def _contents(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        if path.is_file():
            try:
                yield path.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue


def _writable(folder: Path) -> bool:
    return os.access(folder if folder.exists() else folder.parent, os.W_OK)


def _xdg(name: str, default: str) -> Path:
    given = Path(os.environ.get(f"XDG_{name}_HOME", ""))
    return given if given.is_absolute() else Path.home() / default
