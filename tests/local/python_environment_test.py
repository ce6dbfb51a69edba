from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from sm_proxy.local import python_environment


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zip file with a first line, as zipapps and PEX files have, and our program loaded."""
    path = tmp_path / "sm-proxy.pyz"
    with path.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "a") as made:
            made.writestr("__main__.py", "")
    monkeypatch.setitem(sys.modules, "sm_proxy.__main__", sys)
    monkeypatch.setenv("PEX", str(path))  # as in a program that a PEX has started
    return path


def started(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", *words])
    return python_environment.archive()


def test_a_zipapp_is_the_first_word_after_pythons_options(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(app.parent)
    assert started(monkeypatch, "-I", app.name, "list") == str(app)


@pytest.mark.parametrize("script", ["", "pex"])
def test_a_pex_is_named_by_its_variable(
    script: str, app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    (unpacked / "PEX-INFO").touch()
    assert started(monkeypatch, "-I", str(unpacked / script), "list") == str(app)


@pytest.mark.parametrize("inside", ["unzipped_pexes/4/0a", "venvs/4/0a/0b/pex"])
def test_the_root_of_a_pex_is_where_it_runs(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "venvs" / "root" / inside
    folder = program.parent if program.name == "pex" else program
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "-I", str(program), "list"])
    assert python_environment.pex_root() == ""
    (folder / "PEX-INFO").touch()
    assert python_environment.pex_root() == str(tmp_path / "venvs" / "root")


def test_a_program_outside_an_archive_has_no_archive(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "sm-proxy"
    script.write_text("#!/usr/bin/python3\n")
    assert started(monkeypatch, str(script), "list", str(app)) == ""
    assert started(monkeypatch, "-I", "-m", "sm_proxy", "list") == ""
    assert started(monkeypatch, "-c", "import sm_proxy") == ""
    launcher = app.rename(tmp_path / "sm-proxy.exe")  # on Windows
    assert started(monkeypatch, str(launcher), "list") == ""


def test_another_programs_archive_is_not_ours(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sm_proxy.__main__")
    assert started(monkeypatch, str(app), "list") == ""
