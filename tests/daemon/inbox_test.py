"""What the daemon's processes tell it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator

import pytest

from sm_proxy.daemon.inbox import LIMIT, Inbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.writer.close()
    made._reader.close()


def test_messages_arrive_one_by_one(inbox: Inbox) -> None:
    assert inbox.receive() is None
    inbox.tell({"pid": 1})
    inbox.tell({"pid": 2, "host": "\udcff"})
    assert inbox.receive() == {"pid": 1}
    assert inbox.receive() == {"pid": 2, "host": "\udcff"}
    assert inbox.receive() is None


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"{", b"\xff", json.dumps({"host": "h" * LIMIT}).encode()]
)
def test_what_is_no_message_says_nothing(data: bytes, inbox: Inbox) -> None:
    inbox.writer.send(data)
    inbox.tell({"pid": 1})
    assert inbox.receive() == {}
    assert inbox.receive() == {"pid": 1}


def test_a_daemon_that_does_not_read_holds_nobody_up(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sm_proxy.daemon.inbox._SEND_S", 0.01)
    inbox.writer.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            inbox.writer.send(b"{}")
    with pytest.raises(TimeoutError):
        inbox.tell({"pid": 1})
