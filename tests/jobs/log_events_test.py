"""What one stream holds is given once, whatever comes late, and in bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.log_events import LogEvents
from tests.fakes import FakeAws

NOW_MS = 1_800_000_000_000
GONE = ServiceError("ResourceNotFoundException", "no such stream", "logs:GetLogEvents")


class Stream:
    """A stream as the service gives it: by time, with tokens that are positions in it."""

    def __init__(self, *messages: str, per_page: int = 10_000, empty_first: int = 0) -> None:
        self.events: list[tuple[int, int, str]] = []
        self.per_page, self.empty_first = per_page, empty_first
        self.asked: list[dict[str, Any]] = []
        for number, message in enumerate(messages):
            self.put(message, number)

    def put(self, message: str, at_ms: int, ingested: int = 0) -> None:
        self.events.append((NOW_MS + at_ms, ingested, message))
        self.events.sort(key=lambda event: event[0])

    def __call__(
        self,
        *,
        nextToken: str = "",  # noqa: N803
        startTime: int = 0,  # noqa: N803
        limit: int,
        **rest: Any,
    ) -> dict[str, Any]:
        self.asked.append({"startTime": startTime, "limit": limit, **rest})
        if self.empty_first:
            self.empty_first -= 1
            return {"events": [], "nextForwardToken": f"empty/{self.empty_first}"}
        place = int(nextToken) if nextToken.isdigit() else 0
        wanted = [event for event in self.events if event[0] >= startTime]
        found = wanted[place : place + min(limit, self.per_page)]
        return {
            "events": [
                {"timestamp": at, "ingestionTime": ingested, "message": message}
                for at, ingested, message in found
            ],
            "nextForwardToken": str(place + len(found)),
        }


class At(FakeAws):
    """An account whose clock stands a minute after the streams' first events."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW_MS / 1000 + 60, timezone.utc)


def reader(stream: Stream, **options: Any) -> LogEvents:
    return LogEvents(At(GetLogEvents=stream), "group", "stream", **options)


def read(log: LogEvents) -> list[str]:
    return [event.message for page in log.unread() for event in page]


def test_all_pages_are_read_up_to_a_token_that_repeats() -> None:
    stream = Stream(*"abcde", per_page=2, empty_first=3)
    assert read(reader(stream)) == list("abcde")


def test_later_events_are_returned_once() -> None:
    stream = Stream("a", "b")
    log = reader(stream)
    assert read(log) == ["a", "b"]
    assert read(log) == []
    stream.put("c", 5)
    assert read(log) == ["c"]
    assert read(log) == []


def test_an_event_that_comes_late_is_given_too() -> None:
    stream = Stream("a", "b", "d")
    log = reader(stream)
    read(log)
    stream.put("c", 1)
    stream.put("before all", 0)
    assert sorted(read(log)) == ["before all", "c"]
    assert read(log) == []


