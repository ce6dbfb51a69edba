"""The wheel works when it is installed in a clean environment outside the clone."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import sm_proxy
from tests.e2e.held import held
from tests.e2e.labs import Lab
from tests.waits import await_true

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a virtual environment with only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    # script/setup.sh installs uv, unless pip's settings name an index. It takes less time.
    has_uv = importlib.util.find_spec("uv") is not None
    build = [sys.executable, "-m", "build", *["--installer=uv"] * has_uv]
    build += ["--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True
    )
    (wheel,) = folder.glob("*.whl")
    there = ["--python", str(folder / "venv")]
    install = (
        ["uv", "pip", "install", *there] if has_uv else ["pip", *there, "install", "--no-compile"]
    )
    command = [sys.executable, "-m", *install, "--quiet", str(wheel)]
    subprocess.run(command, check=True, cwd=folder)
    return folder / "venv" / "bin"


def test_ssh_connects_with_the_installed_wheel(installed: Path, lab: Lab, tmp_path: Path) -> None:
    program = str(installed / "sm-proxy")
    config = str(tmp_path / "config")
    identity = str(Path(lab.config).parent / "sm-proxy" / "id_ed25519")
    user = lab.environment["SM_PROXY_LAB_USER"]
    written = lab.run(
        program, "config", "write", "--ssh-config", config, "--identity-file", identity,
        "--user", user, cwd=tmp_path,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    command = f"ProxyCommand {installed}/python"
    text = (tmp_path / "sm-proxy" / "config").read_text()
    assert command in text
    assert " -I -m sm_proxy " in text
    done = lab.run("ssh", "-F", config, lab.host, "id -un", cwd=tmp_path)
    assert (done.stdout.decode().strip(), done.stderr) == (user, b"")


def test_the_wheel_contains_the_container_files_and_their_sbom(
    installed: Path, tmp_path: Path
) -> None:
    script = (
        "from importlib.resources import files\n"
        "folder = files('sm_proxy') / 'container'\n"
        "print((folder / 'entrypoint.sh').read_text()[:9])\n"
        "print(sorted(item.name for item in folder.iterdir()))\n"
        "from importlib.metadata import files as installed\n"
        "print(*(path for path in installed('sm-proxy') if path.parent.name == 'sboms'))\n"
    )
    shown = subprocess.run(
        [str(installed / "python"), "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert shown.stdout.startswith("#!/bin/sh")
    assert "sshd_config" in shown.stdout
    assert shown.stdout.rstrip().endswith("dist-info/sboms/ssh-server.cdx.json")


def test_without_the_labs_extra_the_error_names_it(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(installed / "sm-proxy"), "demo"],
        env={
            **os.environ,
            **{f"SM_PROXY_{kind}_DIR": str(tmp_path) for kind in ("STATE", "CACHE")},
        },
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sm-proxy: missing-dependency: ")
    assert "sm-proxy[lab]" in done.stderr


def test_after_an_update_ssh_is_of_the_new_version_and_uninstall_leaves_nothing(
    installed: Path, lab: Lab, tmp_path: Path
) -> None:
    """`installs_test.py` does it with each installer, in the soak."""
    program = str(installed / "sm-proxy")
    config, user = tmp_path / "config", lab.environment["SM_PROXY_LAB_USER"]
    config.write_text("Host build\n")
    identity = str(Path(lab.config).parent / "sm-proxy" / "id_ed25519")
    places = {
        "SM_PROXY_SSH_CONFIG": str(config),
        "SM_PROXY_SSH_DIR": str(tmp_path / "sm-proxy"),
        "SM_PROXY_CONFIG_DIR": str(tmp_path / "settings"),
        "SM_PROXY_CACHE_DIR": str(tmp_path / "cache"),
        "SM_PROXY_KEEP_SESSION": "0",
    }
    # A socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="sm-") as short,
        lab.with_daemon(**places, SM_PROXY_STATE_DIR=f"{short}/s") as served,
    ):

        def is_served_by(version: str) -> bool:
            done = served.run("ssh", "-F", str(config), lab.host, "echo hello")
            assert done.stdout == b"hello\n", done.stderr
            told = served.run(program, "daemon", "status").stdout.decode()
            return told.count("sm-proxy") == 1 and f"sm-proxy {version}," in told

        words = ("config", "write", "--identity-file", identity, "--user", user)
        assert served.run(program, *words).returncode == 0
        await_true(lambda: is_served_by(sm_proxy.__version__), 60)
        with held(served, str(config), "daemon") as ssh:
            _update(installed, "99.0.0")
            await_true(lambda: is_served_by("99.0.0"), 60)
            assert ssh.works()
            checked = served.run(program, "config", "check")
            assert checked.stdout == b"up to date\n"
            removed = served.run(program, "uninstall", "--yes")
            assert removed.returncode == 0, removed.stderr
            assert ssh.works()  # the daemon that has served it had ended before
        await_true(lambda: not served.daemon_processes(), 60, served.daemon_processes)
        assert (served.daemon_processes(), list(Path(short).iterdir())) == ([], [])
    assert config.read_text() == "Host build\n"
    assert list(tmp_path.iterdir()) == [config]


def _update(installed: Path, version: str) -> None:
    """Put another version in place, as an installer does: a new file under the old name."""
    (module,) = installed.parent.glob("lib/python*/site-packages/sm_proxy/__init__.py")
    new = module.with_suffix(".new")
    new.write_text(module.read_text().replace(sm_proxy.__version__, version))
    new.replace(module)
