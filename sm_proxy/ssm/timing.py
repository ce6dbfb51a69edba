"""When to send: the retransmission timer and the pace of new messages. Times are in seconds."""

from __future__ import annotations

from typing import Final

FIRST_TIMEOUT_S: Final = 0.2
MINIMUM_S: Final = 0.2
MAXIMUM_S: Final = 10.0
"""Below us is TCP, so what is missing was refused or lost at a reconnect: resending the oldest
message every ten seconds costs nothing and finds an agent that came back soon enough."""
_FIRST_DATA_MINIMUM_S: Final = 0.005
MESSAGES_PER_S: Final = 800.0
"""The service cuts connections kept above about 1,000 data messages a second (field reports)."""
BURST: Final = 160


class RetransmissionTimer:
    """Round-trip estimate and timeout, from messages that were sent once only.

    Smoothing as both reference ends do it (A: datachannel.go:661-684), without their ceiling of
    one second: on a slow link that would send everything twice.
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
        """How long an ack takes at most, by the samples alone."""
        if not self.sampled:
            return FIRST_TIMEOUT_S
        wanted = self._smoothed + max(0.01, 4 * self._variation)
        return min(MAXIMUM_S, max(MINIMUM_S, wanted))

    def sample(self, round_trip: float) -> None:
        """Take the round trip of a message that was sent only once."""
        round_trip = max(round_trip, 1e-6)
        if not self.sampled:
            self._smoothed, self._variation = round_trip, round_trip / 2
        else:
            self._variation += (abs(self._smoothed - round_trip) - self._variation) / 4
            self._smoothed += (round_trip - self._smoothed) / 8
        self.timeout = self.estimate

    def first_timeout(self, *, is_data: bool) -> float:
        """The timeout of a message that is sent for the first time.

        An agent that still dials its target refuses data without an ack
        (A: session/plugins/port/port.go:271-276), so the very first data message is repeated
        after two round trips instead of 200 ms.
        """
        if is_data and not self._data_sent:
            self._data_sent = True
            if self.sampled:
                return min(FIRST_TIMEOUT_S, max(_FIRST_DATA_MINIMUM_S, 2 * self._smoothed))
        return self.timeout

    def at_least(self, timeout: float) -> None:
        """A message had to wait this long: be patient until a clean sample says otherwise."""
        self.timeout = max(self.timeout, timeout)


class Pace:
    """Lets messages through at a rate, with a burst: typing never waits, a bulk copy keeps to it.

    Instead of counting tokens it keeps the time at which a steady sender would have sent what was
    let through (a virtual schedule). So `next_at` is exactly the moment at which `take` succeeds,
    whatever the rounding: a driver that sleeps until then never wakes in vain.
    """

    def __init__(self, per_second: float = MESSAGES_PER_S, burst: int = BURST) -> None:
        self._interval = 1 / per_second
        self._tolerance = self._interval * (burst - 0.5)  # a half, so that rounding costs none
        self._schedule = float("-inf")

    @property
    def next_at(self) -> float:
        """When the next message may go."""
        return self._schedule - self._tolerance

    def take(self, now: float) -> bool:
        """Let one message through, if it is time for it."""
        if now < self.next_at:
            return False
        self._schedule = max(self._schedule, now) + self._interval
        return True
