"""Messages in flight: kept until they are acknowledged, sent again when they seem lost.

Both hops are TCP, and the agent acknowledges in the order of arrival. So a message counts as lost
in three cases only:

    overtaken  messages that were sent later have been acknowledged
    silence    no ack arrived for a whole timeout; then only the oldest message is sent again,
               because the agent may just be slow
    cut        the connection broke
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sm_proxy.ssm.timing import MAXIMUM_S, MINIMUM_S, RetransmissionTimer

PAUSED_PROBE_S: Final = 1.0
_LOST_AFTER: Final = 3
"""So many acks of later messages mean that a message is lost. Fewer may be reordering."""
_NEVER: Final = float("inf")


@dataclass(slots=True)
class _Sent:
    """A message in flight, with its frame: a resent message must be identical."""

    frame: bytes
    offset: int
    last_sent: float
    timeout: float
    due: float
    resends: int = 0
    alone: bool = False
    """Whether it was last resent alone, after a silence."""
    overtaken: int = 0
    """How many later messages were acknowledged since this one was last sent."""


class Flight:
    """The unacknowledged messages of one direction, and the numbering of new ones.

    Attributes:
        next_sequence: the number of the next message.
        last_progress: when a message was last acknowledged; minus infinity if none was.
    """

    def __init__(self) -> None:
        self.next_sequence = 0
        self._oldest = 0
        self._entries: dict[int, _Sent] = {}
        self._offset = 0
        self._suspect_until = -1
        """No message above this number was overtaken."""
        self.last_progress = -_NEVER
        self._next_due = _NEVER
        self._timer = RetransmissionTimer()

    def __bool__(self) -> bool:
        """Whether anything is unacknowledged."""
        return bool(self._entries)

    @property
    def span_bytes(self) -> int:
        """Payload bytes from the oldest unacknowledged message on.

        Messages that were acknowledged behind a gap count too: the agent keeps them in memory,
        and it has no bound in bytes.
        """
        oldest = self._entries.get(self._oldest)
        return self._offset - oldest.offset if oldest else 0

    @property
    def span_messages(self) -> int:
        """Messages from the oldest unacknowledged one on."""
        return self.next_sequence - self._oldest

    @property
    def deadline(self) -> float:
        """When to call `resend`; infinity for never."""
        return self._next_due if self._entries else _NEVER

    def add(self, frame: bytes, size: int, now: float, *, is_data: bool) -> None:
        """Record that the message with the number `next_sequence` is being sent."""
        timeout = self._timer.first_timeout(is_data=is_data)
        self._entries[self.next_sequence] = _Sent(frame, self._offset, now, timeout, now + timeout)
        self._next_due = min(self._next_due, now + timeout)
        self._offset += size
        self.next_sequence += 1

    def acknowledge(self, sequence: int, now: float) -> bool:
        """Forget a message; False if no message in flight has this number."""
        entry = self._entries.pop(sequence, None)
        if entry is None:
            return False
        self.last_progress = now
        if not entry.resends:
            self._timer.sample(now - entry.last_sent)
        self._note_overtaking(sequence, now)
        if entry.alone:
            self._note_end_of_silence(entry.last_sent, now)
        while self._oldest < self.next_sequence and self._oldest not in self._entries:
            self._oldest += 1
        if self._entries:
            self._next_due = min(self._next_due, self._due(self._oldest))
        return True

    def handshake_answered(self, now: float) -> None:
        """Take the answer to message 0 as a round trip, if it arrived before the ack."""
        entry = self._entries.get(0)
        if entry is not None and not entry.resends and not self._timer.sampled:
            self._timer.sample(now - entry.last_sent)

    def all_lost(self, now: float) -> None:
        """The connection broke: send everything unacknowledged again."""
        for entry in self._entries.values():
            entry.due = now
            entry.overtaken = _LOST_AFTER
        self._suspect_until = self.next_sequence - 1
        self._next_due = now

    def look_again(self) -> None:
        """Let `resend` decide again: a pause has ended."""
        self._next_due = -_NEVER

    def resend(
        self, now: float, budget: int, *, paused: bool, may_send: Callable[[float], bool]
    ) -> list[bytes]:
        """Frames that count as lost, oldest first, about `budget` bytes; one frame in a pause."""
        out: list[bytes] = []
        for sequence in self._suspects(paused=paused):
            if budget <= 0:
                break
            if self._due(sequence) <= now and may_send(now):
                entry = self._entries[sequence]
                out.append(entry.frame)
                budget -= len(entry.frame)
                self._back_off(entry, now, at_least=PAUSED_PROBE_S if paused else 0)
        self._next_due = min(map(self._due, self._suspects(paused=paused)), default=_NEVER)
        return out

    def _suspects(self, *, paused: bool) -> Iterator[int]:
        until = self._oldest if paused else max(self._oldest, self._suspect_until)
        return (item for item in range(self._oldest, until + 1) if item in self._entries)

    def _due(self, sequence: int) -> float:
        """When this message counts as lost; infinity without a sign of loss."""
        entry = self._entries[sequence]
        if entry.overtaken:
            return entry.due
        if sequence > self._oldest:
            return _NEVER
        patience = entry.timeout  # below the minimum only for the first data message
        if patience >= MINIMUM_S:
            patience = max(patience, self._timer.timeout)
        return max(entry.due, self.last_progress + patience)

    def _note_overtaking(self, sequence: int, now: float) -> None:
        for earlier in range(self._oldest, sequence):
            entry = self._entries.get(earlier)
            if entry is None:
                continue
            entry.overtaken += 1
            if entry.overtaken >= _LOST_AFTER and not entry.resends:
                entry.due = min(entry.due, now)
            self._next_due = min(self._next_due, entry.due)
        self._suspect_until = max(self._suspect_until, sequence)

    def _note_end_of_silence(self, sent: float, now: float) -> None:
        """An ack ended a silence: what was sent before that message is lost, or its ack is late.

        Wait one more round trip for late acks, then send the rest again at once.
        """
        for entry in self._entries.values():
            if entry.last_sent < sent:
                entry.overtaken += 1
                entry.due = now + self._timer.estimate
                self._next_due = min(self._next_due, entry.due)
        self._suspect_until = self.next_sequence - 1

    def _back_off(self, entry: _Sent, now: float, *, at_least: float) -> None:
        entry.alone = not entry.overtaken
        entry.last_sent = now
        entry.resends += 1
        entry.overtaken = 0
        entry.timeout = min(MAXIMUM_S, entry.timeout * 2)
        entry.due = now + max(entry.timeout, at_least)
        self._timer.at_least(entry.timeout)
