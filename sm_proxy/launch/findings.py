"""Findings while a request is prepared: notes for the user, and doubts that need `--yes`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError

_STOP: Final = re.compile(r"(?<!\.)\.$")
_ANYWAY: Final = "or go on with --yes."


@dataclass
class Findings:
    """The findings so far.

    Attributes:
        sure: whether the user continues although ssh will probably not reach the job.
        notes: for the user, one sentence each.
    """

    sure: bool
    notes: list[str] = field(default_factory=list)

    def doubt(self, reason: SmProxyError) -> None:
        """Note why ssh will probably not reach the job.

        Raises:
            SmProxyError: the user is not sure.
        """
        if not self.sure:
            # A hint may end with a command, whose end must show.
            hint = f"{_STOP.sub('', reason.hint)}; {_ANYWAY}"
            raise SmProxyError(reason.code, reason.message, hint)
        self.notes.append(f"ssh may not reach the job: {reason.text}")

    @contextlib.contextmanager
    def checking(self, what: str) -> Iterator[None]:
        """Note that something could not be checked, if AWS refuses a call for it."""
        try:
            yield
        except ServiceError as error:
            self.notes.append(f"Not checked: {what} ({error.action}: {error.error})")
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            denied = error.message.partition(": ")[0]  # without the service's own words
            self.notes.append(f"Not checked: {what} ({denied})")
