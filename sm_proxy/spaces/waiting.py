"""Wait until SageMaker has done what was asked of a space or its app, and say how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import waits
from sm_proxy.local.waits import Wait
from sm_proxy.settings.deadline import Deadline

_POLL_S: Final = (1.0, 2.0)
"""Seconds between two looks: random within these bounds."""
_SLOW_POLL_S: Final = (3.0, 5.0)
"""As above, after `_QUICK_S` seconds: an app takes minutes to start."""
_QUICK_S: Final = 20.0
_SHOWN: Final = 300


@dataclass(frozen=True)
class Waiter:
    """Repeats a look until it is satisfied.

    Attributes:
        deadline: of the whole command.
        say: takes a line for people.
        again: the command that goes on with it.
    """

    deadline: Deadline
    say: Callable[[str], None]
    again: str

    def until(self, what: str, look: Callable[[], str]) -> None:
        """Look until the answer is empty.

        Args:
            what: is waited for, such as `lab: its app`.
            look: returns the status that is not the last one yet; empty if it is.

        Raises:
            SmProxyError: `wait-timeout`; what `look` raises, but for errors that pass.
        """
        with waits.waiting(f"{what}: asking SageMaker", self.deadline.left) as wait:
            self._until(what, look, wait)

    def _until(self, what: str, look: Callable[[], str], wait: Wait) -> None:
        began = time.monotonic()
        while status := self._status(look):
            now = time.monotonic()
            wait.tell(f"{what} is {printable(status, _SHOWN)}", self.say)
            if self.deadline.left <= 0:
                raise self.deadline.passed(
                    f"{what} is still {status}",
                    f"SageMaker continues this step; the next one waits for you: {self.again}",
                )
            self.deadline.sleep(_SLOW_POLL_S if now - began > _QUICK_S else _POLL_S)

    def _status(self, look: Callable[[], str]) -> str:
        try:
            return look()
        except SmProxyError as error:
            if not error.passing:
                raise
            return f"unknown: {error.message}"
