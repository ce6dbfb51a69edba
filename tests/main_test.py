"""Environment variables and modules that were meant for another Python change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sm_proxy
from sm_proxy.local.python_environment import misleading
from tests.soak import cases, product

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
    """A folder of modules that shadow standard ones and end any program that imports them."""
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


ALONE = [(name,) for name in FOREIGN]


@pytest.mark.parametrize("names", cases([tuple(FOREIGN), *ALONE], [tuple(FOREIGN)]), ids=",".join)
@pytest.mark.parametrize("program", [["-m", "sm_proxy"], [str(PACKAGE / "__main__.py")]])
def test_isolated_python_ignores_all_variables(
    names: tuple[str, ...], program: list[str], evil: Path
) -> None:
    """As the ProxyCommand starts it."""
    variables = {name: FOREIGN[name].format(evil=evil) for name in names}
    done = started([sys.executable, "-I", *program, "resolve", "x"], evil, **variables)
    assert done.stderr.startswith("sm-proxy: bad-name: "), done.stderr
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("name", "as_module"),
    product(["PYTHONPATH", "PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONDEVMODE"], [True, False]),
)
def test_typed_by_hand_it_restarts_in_isolated_mode(
    name: str, as_module: bool, evil: Path, tmp_path: Path
) -> None:
    (evil / "types.py").unlink()  # Python itself imports `types` before it starts us
    value = FOREIGN[name].format(evil=evil)
    script = tmp_path / "sm-proxy"
    script.write_text("import sys\nfrom sm_proxy.__main__ import main\nsys.exit(main())\n")
    program = ["-m", "sm_proxy"] if as_module else [str(script)]
    done = started([sys.executable, *program, "resolve", "x"], tmp_path, **{name: value})
    assert done.stderr.startswith("sm-proxy: bad-name: "), done.stderr
    assert done.returncode == 1


def test_modules_in_the_working_folder_are_not_imported(evil: Path) -> None:
    (evil / "types.py").unlink()
    done = started([sys.executable, "-m", "sm_proxy", "resolve", "x"], evil)
    assert done.stderr.startswith("sm-proxy: bad-name: "), done.stderr


def test_programs_it_starts_get_the_callers_environment(evil: Path, tmp_path: Path) -> None:
    """A credential_process may belong to that other Python."""
    helper = tmp_path / "helper"
    helper.write_text('#!/bin/sh\nprintf %s "$PYTHONPATH" >"$0.seen"\nexit 1\n')
    helper.chmod(0o755)
    config = tmp_path / "aws"
    config.write_text(f"[default]\nregion = eu-west-1\ncredential_process = {helper}\n")
    variables = {"AWS_CONFIG_FILE": str(config), "PYTHONPATH": str(evil)}
    started([sys.executable, "-I", "-m", "sm_proxy", "resolve", "sm-x"], evil, **variables)
    assert Path(f"{helper}.seen").read_text() == str(evil)


def test_the_program_runs_from_a_folder_that_is_not_on_sys_path(tmp_path: Path) -> None:
    """As after `pip install --user`: -I leaves that folder out."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sm_proxy").symlink_to(PACKAGE)
    bare = [sys.executable, "-I", "-S", str(folder / "sm_proxy" / "__main__.py"), "--version"]
    done = started(bare, tmp_path)
    assert done.stdout == f"sm-proxy {sm_proxy.__version__}\n", done.stderr


def test_misleading_variables_are_those_that_are_set_and_change_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in misleading():
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONHOME", "/x")
    monkeypatch.setenv("PYTHONUTF8", "1")
    assert misleading() == ["PYTHONHOME"]


def test_an_interrupt_during_the_imports_shows_no_traceback() -> None:
    program = """
import sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "sm_proxy.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupts())
from sm_proxy.__main__ import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")
