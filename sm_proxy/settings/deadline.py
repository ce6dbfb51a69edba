"""When a command gives up waiting for AWS, which goes on without us."""

from __future__ import annotations

import random
import time

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import durations


class Deadline:
    """When to give up.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; not below 0."""
        return max(0.0, self._until - time.monotonic())

    def sleep(self, bounds: tuple[float, float]) -> None:
        """Sleep for a random time within these bounds, but not beyond the deadline."""
        time.sleep(min(self.left, random.uniform(*bounds)))  # noqa: S311 - jitter

    def passed(self, what: str, hint: str) -> SmProxyError:
        """The error for a wait that has taken too long."""
        waited = durations.form(int(self.seconds))
        return SmProxyError("wait-timeout", f"after {waited}, {what}", hint)
