"""No secret of a request gets into the daemon, its files, or where other users see it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import Lab
from tests.soak import cases
from tests.waits import await_true

pytestmark = pytest.mark.e2e

ACCESS_KEY = "ASIA" + "ABCDEFGH" + "IJKL2345"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2Vj" + secrets.token_urlsafe(300),
}
SECRETS = [CREDENTIALS["AWS_SECRET_ACCESS_KEY"], CREDENTIALS["AWS_SESSION_TOKEN"]]
IN_A_FILE = secrets.token_urlsafe(30)
PROFILE = f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {IN_A_FILE}\n"
"""What the user has in ~/.aws/credentials; the daemon needs no keys."""


def held(found: bytes, names: list[str]) -> list[str]:
    return [name for name in names if name.encode() in found]


def visible(pid: int) -> bytes:
    """What /proc tells of a process: its command line to all, its environment to its user."""
    return b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing while the block runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        state = Path(f"/proc/{pid}/stat")
        await_true(lambda: state.read_text().rpartition(") ")[2].startswith("T"), 60)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def in_memory(pid: int) -> list[str]:
    """The secrets in the memory that a process may write to: heap, stacks and data."""
    found = set()
    # Reading memory that the process has given back since it was listed would fail with EIO.
    with stopped(pid), Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights, *_, name = [*line.split(), ""]
            if rights.startswith("rw") and name != "[vvar]":
                begin, end = (int(number, 16) for number in where.split("-"))
                memory.seek(begin)
                found.update(held(memory.read(end - begin), [*SECRETS, IN_A_FILE]))
    return sorted(found)


@contextlib.contextmanager
def connected(lab: Lab, **env: str) -> Iterator[list[bytes]]:
    """An ssh connection that stays for as long as the block runs; then its stderr is known."""
    words = ("ssh", "-F", lab.config, lab.host, "echo up; cat")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    said: list[bytes] = []
    with lab.popen(*words, env=env, **pipes) as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        yield said
        said.append(ssh.communicate(b"", 60)[1])


@contextlib.contextmanager
def by_daemon(lab: Lab) -> Iterator[list[bytes]]:
    """As `connected`, with the secrets; on a very busy machine, an ssh does the work itself."""
    while True:
        with connected(lab, **CREDENTIALS, SM_PROXY_LOG="debug") as said:
            if lab.daemon_processes() != lab.daemons():
                yield said
                return


@pytest.mark.parametrize("keep", cases(["0", "5m"], ["5m"]))
def test_the_secrets_of_a_request_are_in_no_other_process_and_no_file(
    lab: Lab, tmp_path: Path, keep: str
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(PROFILE)
    with lab.with_daemon(SM_PROXY_KEEP_SESSION=keep, HOME=str(tmp_path)) as served:
        served.ok(served.host, "true", env=CREDENTIALS)  # it starts the daemon
        daemon = served.await_daemon()
        served.settle()
        with by_daemon(served) as said:
            if keep != "0":  # soon the process of the connection leaves it to the keeper, and ends
                await_true(lambda: bool(served.carriers()) and not served.helpers(), 60)
            processes = served.daemon_processes()
            assert any(in_memory(pid) == sorted(SECRETS) for pid in processes), "the search works"
            assert in_memory(daemon) == []
            for pid in processes:
                names = [*SECRETS, ACCESS_KEY, served.host]
                assert held(visible(pid), names) == []
                assert b"connect" not in visible(pid)
        served.settle()
        assert in_memory(daemon) == []
        tokens = served._gateway(op="tokens")["tokens"]
        assert b"session" in said[0], "the debug log is on"
        assert held(said[0], [*SECRETS, *tokens]) == []
        for path in served.state.rglob("*"):
            if path.is_file():
                assert held(path.read_bytes(), [*SECRETS, *tokens]) == [], path
        mine = [served.state / "daemon", *(served.state / "daemon").iterdir()]
        assert [path for path in mine if path.stat().st_mode & 0o077] == []
    await_true(lambda: not any(path.is_socket() for path in mine), 60)
