"""Ranges of a file, over SFTP and without it, from servers that are hostile or slow."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import paramiko
import pytest

from sm_proxy.transfer.large import ranged
from sm_proxy.transfer.large.ranged import WINDOW, Window
from tests.transfer.helpers import content, copy, entry
from tests.transfer.sftp_world import World

SIZE = 700_001


@pytest.mark.parametrize("up", [False, True])
def test_without_an_sftp_server_a_file_arrives_over_one_shell(tmp_path: Path, up: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content(SIZE))
    world = World(tmp_path, most=1, sftp=False)
    result = copy(world, entry(source, target), up=up)
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE)
    assert result.copied.verified
    assert world.opened == 1


class Answers:
    """A channel whose server answers each request with what `answer` makes of it."""

    def __init__(self, answer: Callable[[int, int, bytes], bytes]) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.send, self.recv = self.ours.send, self.ours.recv
        self._answer = answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._theirs, self._theirs.makefile("rb") as requests:
            while len(head := requests.read(9)) == 9:
                size, kind, number = struct.unpack(">IBI", head)
                self._theirs.sendall(self._answer(kind, number, requests.read(size - 5)))


def packet(kind: int, number: int, body: bytes) -> bytes:
    return struct.pack(">IBI", len(body) + 5, kind, number) + body


def answering(reply: Callable[[int, bytes], bytes]) -> Callable[[int, int, bytes], bytes]:
    """Opens anything, and answers a read by `reply(number, request)`."""

    def answer(kind: int, number: int, body: bytes) -> bytes:
        if kind == 3:
            return packet(102, number, struct.pack(">I1s", 1, b"h"))
        return reply(number, body)

    return answer


def data(number: int, content: bytes) -> bytes:
    return packet(103, number, struct.pack(">I", len(content)) + content)


@pytest.mark.parametrize(
    "reply",
    [
        lambda number, _: data(number, bytes(101)),  # more than was asked for
        lambda number, _: struct.pack(">IBI", 1 << 24, 103, number),  # a packet of 16 MiB
        lambda number, _: struct.pack(">IBI", 0, 103, number),
        lambda number, _: packet(101, number, b""),  # a status without a code
    ],
)
def test_a_server_that_makes_no_sense_is_refused(reply: Callable[[int, bytes], bytes]) -> None:
    channel = Answers(answering(reply))
    file = ranged._SftpFile(cast(Any, channel), "x", 1)
    pieces = iter([(0, 100)])
    with channel.ours, pytest.raises(paramiko.SFTPError):
        file.fetch(lambda _: next(pieces, None), lambda *_: True)


def test_replies_that_are_not_waited_for_are_skipped() -> None:
    channel = Answers(answering(lambda n, _: packet(101, 7, bytes(8)) + data(n, b"abc")))
    file = ranged._SftpFile(cast(Any, channel), "x", 1)
    pieces = iter([(0, 3)])
    got: list[tuple[int, bytes]] = []

    def arrived(start: int, part: bytes) -> bool:
        got.append((start, part))
        return True

    with channel.ours:
        assert file.fetch(lambda _: next(pieces, None), arrived) == "done"
    assert got == [(0, b"abc")]


def test_a_window_is_half_a_second_of_what_the_link_gives() -> None:
    now = 0.0
    window = Window(lambda: now)
    for rate, least, most in (
        (700_000, 300_000, 400_000),
        (10_000, WINDOW[0], WINDOW[0]),
        (80_000_000, WINDOW[1], WINDOW[1]),
    ):
        for _ in range(200):
            now += 32768 / rate
            window.arrived(32768)
        assert least <= window.size <= most


def test_a_file_that_has_got_its_name_is_not_made_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(FileNotFoundError):
        ranged.open_to_write(world.open(), str(tmp_path / "part"), anew=False)
    world.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sftp", [True, False])
def test_a_new_file_follows_no_link(tmp_path: Path, sftp: bool) -> None:
    """Somebody else in the container may put one there, such as in /tmp."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "part").symlink_to("precious")
    world = World(tmp_path, sftp=sftp)
    with pytest.raises(OSError, match=r"exists|ailure"):
        ranged.open_to_write(world.open(), str(tmp_path / "part"), anew=True)
    world.close()
    assert (tmp_path / "precious").read_text() == "precious"
