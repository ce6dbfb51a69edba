"""What the daemon's processes tell it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from sm_proxy.daemon.inbox import LIMIT, Inbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.sender.socket.close()
    made.close()


def test_messages_arrive_one_by_one(inbox: Inbox) -> None:
    assert inbox.receive() is None
    inbox.sender.send({"pid": 1})
    inbox.sender.send({"pid": 2, "host": "\udcff"})
    assert inbox.receive() == ({"pid": 1}, [])
    assert inbox.receive() == ({"pid": 2, "host": "\udcff"}, [])
    assert inbox.receive() is None


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"{", b"\xff", json.dumps({"host": "h" * LIMIT}).encode()]
)
def test_an_invalid_message_is_ignored(data: bytes, inbox: Inbox) -> None:
    inbox.sender.socket.send(data)
    inbox.sender.send({"pid": 1})
    assert inbox.receive() == ({}, [])
    assert inbox.receive() == ({"pid": 1}, [])


def test_a_daemon_that_does_not_read_blocks_no_sender(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sm_proxy.daemon.inbox._SEND_S", 0.01)
    inbox.sender.socket.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            inbox.sender.socket.send(b"{}")
    with pytest.raises(TimeoutError):
        inbox.sender.send({"pid": 1})


def test_sockets_come_with_a_message_and_no_program_inherits_them(inbox: Inbox) -> None:
    near, far = socket.socketpair()
    with near, far:
        inbox.sender.send({"pid": 1}, [far])
        received = inbox.receive()
        assert received is not None
        (found,) = received[1]
        with found:
            assert not os.get_inheritable(found.fileno())
            found.sendall(b"bytes")
        assert near.recv(9) == b"bytes"


def test_a_process_learns_that_the_daemon_has_gone(inbox: Inbox) -> None:
    inbox.close()
    with socket.socket() as end, pytest.raises(OSError, match=r"refused|Broken|reset"):
        inbox.sender.send({"pid": 1}, [end])