def test_pages_that_overlap_give_each_event_once() -> None:
    stream = Stream(*"abcdef")

    def overlapping(*, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803
        start = int(nextToken)
        events = [
            {"timestamp": at, "ingestionTime": ingested, "message": message}
            for at, ingested, message in stream.events[max(0, start - 2) : start + 3]
        ]
        return {"events": events, "nextForwardToken": str(min(start + 3, len(stream.events)))}

    log = LogEvents(At(GetLogEvents=overlapping), "group", "stream")
    assert read(log) == list("abcdef")
    stream.put("new", 6)
    assert read(log) == ["new"]


def test_a_token_that_never_repeats_costs_few_calls() -> None:
    calls = list[str]()

    def endless(*, nextToken: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        calls.append(nextToken)
        events = [] if nextToken else [{"timestamp": NOW_MS, "message": "a"}]
        return {"events": events, "nextForwardToken": f"f/{len(calls)}"}

    log = LogEvents(At(GetLogEvents=endless), "group", "stream")
    assert read(log) == ["a"]
    calls.clear()
    assert read(log) == []
    assert len(calls) <= 4


def test_equal_lines_are_counted() -> None:
    stream = Stream()
    for _ in range(3):
        stream.put("same", 0)
    log = reader(stream)
    assert read(log) == ["same"] * 3
    stream.put("same", 0)
    assert read(log) == ["same"]


def test_any_order_of_arrival_gives_every_event_once() -> None:
    for seed in range(12):
        random_ = random.Random(seed)  # noqa: S311 - a test
        stream = Stream(per_page=random_.choice([3, 50, 10_000]))
        log, got, clock = reader(stream, per_page=random_.choice([10_000, 700])), Counter[str](), 0
        for number in range(300):
            clock += random_.choice([0, 1, 50])
            late = random_.choice([0, 0, 0, 1, 400])
            stream.put(f"{number % 7}", max(0, clock - late), ingested=clock)
            if random_.random() < 0.1:
                got.update(read(log))
        got.update(read(log))
        assert got == Counter(message for _, _, message in stream.events), seed


def test_a_further_reading_begins_a_minute_before_the_newest_event() -> None:
    stream = Stream()
    for second in range(0, 50_000, 100):
        stream.put(f"{second}", second * 1000 - 50_000_000)
    log = reader(stream)
    read(log)
    read(log)
    assert stream.asked[-1]["startTime"] == stream.events[-1][0] - 60_000


def test_little_of_a_busy_log_is_read_again() -> None:
    stream = Stream(*map(str, range(1_000)))
    log = reader(stream, per_page=100)
    assert len(read(log)) == 1_000
    stream.asked.clear()
    stream.put("new", 1_000)
    assert read(log) == ["new"]
    assert stream.asked[0]["startTime"] == stream.events[900][0]


def test_a_clock_that_is_ahead_hides_nothing() -> None:
    stream = Stream("a")
    stream.put("an hour ahead", 3_600_000)
    log = reader(stream)
    read(log)
    stream.put("b", 10)
    assert read(log) == ["b"]


def test_the_time_to_begin_with_is_kept() -> None:
    stream = Stream(*map(str, range(10)))
    log = reader(stream, since_ms=NOW_MS + 7)
    assert read(log) == ["7", "8", "9"]
    stream.put("10", 10)
    assert read(log) == ["10"]
    assert all(asked["startTime"] >= NOW_MS + 7 for asked in stream.asked)


def test_after_an_error_nothing_is_lost_or_given_twice() -> None:
    stream = Stream(*map(str, range(10)), per_page=4)
    failures = [True]

    def faulty(**options: Any) -> dict[str, Any]:
        if options.get("nextToken") == "4" and failures:
            failures.clear()
            raise SmProxyError("throttled", "too fast")
        return stream(**options)

    log = LogEvents(At(GetLogEvents=faulty), "group", "stream")
    got: list[str] = []
    with pytest.raises(SmProxyError):
        got.extend(event.message for page in log.unread() for event in page)
    assert got == ["0", "1", "2", "3"]
    assert read(log) == ["4", "5", "6", "7", "8", "9"]


def test_a_stream_without_events_or_that_is_gone_gives_nothing() -> None:
    assert read(reader(Stream(empty_first=99))) == []
    assert read(LogEvents(At(GetLogEvents=GONE), "group", "stream")) == []


def test_unmask_is_asked_for_only_on_request() -> None:
    stream = Stream("a")
    read(reader(stream))
    assert "unmask" not in stream.asked[0]
    read(reader(stream, unmask=True))
    assert stream.asked[-1]["unmask"] is True


def test_a_long_log_takes_little_memory() -> None:
    total = 30_000

    def long(*, nextToken: str = "0", limit: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        start = int(nextToken)
        numbers = range(start, min(start + limit, total))
        events = [{"timestamp": NOW_MS + n, "message": f"{n} {'x' * 80}"} for n in numbers]
        return {"events": events, "nextForwardToken": str(start + len(numbers))}

    log = LogEvents(At(GetLogEvents=long), "group", "stream", per_page=1_000)
    tracemalloc.start()
    try:
        count = sum(len(page) for page in log.unread())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == total
    assert peak < 2_000_000
