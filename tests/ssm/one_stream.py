"""The first stream of a session, as the tests read it."""

from __future__ import annotations

from sm_proxy.ssm.incoming import Demultiplexer


class OneStream:
    """Takes the agent's bytes in any split and gives the first stream's data."""

    def __init__(self) -> None:
        self._all = Demultiplexer()
        self._all.multiplexed = True

    @property
    def ended(self) -> bool:
        return self._all.first.ended

    def feed(self, data: bytes) -> bytes:
        self._all.feed(data)
        return self._all.first.read(0, hold=False)
