"""A session that only its own stream can end is ended by every close."""

from __future__ import annotations

import pytest

from sm_proxy.tunnel import farewell
from sm_proxy.tunnel.farewell import FarewellStream
from tests.tunnel.fakes import SocketStream


def test_a_stream_that_is_closed_early_is_finished_first() -> None:
    inner = SocketStream()
    FarewellStream(inner).close()
    assert inner.events == ["finish", "close"]
    inner.far.close()


def test_a_stream_that_has_failed_cannot_be_finished() -> None:
    inner = SocketStream()
    inner.failure = OSError("lost")
    FarewellStream(inner).close()
    assert inner.events == ["close"]
    inner.far.close()


def test_a_stream_that_is_not_open_yet_is_finished_once_it_is() -> None:
    inner = SocketStream()
    inner.opened = False
    stream = FarewellStream(inner)
    stream.finish()
    assert inner.events == []

    def opens(now: float, *, readable: bool) -> None:
        inner.opened = True

    inner.advance = opens  # type: ignore[method-assign]
    stream.close()
    assert inner.events == ["finish", "close"]
    inner.far.close()


def test_a_stream_that_has_confirmed_its_end_is_not_finished_again() -> None:
    inner = SocketStream()
    stream = FarewellStream(inner)
    stream.finish()
    stream.close()
    assert inner.events == ["finish", "close"]
    inner.far.close()


def test_a_stream_that_is_never_confirmed_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farewell, "PATIENCE_S", 0.01)
    inner = SocketStream()
    inner.confirms = False
    FarewellStream(inner).close()
    assert inner.events == ["finish", "close"]
    inner.far.close()
