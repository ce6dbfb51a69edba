"""Reading logs: GetLogEvents page by page, FilterLogEvents by scanning."""

from __future__ import annotations

import hashlib
import heapq
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.logs import filter_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.logs.store import LogGroup, LogStore
    from sm_proxy_lab.aws.logs.stream import Event, LogStream

MAX_EVENTS = 10_000
MAX_BYTES = 1 << 20
# Bytes that the service counts for an event besides its message.
EVENT_OVERHEAD = 26
# f or b for the direction; the time of the event before the place, and how many of that time are
# before it: a late event does not move the place; the empty pages given so far.
_TOKEN = re.compile(r"([fb])/(\d{32})(\d{12})(\d{12})/s")
_BAD_TOKEN = "The specified nextToken is invalid."  # noqa: S105 - a message, not a secret


class Reader:
    """The two operations that read events."""

    def __init__(self, store: LogStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    def get(self, call: Call) -> dict[str, Any]:
        """GetLogEvents: one page, and the tokens for the next page forward and backward."""
        params = call.params
        masked = re.compile(self._faults["masked_logs"] or "(?!)")
        if params.get("unmask"):
            self._faults.check_action(replace(call, operation="Unmask"))
            masked = re.compile("(?!)")
        with self._store.lock:
            group = self._store.group(call.region, group_name(params))
            stream = group.stream(params["logStreamName"])
            low, high = _bounds(stream, params)
            forward, place, emptied = _place(stream, params, low, high)
            if emptied < self._faults["empty_log_pages"]:
                start, end, emptied = place, place, emptied + 1
            else:
                start, end = _span(stream, place, low, high, params, forward=forward)
            events = [stream[index] for index in range(start, end)]
            forward_token = _token("f", stream, end, emptied)
            backward_token = _token("b", stream, start, emptied)
        return {
            "events": [_line(event, masked) for event in events],
            "nextForwardToken": forward_token,
            "nextBackwardToken": backward_token,
        }

    def filter(self, call: Call) -> dict[str, Any]:
        """FilterLogEvents: scan the events of all streams by time, up to a limit per page."""
        params = call.params
        matches = filter_pattern.compile_pattern(params.get("filterPattern", ""))
        limit = params.get("limit", MAX_EVENTS)
        with self._store.lock:
            group = self._store.group(call.region, group_name(params))
            streams = _chosen(group, params)
            state = _filter_state(params.get("nextToken"))
            places: dict[str, int] = state["places"]
            if state["emptied"] < self._faults["empty_log_pages"]:
                state["emptied"] += 1
                return {
                    "events": [],
                    "searchedLogStreams": [],
                    "nextToken": page_tokens.seal(state),
                }
            found: list[dict[str, Any]] = []
            size = 0
            done = True
            for scanned, (stream, index, event) in enumerate(_merged(streams, places, params)):
                if scanned >= MAX_EVENTS or size >= MAX_BYTES or len(found) >= limit:
                    done = False
                    break
                places[stream.name] = index + 1
                if matches(event.message):
                    size += len(event.message.encode()) + EVENT_OVERHEAD
                    found.append(_filtered_line(stream, index, event))
        answer: dict[str, Any] = {"events": found, "searchedLogStreams": []}
        return answer if done else answer | {"nextToken": page_tokens.seal(state)}


def group_name(params: dict[str, Any]) -> str:
    """The name of the requested group, from logGroupName or logGroupIdentifier (name or ARN).

    Raises:
        AwsError: Not exactly one of the two is given.
    """
    name = params.get("logGroupName")
    identifier = params.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        message = "Exactly one of logGroupName and logGroupIdentifier must be specified."
        raise AwsError("InvalidParameterException", message)
    if name is not None:
        return str(name)
    return str(identifier).rpartition(":log-group:")[2].removesuffix(":*")


def _bounds(stream: LogStream, params: dict[str, Any]) -> tuple[int, int]:
    """The positions from startTime up to, but without, endTime."""
    low = stream.position(params["startTime"]) if "startTime" in params else 0
    high = stream.position(params["endTime"]) if "endTime" in params else len(stream)
    return low, max(low, high)


def _token(way: str, stream: LogStream, place: int, emptied: int) -> str:
    at = stream[place - 1].timestamp if place else 0
    return f"{way}/{at:032d}{place - stream.position(at):012d}{emptied:012d}/s"


def _place(stream: LogStream, params: dict[str, Any], low: int, high: int) -> tuple[bool, int, int]:
    """Return the direction, the position, and the number of empty pages given so far."""
    token = params.get("nextToken")
    if token is None:
        forward = bool(params.get("startFromHead"))
        return forward, low if forward else high, 0
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise AwsError("InvalidParameterException", _BAD_TOKEN)
    at, count, emptied = map(int, found.groups()[1:])
    return found[1] == "f", stream.position(at) + count, emptied


def _span(
    stream: LogStream, place: int, low: int, high: int, params: dict[str, Any], *, forward: bool
) -> tuple[int, int]:
    """The positions of one page that begins at `place`, or that ends there if not `forward`."""
    left = params.get("limit", MAX_EVENTS)
    size = 0
    start = end = place
    while left > 0 and (end < high if forward else start > low):
        index = end if forward else start - 1
        size += len(stream[index].message.encode()) + EVENT_OVERHEAD
        if size > MAX_BYTES and start != end:
            break
        start, end = (start, end + 1) if forward else (start - 1, end)
        left -= 1
    return start, end


def _line(event: Event, masked: re.Pattern[str] = re.compile("(?!)")) -> dict[str, Any]:
    """An event as it is returned; what matches `masked` is replaced by asterisks.

    This is what a data protection policy of a log group does.
    """
    return {
        "timestamp": event.timestamp,
        "message": masked.sub(lambda found: "*" * len(found[0]), event.message),
        "ingestionTime": event.ingested,
    }


def _filtered_line(stream: LogStream, index: int, event: Event) -> dict[str, Any]:
    digest = hashlib.sha256(f"{stream.name} {index}".encode()).hexdigest()
    return {
        "logStreamName": stream.name,
        **_line(event),
        "eventId": f"{int(digest[:40], 16):056d}"[:56],
    }


def _chosen(group: LogGroup, params: dict[str, Any]) -> list[LogStream]:
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names is not None and prefix is not None:
        message = "logStreamNames and logStreamNamePrefix cannot both be specified."
        raise AwsError("InvalidParameterException", message)
    if names is not None:
        return [group.stream(name) for name in dict.fromkeys(names)]
    return [group.stream(name) for name in sorted(group.streams) if name.startswith(prefix or "")]


def _filter_state(token: str | None) -> dict[str, Any]:
    if token is None:
        return {"places": {}, "emptied": 0}
    try:
        state = page_tokens.unseal(token)
        return {"places": dict(state["places"]), "emptied": int(state["emptied"])}
    except (KeyError, TypeError, ValueError):
        raise AwsError("InvalidParameterException", _BAD_TOKEN) from None


def _merged(
    streams: list[LogStream], places: dict[str, int], params: dict[str, Any]
) -> Iterator[tuple[LogStream, int, Event]]:
    """The events of all streams by time, from the positions where the last page stopped."""

    def one(number: int, stream: LogStream) -> Iterator[tuple[int, int, int, Event]]:
        low, high = _bounds(stream, params)
        for index in range(max(low, places.get(stream.name, 0)), high):
            event = stream[index]
            yield event.timestamp, number, index, event

    merged = heapq.merge(*(one(number, stream) for number, stream in enumerate(streams)))
    for _, number, index, event in merged:
        yield streams[number], index, event
