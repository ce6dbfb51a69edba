"""The receiving half of the channel: put messages in order and decide which to acknowledge.

The live service delivers messages out of order and more than once. A copy is acknowledged again:
the agent resends only the oldest message without an ack and never gives up
(A: datachannel.go:468-499), so one lost ack would stall the stream.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sm_proxy.ssm.message import Message

HELD_BYTES: Final = 32 << 20
"""After an outage the agent fills the gap at ten messages a second, while new ones arrive behind
the gap (measured). So the buffer holds more than half a minute at the agent's pace."""
_OVERHEAD: Final = 256
"""Memory that a held message needs besides its payload."""


class Content(NamedTuple):
    """The content of a stream message."""

    payload_type: int
    payload: bytes


class Inbox:
    """Messages from the agent, in any order and any number of copies, to one ordered stream."""

    def __init__(self) -> None:
        self._expected = 0
        self._held: dict[int, Content] = {}
        self._held_bytes = 0

    @property
    def has_gap(self) -> bool:
        """Whether a message is missing before others that have arrived."""
        return bool(self._held)

    def has(self, sequence: int) -> bool:
        """Whether the message of this number has arrived already."""
        return sequence < self._expected or sequence in self._held

    def accept(self, message: Message) -> tuple[bool, list[Content]]:
        """Process one stream message.

        Returns:
            Whether to acknowledge it, and the contents that are next in the stream.
        """
        sequence = message.sequence
        content = Content(message.payload_type, message.payload)
        if sequence == self._expected:
            self._expected += 1
            return True, [content, *self._release()] if self._held else [content]
        if self.has(sequence):
            return True, []
        return self._hold(sequence, content), []

    def _hold(self, sequence: int, content: Content) -> bool:
        """Keep an early message. Returns False if the buffer is full: the agent sends it again."""
        size = len(content.payload) + _OVERHEAD
        if self._held_bytes + size > HELD_BYTES:
            return False
        self._held[sequence] = content
        self._held_bytes += size
        return True

    def _release(self) -> list[Content]:
        ready: list[Content] = []
        while (content := self._held.pop(self._expected, None)) is not None:
            self._held_bytes -= len(content.payload) + _OVERHEAD
            self._expected += 1
            ready.append(content)
        return ready
