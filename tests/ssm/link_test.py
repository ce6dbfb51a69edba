"""The connection below a session, and what follows it."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from sm_proxy.ssm.api import Grant
from sm_proxy.ssm.dial import DIRECT
from sm_proxy.ssm.gather import FULL_BYTES
from sm_proxy.ssm.link import Link


def test_a_connection_that_breaks_in_a_download_lets_the_next_one_be_listened_to() -> None:
    """An ack may meet the end while messages gather."""
    websocket: Any = Mock(pongs=0)
    websocket.receive.return_value = [b"x" * FULL_BYTES]
    link = Link(Mock(), Grant("session", "token", ""), websocket, DIRECT, 0.0)
    for hundredths in range(100):
        link.receive(websocket, hundredths / 100)
    assert link.gathering
    link.broke(1.0, "an ack could not be sent", resume=False)
    assert not link.gathering
