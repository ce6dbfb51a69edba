"""When to send: the retransmission timer and the pace of new messages. Times are in seconds."""

from __future__ import annotations

from typing import Final

FIRST_TIMEOUT_S: Final = 0.2
MINIMUM_S: Final = 0.2
MAXIMUM_S: Final = 10.0
"""TCP loses nothing, so a missing message was refused, or lost with a connection. Sending the
oldest one again every ten seconds costs nothing, and soon finds an agent that is back."""
_FIRST_DATA_MINIMUM_S: Final = 0.005
MESSAGES_PER_S: Final = 800.0
"""The service closes connections that stay above about 1,000 data messages a second (seen in field
reports)."""
BURST: Final = 160


class RetransmissionTimer:
    """Round-trip estimate and timeout, from messages that were sent once only.

    It smooths as both reference implementations do (A: datachannel.go:661-684), without their
    ceiling of one second: on a slow link that ceiling would send everything twice.
    """

    def __init__(self) -> None:
        self.timeout = FIRST_TIMEOUT_S
        self._smoothed = 0.0
        self._variation = 0.0
        self._data_sent = False

    @property
    def sampled(self) -> bool:
        """Whether there is an estimate."""
        return self._smoothed > 0

    @property
    def estimate(self) -> float:
        """The longest time that an ack should take, by the samples alone."""
        if not self.sampled:
            return FIRST_TIMEOUT_S
        wanted = self._smoothed + max(0.01, 4 * self._variation)
        return min(MAXIMUM_S, max(MINIMUM_S, wanted))

    def sample(self, round_trip: float) -> None:
        """Use the round trip of a message that was sent only once."""
        round_trip = max(round_trip, 1e-6)
        if not self.sampled:
            self._smoothed, self._variation = round_trip, round_trip / 2
        else:
            self._variation += (abs(self._smoothed - round_trip) - self._variation) / 4
            self._smoothed += (round_trip - self._smoothed) / 8
        self.timeout = self.estimate

    def first_timeout(self, *, is_data: bool) -> float:
        """The timeout of a message that is sent for the first time.

        While an agent dials its target, it drops data and sends no ack
        (A: session/plugins/port/port.go:271-276). So the first data message is sent again after
        two round trips, not after 200 ms.
        """
        if is_data and not self._data_sent:
            self._data_sent = True
            if self.sampled:
                return min(FIRST_TIMEOUT_S, max(_FIRST_DATA_MINIMUM_S, 2 * self._smoothed))
        return self.timeout

    def at_least(self, timeout: float) -> None:
        """Wait at least this long from now on, until a new sample: a message has timed out."""
        self.timeout = max(self.timeout, timeout)


class Pace:
    """Limits the rate of messages, with a burst: typing never waits, a bulk copy is slowed down.

    It counts no tokens. It keeps the time at which a steady sender would have sent the messages so
    far (a virtual schedule). So `take` succeeds exactly at `next_at`, whatever the rounding, and a
    caller that sleeps until then never wakes too early.
    """

    def __init__(self, per_second: float = MESSAGES_PER_S, burst: int = BURST) -> None:
        self._interval = 1 / per_second
        self._tolerance = self._interval * (burst - 0.5)  # half a message against rounding errors
        self._schedule = float("-inf")

    @property
    def next_at(self) -> float:
        """When the next message may go."""
        return self._schedule - self._tolerance

    def take(self, now: float) -> bool:
        """Whether one message may go now; if so, count it."""
        if now < self.next_at:
            return False
        self._schedule = max(self._schedule, now) + self._interval
        return True
