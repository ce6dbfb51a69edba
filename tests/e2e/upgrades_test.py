"""What an open ssh does when the program that serves it is replaced or removed: it goes on."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.held import WAYS, held
from tests.e2e.labs import Lab
from tests.soak import only_in_soak

pytestmark = [pytest.mark.e2e, only_in_soak]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = ("-m", "build", "--wheel", "--outdir", str(folder), str(ROOT))
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


@pytest.fixture
def package(wheel: Path, tmp_path: Path) -> Path:
    """The package, installed in an environment of its own; other packages are ours."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,), (ours,) = (
        list(prefix.glob("lib/python*/site-packages")) for prefix in (venv, Path(sys.prefix))
    )
    (site / "others.pth").write_text(f"{ours}\n")
    words = ("--python", str(venv), "install", "--quiet", "--no-deps", "--no-compile", str(wheel))
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    return site / "sm_proxy"


@pytest.fixture(params=["0", "10m"])
def user(
    request: pytest.FixtureRequest, lab: Lab, package: Path, tmp_path: Path
) -> Iterator[tuple[Lab, str, str]]:
    """A user with a daemon of this package: the lab, the program, the ssh config."""
    program, config = str(tmp_path / "venv" / "bin" / "sm-proxy"), str(tmp_path / "config")
    places = {
        "SM_PROXY_SSH_CONFIG": config,
        "SM_PROXY_SSH_DIR": str(tmp_path / "sm-proxy"),
        "SM_PROXY_CONFIG_DIR": str(tmp_path / "settings"),
        "SM_PROXY_CACHE_DIR": str(tmp_path / "cache"),
        "SM_PROXY_KEEP_SESSION": request.param,
    }
    identity = str(Path(lab.config).parent / "sm-proxy" / "id_ed25519")
    words = ("config", "write", "--identity-file", identity)
    # A socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="sm-") as short,
        lab.with_daemon(**places, SM_PROXY_STATE_DIR=f"{short}/s") as served,
    ):
        name = lab.environment["SM_PROXY_LAB_USER"]
        assert served.run(program, *words, "--user", name).returncode == 0
        assert served.run("ssh", "-F", config, lab.host, "true").returncode == 0
        served.await_daemon()
        yield served, program, config


def remove(package: Path) -> None:
    """Remove the package, and spoil what is left of it, so that no open file of it helps."""
    gone = package.rename(package.with_name("gone"))
    for path in gone.rglob("*.py"):
        path.write_text("raise ImportError('this program has been removed')\n")


@pytest.mark.parametrize(("way", "cut"), list(itertools.product(WAYS, [False, True])))
def test_an_open_ssh_needs_no_file_of_the_program(
    way: str, cut: bool, user: tuple[Lab, str, str], package: Path
) -> None:
    lab, _, config = user
    with held(lab, config, way) as ssh:
        remove(package)
        assert ssh.works()
        if cut:  # it resumes the session
            assert lab.cut_clients()
        assert ssh.works()
        assert ssh.end() == (0, b"")
    lab.settle()


@pytest.mark.parametrize("way", WAYS)
def test_uninstall_names_what_it_cuts_and_cuts_nothing_else(
    way: str, user: tuple[Lab, str, str], tmp_path: Path
) -> None:
    lab, program, config = user
    with held(lab, config, way) as ssh:
        planned = lab.run(program, "uninstall", "--dry-run").stdout.decode()
        assert ssh.works()
        done = lab.run(program, "uninstall", "--yes")
        assert done.returncode == 0, done.stderr
        is_named = f"with the connections that it serves: ssh to {lab.host}" in planned
        assert is_named == way.startswith("daemon")
        assert ssh.works() != is_named
    assert sorted(path.name for path in tmp_path.iterdir()) == ["venv"]
    lab.settle()
    assert list(lab.state.rglob("*")) == []
