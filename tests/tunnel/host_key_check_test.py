"""An unexpected host key is held back while the log is read; other bytes pass unchanged."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel import host_key_check
from sm_proxy.tunnel.host_key_check import HostKeyCheckedStream
from tests.tunnel.fakes import FakeStream
from tests.tunnel.packets import BLOB, GREETING, KEXINIT, NEWKEYS, REPLY, portions

EXCHANGE = GREETING + KEXINIT + REPLY + NEWKEYS + b"encrypted"


class Judge:
    """Expects only one key; answers for another one when the test allows it."""

    def __init__(self, verdict: SmProxyError | None = None, *, expects: bytes = b"") -> None:
        self.verdict = verdict
        self.expects = expects
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked: list[tuple[bytes, str]] = []

    def accepts(self, blob: bytes) -> bool:
        return blob == self.expects

    def judge(self, blob: bytes, through: str) -> SmProxyError | None:
        self.asked.append((blob, through))
        self.may_answer.wait(60)
        return self.verdict

    def refusal(self, blob: bytes, through: str, unread_because: str = "") -> SmProxyError:
        del blob, through
        return SmProxyError("host-key-changed", unread_because)


class Case:
    """A stream whose host key is checked, with the errors that were shown."""

    def __init__(self, judge: Judge) -> None:
        self.inner = FakeStream()
        self.reported: list[tuple[SmProxyError, bytes]] = []
        self.got = b""
        self.stream = HostKeyCheckedStream(self.inner, judge, self._on_refusal)

    def _on_refusal(self, error: SmProxyError) -> None:
        self.reported.append((error, self.got))

    def take(self, *chunks: bytes) -> None:
        """Let bytes come, and read as much as possible."""
        for chunk in chunks:
            self.inner.coming += chunk
            self._read()

    def settle(self) -> None:
        """Drive it until the judge has answered."""
        deadline = time.monotonic() + 60
        while self.stream._check is not None and time.monotonic() < deadline:
            time.sleep(0.001)
            self.stream.advance(0, readable=False)
        self._read()

    def _read(self) -> None:
        while data := self.stream.read():
            self.got += data


REFUSED = SmProxyError("host-key-changed", "no")


@given(cuts=st.lists(st.integers(0, 4000), max_size=20))
def test_an_expected_key_is_neither_delayed_nor_changed(cuts: list[int]) -> None:
    judge = Judge(expects=BLOB)
    case = Case(judge)
    whole = b""
    for portion in portions(EXCHANGE, cuts):
        case.take(portion)
        whole += portion
        assert case.got == whole
        seen = len(whole) >= len(GREETING + KEXINIT + REPLY)
        assert case.stream.transparent == seen
    assert (judge.asked, case.reported, case.stream.ended) == ([], [], False)


@given(cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_a_key_that_the_log_names_by_now_is_passed_on(cuts: list[int]) -> None:
    judge = Judge()
    case = Case(judge)
    case.take(*portions(EXCHANGE, cuts))
    case.settle()
    assert case.got == EXCHANGE
    assert [blob for blob, _ in judge.asked] == [BLOB]
    assert (case.reported, case.stream.failure, case.stream.ended) == ([], None, False)
    assert case.stream.transparent


@given(cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_a_refused_key_is_reported_then_passed_to_ssh_and_no_more(cuts: list[int]) -> None:
    case = Case(Judge(REFUSED))
    case.take(*portions(EXCHANGE, cuts))
    case.settle()
    case.take(b"more")
    reply = GREETING + KEXINIT + REPLY
    ((error, before),) = case.reported
    assert error is REFUSED
    assert len(before) < len(reply)
    assert case.got.startswith(reply)
    assert EXCHANGE.startswith(case.got)
    assert case.stream.ended
    assert case.stream.failure is case.stream.refusal is REFUSED
    assert case.stream.room == 0
    assert not case.stream.transparent


def test_a_stream_does_not_end_while_the_log_is_read() -> None:
    judge = Judge()
    judge.may_answer.clear()
    case = Case(judge)
    case.take(GREETING + KEXINIT)
    case.take(REPLY)
    case.inner.ended = True
    assert case.got == GREETING + KEXINIT
    assert not case.stream.transparent
    assert (case.stream.ended, case.stream.fileno()) == (False, -1)  # of a socket that is closed
    assert case.stream.deadline(5) == pytest.approx(5 + host_key_check._TICK_S)
    judge.may_answer.set()
    case.settle()
    assert case.got == GREETING + KEXINIT + REPLY
    assert case.stream.ended


def test_the_wait_for_the_log_is_bounded() -> None:
    judge = Judge()
    judge.may_answer.clear()
    case = Case(judge)
    case.take(EXCHANGE)
    case.stream.advance(100, readable=False)
    case.stream.advance(100 + host_key_check.PATIENCE_S - 0.1, readable=False)
    assert case.stream.failure is None
    case.stream.advance(100 + host_key_check.PATIENCE_S, readable=False)
    judge.may_answer.set()
    assert str(case.stream.failure) == f"no answer in {host_key_check.PATIENCE_S:.0f} s"
    assert case.stream.read() == EXCHANGE


def test_the_descriptor_stays_until_the_end_is_confirmed() -> None:
    case = Case(Judge())
    case.stream.finish()
    case.inner.ended = True
    assert (case.inner.finish_called, case.stream.fileno()) == (1, 0)
