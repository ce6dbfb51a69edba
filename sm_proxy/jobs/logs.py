"""Read the first or last lines of a node's log; the cost does not grow with the log."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError

_HEAD_SIZES: Final = (100, 1000, 10000)
_EMPTY_PAGES: Final = 30
_TAIL_PAGES: Final = 3
_PAGES: Final = 40
"""A page has 1 MB at most: with lines of 256 KB, 10,000 lines would be thousands of pages."""


class LimitError(SmProxyError):
    """The log is longer than we read. Reading it again does not help: its head does not change."""


def head(aws: Aws, group: str, stream: str, *, unmask: bool = False) -> Iterator[list[str]]:
    """The first lines of a stream, in growing steps: 100, 1,000, then 10,000 lines.

    Args:
        aws: for the calls.
        group: the log group.
        stream: the log stream.
        unmask: whether to show what a data protection policy hides; needs logs:Unmask.

    Raises:
        LimitError: the log is longer than that.
        SmProxyError: a call failed.
    """
    unmasked: dict[str, Any] = {"unmask": True} if unmask else {}
    token: str | None = None
    goals = list(itertools.accumulate(_HEAD_SIZES))
    read = empty = 0
    for _ in range(_PAGES):
        limit = next(goal for goal in goals if goal > read) - read
        page = _events_page(aws, group, stream, {**unmasked, **_next(token), "limit": limit})
        events = page.get("events", [])
        if events:
            yield [str(event.get("message", "")) for event in events]
        read += len(events)
        # An empty page may come before others; at the end, the token repeats.
        empty = 0 if events else empty + 1
        at_end = page.get("nextForwardToken") in {None, token}
        if at_end or empty == _EMPTY_PAGES:
            return
        if read >= goals[-1]:
            break
        token = page["nextForwardToken"]
    raise LimitError(
        "no-address",
        f"the first {read:,} lines of the log {stream} name no address",
        "Is the sm-proxy entrypoint in the image? It prints one line when it starts.",
    )


def tail(aws: Aws, group: str, stream: str, lines: int) -> list[str]:
    """The last lines of a stream; empty if it cannot be read. One call, or a few.

    Args:
        aws: for the calls.
        group: the log group.
        stream: the log stream.
        lines: how many at most.
    """
    token: dict[str, Any] = {}
    for _ in range(_TAIL_PAGES):  # an empty page may come before others
        try:
            page = aws.call(
                "logs",
                "GetLogEvents",
                logGroupName=group,
                logStreamName=stream,
                startFromHead=False,
                limit=lines,
                **token,
            )
        except (SmProxyError, ServiceError):
            break
        if found := [str(event.get("message", "")) for event in page.get("events", [])]:
            return found[-lines:]
        before = token.get("nextToken")
        token = {"nextToken": page.get("nextBackwardToken")}
        if token["nextToken"] in {None, before}:
            break
    return []


def _next(token: str | None) -> dict[str, Any]:
    return {"nextToken": token} if token else {}


def _events_page(aws: Aws, group: str, stream: str, options: dict[str, Any]) -> dict[str, Any]:
    try:
        return aws.call(
            "logs",
            "GetLogEvents",
            logGroupName=group,
            logStreamName=stream,
            startFromHead=True,
            **options,
        )
    except ServiceError as error:
        if error.error == "ResourceNotFoundException":
            return {}
        raise error.as_failure() from None
