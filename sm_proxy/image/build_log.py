"""What a build prints, from CloudWatch Logs, line by line."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import secret_values

KEPT: Final = 300
"""How many of the last lines are kept, to find out why a build failed."""
_LONGEST: Final = 2000
_PAGES: Final = 20
"""How many pages are read at once, of 1 MB at most: the build itself is looked at in between."""
_DEEPEST: Final = 40
_AFTER_THE_END: Final = 40
"""How many lines the host may print after the last phase with commands."""
_COLOUR: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_LAG_S: Final = 2.0
"""How long the last lines may take to come."""
_LAG_ROUNDS: Final = 3
_ABSENT: Final = "ResourceNotFoundException"


class BuildLog:
    """The log of one build.

    Args:
        aws: for the calls.
        on_line: takes each line, cleaned.
        on_status: takes a line for people about the log.

    Attributes:
        last: the last lines.
    """

    def __init__(
        self, aws: Aws, on_line: Callable[[str], None], on_status: Callable[[str], None]
    ) -> None:
        self.last: deque[str] = deque(maxlen=KEPT)
        self._aws, self._on_line, self._on_status = aws, on_line, on_status
        self._token: str | None = None
        self._refused = False

    def read(self, build: Mapping[str, Any]) -> bool:
        """Show the new lines. Return whether there were any.

        An unreadable log does not end the wait: the build's status shows its end.
        """
        found = False
        for _ in range(_PAGES):
            page = self._page(build)
            if page is None:
                break
            events = page.get("events", [])
            for event in events:
                self._show(str(event.get("message", "")))
            found = found or bool(events)
            token = page.get("nextForwardToken")
            if token in {None, self._token}:  # the end, for now
                break
            self._token = token
        return found

    def read_rest(self, build: Mapping[str, Any]) -> None:
        """Show what comes after the end of a build, whose log lags."""
        for _ in range(_LAG_ROUNDS):
            if not self.read(build) and self._has_ended():
                return
            if self._refused or not _address(build):
                return
            time.sleep(_LAG_S / _LAG_ROUNDS)

    def _has_ended(self) -> bool:
        """Whether the host has printed what it prints after the last command."""
        return any(
            "Phase complete: POST_BUILD" in line for line in list(self.last)[-_AFTER_THE_END:]
        )

    def _page(self, build: Mapping[str, Any]) -> dict[str, Any] | None:
        where = _address(build)
        if self._refused or where is None:
            return None
        token = {"nextToken": self._token} if self._token else {}
        try:
            return self._aws.call("logs", "GetLogEvents", **where, startFromHead=True, **token)
        except ServiceError as error:
            if error.error != _ABSENT and not error.passing:  # it comes with its first line
                self._give_up(str(error))
        except SmProxyError as error:
            if not error.passing:
                self._give_up(error.text)
        return None

    def _give_up(self, why: str) -> None:
        self._refused = True
        self._on_status(f"the log of the build is not shown: {why}")

    def _show(self, message: str) -> None:
        for line in message.rstrip().split("\n"):
            clean = _cleaned(line)
            self.last.append(clean)
            self._on_line(clean)


def _address(build: Mapping[str, Any]) -> dict[str, str] | None:
    """Where the log is; None until CodeBuild has decided."""
    logs = build.get("logs", {})
    if not logs.get("groupName") or not logs.get("streamName"):
        return None
    return {"logGroupName": logs["groupName"], "logStreamName": logs["streamName"]}


def _cleaned(line: str) -> str:
    """A line without control characters and colours, with its indentation.

    Not `redact`, which also takes out what looks like a secret: here, that is a digest.
    Of a line that a program has overwritten, such as a progress bar, only the last version is left.
    """
    plain = _COLOUR.sub("", line).rstrip().rpartition("\r")[2].expandtabs()
    text = plain.lstrip(" ")
    return " " * min(len(plain) - len(text), _DEEPEST) + printable(
        secret_values.strike(text), _LONGEST
    )
