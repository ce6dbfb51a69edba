"""Files by a shell, where there is no SFTP server; each shell that this machine has."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.transfer.large import ranged
from sm_proxy.transfer.large.ranges import PIECE
from sm_proxy.transfer.ssh.shell_channel import ShellChannel
from sm_proxy.transfer.ssh.shell_files import ShellFiles
from sm_proxy.transfer.ssh.wire import Wire

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

BUSYBOX = shutil.which("busybox")
ODD = ["plain", "with 'quotes' \"$HOME\" `id`", "-rf", "two\nlines\n", "\udcff\udcfe", "*", "é"]


def started(folder: Path, shell: str, search: str) -> tuple[ShellFiles, subprocess.Popen[bytes]]:
    channel = ShellChannel()
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            [shell, "-c", f"echo a start-up file prints; {channel.command}"],
            cwd=folder,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            env={"PATH": search},
        )
    return ShellFiles(channel, Wire(ours)), child


@pytest.fixture(params=["sh", "bash", "busybox"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShellFiles]:
    search = os.environ["PATH"]
    if request.param == "busybox":
        if not BUSYBOX:
            pytest.skip("needs busybox")
        search = str(tmp_path / "bin")
        Path(search).mkdir()
        for name in ("sh", "stat", "dd", "mv", "rm", "mkdir", "rmdir", "chmod", "touch", "cat"):
            (tmp_path / "bin" / name).symlink_to(BUSYBOX)
        (tmp_path / "bin/readlink").symlink_to(BUSYBOX)
    home = tmp_path / "home"
    home.mkdir()
    found, child = started(home, "bash" if request.param == "bash" else "/bin/sh", search)
    yield found
    found._channel.close()
    assert child.wait(60) == 0


def test_files_go_up_and_down_and_keep_their_names(files: ShellFiles, tmp_path: Path) -> None:
    data = bytes(range(256)) * 2100  # more than two pieces, and no whole number of blocks
    for name in ODD:
        with files.open(name, "wb") as file:
            file.write(data[:1000])
            file.write(data[1000:])
        on_disk = tmp_path / "home" / os.fsencode(name).decode("utf-8", "surrogateescape")
        assert on_disk.read_bytes() == data
        with files.open(name) as file:
            assert file.read() == data
            assert list(file.readv([(7, 3), (10, 5), (70_000, 2)])) == [
                data[7:10],
                data[10:15],
                data[70_000:70_002],
            ]
    listed = {item.filename: item.st_size for item in files.listdir_attr(".")}
    assert listed == dict.fromkeys(ODD, len(data))
    for name in ODD:
        files.remove(name)
    assert not files.listdir_attr(".")
    assert files.normalize(".") == str(tmp_path / "home")


def test_a_megabyte_takes_one_round_trip(
    files: ShellFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is idle while the next line is on its way."""
    data = bytes(range(256)) * 4096
    (tmp_path / "home/file").write_bytes(data)
    connection: Any = SimpleNamespace(sftp=files)
    file = ranged.open_to_read(connection, "file")
    lines: list[str] = []
    run = files._channel.run

    def counted(line: str, *words: Any, **options: Any) -> tuple[int, bytes]:
        lines.append(line)
        return run(line, *words, **options)

    monkeypatch.setattr(files._channel, "run", counted)
    pieces = iter(range(0, len(data), PIECE))
    found: dict[int, bytes] = {}

    def arrived(start: int, part: bytes) -> bool:
        found[start] = part
        return True

    ending = file.fetch(lambda _: next(((at, at + PIECE) for at in pieces), None), arrived)
    assert (ending, len(lines)) == ("done", 1)
    assert b"".join(found[at] for at in sorted(found)) == data


def test_a_link_that_leads_to_nothing_has_no_other_path(files: ShellFiles, tmp_path: Path) -> None:
    (tmp_path / "home/folder").mkdir()
    (tmp_path / "home/folder/link").symlink_to("nothing")
    with pytest.raises(FileNotFoundError):
        files.normalize("folder/link")


def test_a_write_in_the_middle_leaves_the_rest(files: ShellFiles, tmp_path: Path) -> None:
    target = tmp_path / "home/part"
    target.write_bytes(bytes(200_000))
    with files.open("part", "r+b") as file:
        for offset in (65_536, 13):
            file.seek(offset)
            file.write(b"x" * 100)
    found = target.read_bytes()
    assert len(found) == 200_000
    assert found[13:113] == found[65_536:65_636] == b"x" * 100
    assert found.count(b"x") == 200
    with files.open("part", "ab") as file:
        file.write(b"end")
    assert target.read_bytes().endswith(b"\0end")


def test_attributes_and_renames_are_those_of_sftp(files: ShellFiles, tmp_path: Path) -> None:
    home = tmp_path / "home"
    files.mkdir("folder", 0o700)
    (home / "folder/old").write_text("1")
    (home / "folder/new").write_text("2")
    (home / "link").symlink_to("folder/old")
    files.chmod("folder/old", 0o640)
    files.utime("folder/old", (1_600_000_000, 1_500_000_000))
    found = files.stat("link")
    assert (found.st_atime, found.st_mtime, found.st_size) == (1_600_000_000, 1_500_000_000, 1)
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert stat.S_ISLNK(files.lstat("link").st_mode)
    assert files.readlink("link") == "folder/old"
    with pytest.raises(FileExistsError):
        files.rename("folder/old", "folder/new")
    files.posix_rename("folder/old", "folder/new")
    assert (home / "folder/new").read_text() == "1"
    with pytest.raises(IsADirectoryError):
        files.posix_rename("folder/new", "folder")
    with pytest.raises(OSError, match="not empty"):
        files.rmdir("folder")
    files.remove("folder/new")
    files.rmdir("folder")


def test_a_failure_has_its_errno_and_the_shell_goes_on(files: ShellFiles, tmp_path: Path) -> None:
    (tmp_path / "home/file").write_text("x")
    for attempt, number in (
        (lambda: files.stat("none"), errno.ENOENT),
        (lambda: files.open("none"), errno.ENOENT),
        (lambda: files.open("none/x", "w"), errno.ENOENT),
        (lambda: files.open("."), errno.EISDIR),
        (lambda: files.open("file", "wx"), errno.EEXIST),
        (lambda: files.listdir_attr("file"), errno.ENOTDIR),
        (lambda: files.mkdir("file"), errno.EEXIST),
        (lambda: files.remove("none"), errno.ENOENT),
        (lambda: files.stat("a\0b"), errno.ENOENT),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
            attempt()
        assert caught.value.errno == number, caught.value
    assert files.stat("file").st_size == 1


def test_a_shell_that_prints_without_end_is_lost() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(["yes"], stdin=theirs.fileno(), stdout=theirs.fileno())
    wire = Wire(ours)
    with pytest.raises(EOFError):
        ShellFiles(ShellChannel(), wire)
    assert wire.lost
    wire.close()
    child.wait(60)
