"""All events of one log stream, page by page, and then those that come later.

GetLogEvents gives events in the order of their times, and an event may arrive late: then its place
is before events that were read already, and a token that stands behind these never leads to it. So
each further reading begins a while before the newest event, and leaves out what was read before.
Events have no ids here; those that are equal in all their fields are counted.

The documentation of GetLogEvents says that the token repeats at the end. Its users report that it
may change for ever in a log that is being written, and that pages may overlap
(awslabs/aws-healthomics-tools, pull request 67; boto/boto3, issue 4472). Neither is relied on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError

LATE_MS: Final = 60_000
"""How much later than the newest event an older one may arrive, in milliseconds."""
PAGE: Final = 10_000
"""The most events that GetLogEvents gives in one page; a page also has 1 MB at most."""
_AGAIN: Final = 2_000
"""How many events are read again at most: in a busy log, the time above is shorter."""
_EMPTY_PAGES: Final = 30
"""Empty pages in a row after which a first reading ends, if the token does not repeat."""
_EMPTY_AGAIN: Final = 3
"""The same for further readings, which begin near the end, and which another one follows."""
_ABSENT: Final = "ResourceNotFoundException"
_Key = tuple[int, int, int]
Page = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        at_ms: when it happened, in Unix milliseconds.
        message: its text, which may have several lines.
    """

    at_ms: int
    message: str


class LogEvents:
    """The events of one stream that were not read yet.

    Args:
        aws: for the calls.
        group: the log group.
        stream: the log stream.
        since_ms: the time of the first event wanted, in Unix milliseconds; None for all.
        unmask: whether to show what a data protection policy hides; needs logs:Unmask.
        per_page: how many events a page has at most: all that is held in memory.
        ask: makes a call, again if it may succeed then; None to make it once.
    """

    def __init__(
        self,
        aws: Aws,
        group: str,
        stream: str,
        *,
        since_ms: int | None = None,
        unmask: bool = False,
        per_page: int = PAGE,
        ask: Callable[[Callable[[], Page]], Page] | None = None,
    ) -> None:
        self.stream = stream
        self._aws = aws
        self._fixed: dict[str, Any] = {
            "logGroupName": group,
            "logStreamName": stream,
            "startFromHead": True,
            "limit": per_page,
            **({"unmask": True} if unmask else {}),
        }
        self._from_ms = since_ms
        self._ask = ask or (lambda call: call())
        self._read: list[tuple[int, _Key]] = []
        self._last_ms = 0
        self._again = min(_AGAIN, per_page)

    def unread(self) -> Iterator[list[Event]]:
        """What was not read yet, page by page, up to the end that the stream has now.

        After an error, the next call continues where this one stopped.

        Raises:
            SmProxyError: a call failed.
        """
        known = self._known_from(0)
        self._last_ms = 0
        options = {} if self._from_ms is None else {"startTime": self._from_ms}
        token: str | None = None
        empty, most = 0, _EMPTY_AGAIN if self._read else _EMPTY_PAGES
        while empty < most:
            wanted = {**options, **({"nextToken": token} if token else {})}
            page = self._ask(partial(self._page, wanted))
            found = page.get("events", [])
            if self._goes_back(found):
                known = self._known_from(found[0]["timestamp"])
            if new := self._new(found, known):
                yield new
            # An empty page may come before others; at the end, the token repeats.
            empty = 0 if found else empty + 1
            if page.get("nextForwardToken") in {None, token}:
                return
            token = page["nextForwardToken"]

    def _known_from(self, at_ms: int) -> Counter[_Key]:
        """What was read before, from a time on."""
        return Counter(key for at, key in self._read if at >= at_ms)

    def _goes_back(self, found: list[dict[str, Any]]) -> bool:
        """Whether a page begins before the end of the one before it: then they overlap."""
        before = self._last_ms
        if found:
            self._last_ms = int(found[-1].get("timestamp", 0))
        return bool(found) and int(found[0].get("timestamp", 0)) < before

    def _new(self, found: list[dict[str, Any]], known: Counter[_Key]) -> list[Event]:
        new = []
        for item in found:
            at_ms, message = int(item.get("timestamp", 0)), str(item.get("message", ""))
            key = (at_ms, int(item.get("ingestionTime", 0)), hash(message))
            if known[key] > 0:
                known[key] -= 1
                continue
            new.append(Event(at_ms, message))
            self._read.append((at_ms, key))
        self._forget_old()
        return new

    def _forget_old(self) -> None:
        """Choose where the next reading begins, and forget earlier events."""
        if not self._read:
            return
        self._read.sort()
        # A clock in the container that is ahead must not hide what others write now.
        newest = min(self._read[-1][0], int(self._aws.now().timestamp() * 1000))
        many = self._read[-self._again][0] if len(self._read) > self._again else 0
        self._from_ms = max(newest - LATE_MS, many, self._from_ms or 0)
        self._read = [item for item in self._read if item[0] >= self._from_ms]

    def _page(self, options: dict[str, Any]) -> Page:
        try:
            return self._aws.call("logs", "GetLogEvents", **self._fixed, **options)
        except ServiceError as error:
            if error.error == _ABSENT:  # the log was deleted, or has just been made
                return {}
            raise error.as_failure() from None
