"""`sync` and `vscode` with a lab's job."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import SM_PROXY, Job, Lab, code_of, running
from tests.fakes import EVERY_LIST
from tests.waits import await_true

pytestmark = pytest.mark.e2e

# Only `sync` writes this line.
MENU = "Host sm-menu\n"
PYTHON = "/usr/bin/python3"
"""The system's Python, for which script/setup.sh installs asyncssh."""
ASYNCSSH = """
import asyncio, asyncssh, sys
async def main():
    async with asyncssh.connect(sys.argv[2], config=[sys.argv[1]]) as connection:
        print((await connection.run("echo $SM_CURRENT_HOST")).stdout, end="")
asyncio.run(main())
"""
CODE = '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.part" && mv "$0.part" "$0.said"\n'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A separate lab: the tests look at all its jobs, and one test ends its job."""
    options = ("--job", "menu", "--nodes", "2")
    with running(tmp_path_factory.mktemp("sync"), *options) as lab:
        yield lab


def ours(lab: Lab) -> str:
    return (Path(lab.config).parent / "sm-proxy" / "config").read_text()


def hosts(lab: Lab, *words: str) -> list[str]:
    done = lab.sm_proxy("sync", "--json", *words)
    assert done.returncode == 0, done.stderr.decode()
    return [item["host"] for item in json.loads(done.stdout)["data"]["hosts"]]


def test_sync_lists_running_jobs_and_changes_nothing_else(own: Lab) -> None:
    theirs, before = Path(own.config).read_bytes(), ours(own)
    assert MENU not in before
    shown = own.sm_proxy("sync", "--dry-run")
    assert f"+{MENU}".encode() in shown.stdout
    assert ours(own) == before
    assert hosts(own) == ["sm-menu", "sm-menu.algo-2"]
    assert MENU in ours(own)
    assert Path(own.config).read_bytes() == theirs
    # Only the stubs have changed.
    begin, end = before.index("# <<<"), ours(own).index("# <<<")
    assert ours(own)[end:] == before[begin:]
    user = own.ok("sm-menu", "id -un").decode().strip()
    effective = own.ok("-G", "sm-menu.algo-2").decode().splitlines()
    assert f"user {user}" in effective
    assert any(line.startswith("proxycommand ") for line in effective)
    stamp = (Path(own.config).parent / "sm-proxy" / "config").stat().st_mtime_ns
    assert hosts(own) == ["sm-menu", "sm-menu.algo-2"]
    assert (Path(own.config).parent / "sm-proxy" / "config").stat().st_mtime_ns == stamp


def test_a_client_without_openssh_connects(own: Lab) -> None:
    """It reads the config and the host keys before the ProxyCommand has ever run."""
    if subprocess.run(
        [PYTHON, "-c", "import asyncssh"], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs asyncssh")
    hosts(own)
    config = str(Path(own.config).parent / "sm-proxy" / "config")
    for host in ("sm-menu", "sm-menu.algo-2"):
        done = own.run(PYTHON, "-W", "ignore", "-c", ASYNCSSH, config, host)
        assert done.stdout == f"{host.partition('.')[2] or 'algo-1'}\n".encode(), done.stderr


def test_a_second_sync_calls_only_the_lists(own: Lab) -> None:
    hosts(own)
    before = len(own.calls())
    hosts(own)
    made = sorted(call["operation"] for call in own.calls()[before:])
    assert made == EVERY_LIST


def test_listed_hosts_stay_when_the_lists_are_denied(own: Lab) -> None:
    hosts(own)
    with own.faults(deny=["sagemaker:List*"]):
        done = own.sm_proxy("sync")
    assert (done.returncode, code_of(done)) == (1, "access-denied")
    assert MENU in ours(own)


def test_vscode_opens_the_window(own: Lab, tmp_path: Path) -> None:
    code = tmp_path / "bin" / "code"
    code.parent.mkdir()
    code.write_text(CODE)
    code.chmod(0o755)
    home = {"HOME": str(tmp_path), "VSCODE_APPDATA": str(tmp_path / "config")}
    path = f"{code.parent}:{own.environment['PATH']}"
    done = own.sm_proxy("vscode", "sm-menu", "/opt", env={**home, "PATH": path})
    assert done.returncode == 0, done.stderr.decode()
    said = Path(f"{code}.said")
    await_true(said.exists, 60)
    assert "ssh-remote+" in said.read_text()
    assert "/opt" in said.read_text()
    settings = tmp_path / "config" / "Code" / "User" / "settings.json"
    assert json.loads(settings.read_text()) == {"remote.SSH.remotePlatform": {"sm-menu": "linux"}}


def test_sync_watch_adds_and_removes_jobs(own: Lab, tmp_path: Path) -> None:
    config = Path(own.config).parent / "sm-proxy" / "config"
    with (tmp_path / "told").open("wb") as stderr:
        watch = own.popen(
            *(*SM_PROXY, "sync", "--watch", "--interval", "1"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    try:
        await_true(lambda: MENU in config.read_text(), 60, alive=watch)
        Job(own, "menu").stop()
        await_true(lambda: "Host sm-menu" not in config.read_text(), 60, alive=watch)
        told = (tmp_path / "told").read_text
        await_true(lambda: "removed sm-menu.algo-2\n" in told(), 60, told, alive=watch)
        watch.send_signal(signal.SIGTERM)
        out, _ = watch.communicate(timeout=60)
    finally:
        if watch.poll() is None:
            watch.kill()
            watch.wait(60)
    lines = told().splitlines()
    assert (watch.returncode, out) == (0, b"")
    assert lines[-2:] == ["sm-proxy: removed sm-menu", "sm-proxy: removed sm-menu.algo-2"]
    assert not list(config.parent.glob(".config*"))  # no torn write
    assert hosts(own) == []
    assert "Host sm-*" in ours(own)
