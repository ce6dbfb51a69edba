"""Which of the client's data messages the service accepts."""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import wire
from sm_proxy_lab.gateway.rate_limit import RateLimit, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.faults import Faults

log = logging.getLogger("sm_proxy_lab.gateway")


class Admission(Enum):
    """What to do with a message."""

    RELAY = auto()
    PAUSE = auto()  # tell the agent to pause, then relay the message
    DROP = auto()
    CUT = auto()  # drop it and cut the connection


class AdmissionControl:
    """Checks the data messages of one connection."""

    def __init__(self, session: str, faults: Callable[[], Faults]) -> None:
        self._session = session
        self._faults = faults
        self._rate = RateLimit()
        self._loop = asyncio.get_running_loop()

    def look(self, data: bytes) -> Admission:
        """Decide about one message."""
        faults = self._faults()
        limit = faults.max_payload
        if limit is not None and wire.payload_length(data) > limit:
            self._complain(f"a payload of {wire.payload_length(data)} bytes is too long")
            return Admission.DROP if faults.max_payload_drop else Admission.CUT
        if faults.verify_digest and not _digest_ok(data):
            self._complain("a wrong digest, message lost")
            return Admission.DROP
        if not faults.message_rate_limit:
            return Admission.RELAY
        now = self._loop.time()
        verdict = self._rate.count(now, faults.message_rate_limit, faults.rate_grace_s)
        if verdict is Verdict.FINE:
            return Admission.RELAY
        self._complain("too many messages")
        return Admission.PAUSE if verdict is Verdict.PAUSE else Admission.CUT

    def _complain(self, text: str) -> None:
        log.warning("service: %s: %s", self._session, text)


def _digest_ok(data: bytes) -> bool:
    try:
        return wire.decode(data).digest_ok
    except wire.MalformedError:
        return False
