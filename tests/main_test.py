"""Started by hand in an environment that is another Python's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sm_proxy
from sm_proxy.local.python_environment import misleading

PACKAGE = Path(sm_proxy.__file__).parent
MODULES = ("argparse", "json", "logging", "queue", "random", "socket", "subprocess", "types")
FOREIGN = {
    "PYTHONPATH": "{evil}",
    "PYTHONHOME": "/nowhere",
    "PYTHONPLATLIBDIR": "nowhere",
    "PYTHONUSERBASE": "{evil}",
    "PYTHONSTARTUP": "{evil}/types.py",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONINSPECT": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONNOUSERSITE": "1",
    "VIRTUAL_ENV": "/nowhere",
}


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A folder of modules that no Python can do with."""
    folder = tmp_path / "evil"
    folder.mkdir()
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} of somebody else')\n")
    return folder


def started(words: list[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=cwd, env={**os.environ, **variables}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_isolated_python_heeds_no_variable(name: str, evil: Path) -> None:
    """As the ProxyCommand starts it."""
    value = FOREIGN[name].format(evil=evil)
    for program in (["-m", "sm_proxy"], [str(PACKAGE / "__main__.py")]):
        done = started([sys.executable, "-I", *program, "resolve", "x"], evil, **{name: value})
        assert done.stderr.startswith("sm-proxy: bad-name: "), done.stderr
        assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("name", ["PYTHONPATH", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONDEVMODE"])
def test_typed_by_hand_it_starts_itself_again(name: str, evil: Path, tmp_path: Path) -> None:
    """Where Python itself gets that far: `types` it needs before us."""
    (evil / "types.py").unlink()
    value = FOREIGN[name].format(evil=evil)
    script = tmp_path / "sm-proxy"
    script.write_text("import sys\nfrom sm_proxy.__main__ import main\nsys.exit(main())\n")
    for program in (["-m", "sm_proxy"], [str(script)]):
        words = [sys.executable, *program, "resolve", "x"]
        done = started(words, tmp_path, **{name: value})
        assert done.stderr.startswith("sm-proxy: bad-name: "), done.stderr
        assert done.returncode == 1


def test_a_working_folder_full_of_modules(evil: Path) -> None:
    (evil / "types.py").unlink()
    done = started([sys.executable, "-m", "sm_proxy", "resolve", "x"], evil)
    assert done.stderr.startswith("sm-proxy: bad-name: "), done.stderr


def test_what_it_starts_gets_the_callers_environment(evil: Path, tmp_path: Path) -> None:
    """A credential_process may be of that other Python."""
    helper = tmp_path / "helper"
    helper.write_text('#!/bin/sh\nprintf %s "$PYTHONPATH" >"$0.seen"\nexit 1\n')
    helper.chmod(0o755)
    config = tmp_path / "aws"
    config.write_text(f"[default]\nregion = eu-west-1\ncredential_process = {helper}\n")
    variables = {"AWS_CONFIG_FILE": str(config), "PYTHONPATH": str(evil)}
    started([sys.executable, "-I", "-m", "sm_proxy", "resolve", "sm-x"], evil, **variables)
    assert Path(f"{helper}.seen").read_text() == str(evil)


def test_where_python_finds_no_installed_package(tmp_path: Path) -> None:
    """As with `pip install --user`, whose folder -I leaves out."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sm_proxy").symlink_to(PACKAGE)
    bare = [sys.executable, "-I", "-S", str(folder / "sm_proxy" / "__main__.py"), "--version"]
    done = started(bare, tmp_path)
    assert done.stdout == f"sm-proxy {sm_proxy.__version__}\n", done.stderr


def test_which_variables_mislead(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in misleading():
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONHOME", "/x")
    monkeypatch.setenv("PYTHONUTF8", "1")
    assert misleading() == ["PYTHONHOME"]
