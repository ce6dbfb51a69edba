"""Without an SFTP server the same tasks run by a shell, one after the other."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from paramiko import sftp

from sm_proxy.transfer.model import Direction
from sm_proxy.transfer.small.batches import SmallFiles
from sm_proxy.transfer.ssh import sftp_packets
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.ssh.one_by_one import OneByOne
from sm_proxy.transfer.ssh.pipeline import Task
from sm_proxy.transfer.ssh.sftp_packets import Reply, Request
from sm_proxy.transfer.ssh.shell_channel import ShellChannel
from sm_proxy.transfer.ssh.shell_files import ShellFiles
from sm_proxy.transfer.ssh.ssh_process import SshProcess
from sm_proxy.transfer.ssh.wire import Wire
from sm_proxy.transfer.trees.folders import Folders
from sm_proxy.transfer.trees.tree_down import list_down
from sm_proxy.transfer.trees.tree_up import list_up
from tests.transfer import sftp_server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

FILES = {
    "plain": b"x" * 70_000,
    "empty": b"",
    "a b/line\nbreak": b"1",
    "a b/-rf": b"2",
    os.fsdecode(b"\xff"): b"3",
}


@pytest.fixture
def far(home: Path) -> Iterator[Connection]:
    channel = ShellChannel()
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            ["sh", "-c", channel.command], cwd=home, stdin=theirs.fileno(), stdout=theirs.fileno()
        )
    process = sftp_server.Process(Wire(ours))
    files = ShellFiles(channel, process.wire)
    yield Connection(1, files, cast("SshProcess", process), compressed=False)
    process.close()
    child.wait(20)


def fill(folder: Path) -> None:
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_000, 2_000))


def found(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_tree_is_copied(far: Connection, home: Path, here: Path, direction: Direction) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    fill(source / "d")
    by = list_down if direction == "down" else list_up
    folders = Folders(by(far, ["d"], "new", recursive=True), direction)
    small = SmallFiles(folders.make(far).files, direction, sftp_server.Scripts(home))
    for work in small.works():
        work.run(far, lambda _: None)
    folders.finish(far)
    assert small.result().problems == ()
    assert found(target / "new") == FILES
    assert (target / "new/plain").stat().st_mtime == 2_000


def test_a_failure_is_the_tasks_own_and_a_lost_connection_is_everybodys(
    far: Connection, home: Path
) -> None:
    def stat(path: str) -> Task[Reply]:
        (reply,) = yield [Request(sftp.CMD_STAT, path)]
        return reply

    (home / "file").touch()
    missing, there = OneByOne(far).run([stat("missing"), stat("file")])
    assert isinstance(missing, OSError)
    assert missing.errno == errno.ENOENT
    assert isinstance(there, sftp_packets.Attributes)
    far.close()
    with pytest.raises(EOFError):
        OneByOne(far).run([stat("file")])
