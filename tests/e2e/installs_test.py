"""Each way to install sm-proxy: ssh connects; after an update it is of the new version.

An ssh that is open during the updates goes on.

They need tools and packages from the package index, and minutes. SM_PROXY_PREVIOUS may name the
wheel of an earlier release; without it, the older version is this tree with a lower number.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.held import held
from tests.e2e.labs import Lab
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, only_in_soak, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
FOLDERS = ("sm_proxy", "sm_proxy_lab", "container", "docs", "sboms")
FILES = ("pyproject.toml", "README.md", "LICENSE")
HELD = ("daemon", "alone, pumped")
"""What stays open during the updates."""
TOOLS = ("build", "hatchling", "pipx", "uv", "shiv", "pex")


def run(*words: str | Path, **variables: str) -> None:
    done = subprocess.run(
        list(map(str, words)), check=False, capture_output=True, text=True,
        env={**os.environ, **variables}, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with everything that installs or builds."""
    folder = tmp_path_factory.mktemp("tools")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", *TOOLS)
    return folder / "bin"


@pytest.fixture(scope="module")
def versions(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheels of an older and of a newer version."""
    folder = tmp_path_factory.mktemp("wheels")

    def built(version: str) -> Path:
        tree = folder / version
        for name in FOLDERS:
            shutil.copytree(ROOT / name, tree / name)
        for name in FILES:
            shutil.copy(ROOT / name, tree / name)
        module = tree / "sm_proxy" / "__init__.py"
        lines = module.read_text().splitlines()
        lines = [f'__version__ = "{version}"' if "__version__ =" in x else x for x in lines]
        module.write_text("\n".join(lines) + "\n")
        run(tools / "python", "-m", "build", "--wheel", "--no-isolation", "--outdir", tree, tree)
        return next(tree.glob("*.whl"))

    previous = os.environ.get("SM_PROXY_PREVIOUS")
    return (Path(previous) if previous else built("0.0.1")), built("99.0.0")


@dataclass(frozen=True)
class Way:
    """A way to install a wheel: into a folder, as a program; again replaces the version there."""

    install: Callable[[Path, Path, Path], None]
    program: str
    says: str
    """A part of the command that removes the package."""
    variables: tuple[str, ...] = ()
    """What the user has set, such as `PYTHONPATH=target`: a folder below the one it is in."""

    def environment(self, folder: Path) -> dict[str, str]:
        """These variables."""
        pairs = (each.split("=") for each in self.variables)
        return {name: str(folder / place) for name, place in pairs}


def _pip(tools: Path, folder: Path, wheel: Path) -> None:
    if not (folder / "venv").exists():
        run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv" / "bin" / "pip", "install", "--quiet", "--force-reinstall", wheel)


def _user(tools: Path, folder: Path, wheel: Path) -> None:
    """Into `~/.local`: a Python of the system, and a home folder of its own."""
    pip = (Path(sys.base_prefix) / "bin" / "python3", "-m", "pip", "install", "--quiet")
    run(*pip, "--user", "--force-reinstall", wheel, HOME=str(folder / "home"))


def _target(tools: Path, folder: Path, wheel: Path) -> None:
    run(tools / "pip", "install", "--quiet", "--upgrade", "--target", folder / "target", wheel)


def _uv_venv(tools: Path, folder: Path, wheel: Path) -> None:
    if not (folder / "venv").exists():
        run(tools / "uv", "venv", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(tools / "uv", "pip", "install", "--python", python, "--reinstall", wheel)


def _pipx(tools: Path, folder: Path, wheel: Path) -> None:
    places = {"PIPX_HOME": f"{folder}/pipx", "PIPX_BIN_DIR": f"{folder}/bin"}
    run(tools / "pipx", "install", "--force", "--backend", "pip", wheel, **places)


def _uv_tool(tools: Path, folder: Path, wheel: Path) -> None:
    places = {"UV_TOOL_DIR": f"{folder}/tools", "UV_TOOL_BIN_DIR": f"{folder}/bin"}
    run(tools / "uv", "tool", "install", "--python", sys.executable, "--force", wheel, **places)


def _shiv(tools: Path, folder: Path, wheel: Path) -> None:
    run(tools / "shiv", "-q", "-c", "sm-proxy", "-o", folder / "sm-proxy.pyz", wheel)


def _pex(*options: str) -> Callable[[Path, Path, Path], None]:
    def install(tools: Path, folder: Path, wheel: Path) -> None:
        output = ("-o", folder / "sm-proxy.pex")
        run(tools / "pex", wheel, "-c", "sm-proxy", *options, *output, PEX_ROOT=f"{folder}/root")

    return install


WAYS = {
    "pip": Way(_pip, "venv/bin/sm-proxy", " -m pip uninstall sm-proxy"),
    "user": Way(_user, "home/.local/bin/sm-proxy", " -m pip uninstall sm-proxy", ("HOME=home",)),
    "target": Way(_target, "target/bin/sm-proxy", "rm -r /", ("PYTHONPATH=target",)),
    "uv-venv": Way(_uv_venv, "venv/bin/sm-proxy", "uv pip --python "),
    "pipx": Way(_pipx, "bin/sm-proxy", "pipx uninstall sm-proxy"),
    "uv-tool": Way(_uv_tool, "bin/sm-proxy", "uv tool uninstall sm-proxy"),
    "shiv": Way(_shiv, "sm-proxy.pyz", "rm /"),
    "pex": Way(_pex(), "sm-proxy.pex", "rm /"),
    "pex-venv": Way(_pex("--venv"), "sm-proxy.pex", "rm /"),
}


@pytest.fixture
def user(lab: Lab, tmp_path: Path, way: str) -> Iterator[Lab]:
    """A user of the lab with files of their own and a daemon."""
    (tmp_path / "home").mkdir(mode=0o700)
    own = WAYS[way].environment(tmp_path)
    places = {f"SM_PROXY_{kind.upper()}_DIR": f"{tmp_path}/{kind}" for kind in ("config", "cache")}
    unpacked = {"SHIV_ROOT": f"{tmp_path}/shiv", "PEX_ROOT": f"{tmp_path}/pex"}
    ours = {"SM_PROXY_SSH_CONFIG": f"{tmp_path}/ssh", "SM_PROXY_SSH_DIR": f"{tmp_path}/sm-proxy"}
    # A socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="sm-") as short,
        lab.with_daemon(
            **ours, **places, **unpacked, **own, SM_PROXY_STATE_DIR=f"{short}/s"
        ) as served,
    ):
        yield served


def daemons(user: Lab, program: str) -> list[str]:
    """The versions of the daemons."""
    done = user.run(program, "daemon", "status", "--json")
    assert done.returncode == 0, done.stderr
    return [each["version"] for each in json.loads(done.stdout)["data"]["daemons"]]


@pytest.mark.parametrize("way", WAYS)
def test_ssh_is_of_the_version_that_is_installed_now(
    way: str, user: Lab, tools: Path, versions: tuple[Path, Path], tmp_path: Path
) -> None:
    install, program = WAYS[way].install, str(tmp_path / WAYS[way].program)
    older, newer = ((wheel, wheel.name.split("-")[1]) for wheel in versions)
    identity = str(Path(user.config).parent / "sm-proxy" / "id_ed25519")
    install(tools, tmp_path, older[0])
    assert user.run(program, "--version").stdout.decode() == f"sm-proxy {older[1]}\n"
    words = ("setup", "--yes", "--identity-file", identity)
    done = user.run(program, *words, "--user", user.environment["SM_PROXY_LAB_USER"])
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "sm-proxy" / "config").read_bytes()

    def connects(version: str) -> None:
        done = user.run("ssh", "-F", str(tmp_path / "ssh"), user.host, "echo hello")
        assert (done.stdout, done.stderr) == (b"hello\n", b"")

        def served() -> bool:  # an older daemon ends when it sees that its files have changed
            debug = {"SM_PROXY_LOG": "debug"}
            told = user.run("ssh", "-F", str(tmp_path / "ssh"), user.host, "true", env=debug)
            return b"no daemon" not in told.stderr and daemons(user, program) == [version]

        await_true(served, 60, lambda: daemons(user, program))

    connects(older[1])
    with contextlib.ExitStack() as entered:
        config = str(tmp_path / "ssh")
        still_open = [entered.enter_context(held(user, config, each)) for each in HELD]
        for wheel, version in (newer, older, newer):
            install(tools, tmp_path, wheel)
            assert user.run(program, "--version").stdout.decode() == f"sm-proxy {version}\n"
            connects(version)
            assert all(ssh.works() for ssh in still_open)
            checked = user.run(program, "config", "check")
            if checked.returncode:  # the versions write different blocks
                assert b"out of date" in checked.stdout
                user.run(program, "config", "write")
                connects(version)
            else:
                assert (tmp_path / "sm-proxy" / "config").read_bytes() == written
        removed = user.run(program, "uninstall", "--yes", "--json")
        assert removed.returncode == 0, removed.stderr
        assert WAYS[way].says in json.loads(removed.stdout)["data"]["package"]
        assert all(ssh.works() for ssh in still_open)  # its daemon had ended before
    await_true(lambda: not user.daemon_processes(), 60, user.daemon_processes)
    left = [name for name in ("ssh", "sm-proxy", "config", "cache") if (tmp_path / name).exists()]
    assert (left, user.state.exists()) == ([], False)
