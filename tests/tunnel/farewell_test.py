"""A session that only its own stream can end is ended by every close."""

from __future__ import annotations

import pytest

from sm_proxy.tunnel.farewell import FarewellStream
from tests.tunnel.fakes import SocketStream


@pytest.mark.parametrize(
    ("state", "events"),
    [
        ({}, ["finish", "close"]),
        ({"opened": False}, ["close"]),
        ({"failure": OSError("lost")}, ["close"]),
    ],
)
def test_a_stream_that_is_closed_early_is_finished_first(
    state: dict[str, object], events: list[str]
) -> None:
    inner = SocketStream()
    vars(inner).update(state)
    FarewellStream(inner).close()
    assert inner.events == events
    inner.far.close()


def test_a_stream_that_was_finished_is_not_finished_again() -> None:
    inner = SocketStream()
    inner.confirms = False
    stream = FarewellStream(inner)
    stream.finish()
    stream.close()
    assert inner.events == ["finish", "close"]
    inner.far.close()
