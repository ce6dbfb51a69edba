from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from sm_proxy.editors import catalog
from sm_proxy.errors import SmProxyError

CODE = catalog.by_name("code")


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("XDG_CONFIG_HOME", "VSCODE_PORTABLE", "VSCODE_APPDATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "bin"


def test_the_first_editor_on_path_is_found(empty_path: Path) -> None:
    wanted = program(empty_path / "vscodium")
    assert catalog.find_installed() == (catalog.by_name("codium"), str(wanted))
    code = program(empty_path / "code")
    assert catalog.find_installed() == (CODE, str(code))


def test_no_editor_is_an_error() -> None:
    with pytest.raises(SmProxyError, match="code, cursor, windsurf") as caught:
        catalog.find_installed()
    assert caught.value.code == "unsupported"


def test_an_editor_is_found_in_its_macos_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    bundle = tmp_path / "Applications" / "Visual Studio Code - Insiders.app"
    wanted = program(bundle / "Contents" / "Resources" / "app" / "bin" / "code")
    assert catalog.program_of(catalog.by_name("code-insiders")) == str(wanted)


def test_an_editor_is_found_where_windows_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    wanted = program(tmp_path / "Programs" / "Microsoft VS Code" / "bin" / "code.cmd")
    assert catalog.program_of(CODE) == str(wanted)


@pytest.mark.parametrize(
    ("platform", "variables", "below"),
    [
        ("linux", {}, ".config/Code/User"),
        ("linux", {"XDG_CONFIG_HOME": "{home}/xdg"}, "xdg/Code/User"),
        ("linux", {"VSCODE_PORTABLE": "{home}/usb"}, "usb/user-data/User"),
        ("darwin", {}, "Library/Application Support/Code/User"),
        ("win32", {"APPDATA": "{home}/Roaming"}, "Roaming/Code/User"),
    ],
)
def test_each_platform_has_its_settings_folder(
    platform: str,
    variables: dict[str, str],
    below: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    assert catalog.user_settings(CODE) == tmp_path / below / "settings.json"
