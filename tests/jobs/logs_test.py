from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import logs
from tests.fakes import FakeAws
from tests.fakes import events as page

GROUP = "/aws/sagemaker/TrainingJobs"
NOT_FOUND = ServiceError("ResourceNotFoundException", "no such stream", "logs:GetLogEvents")
DENIED = SmProxyError("access-denied", "no")


def flat(pages: Iterable[list[str]]) -> list[str]:
    """The lines of all pages."""
    return [line for page in pages for line in page]


class Log:
    """GetLogEvents as the service answers it: tokens count lines and repeat at the end."""

    def __init__(self, *lines: str, per_page: int = 10_000, empty_first: int = 0) -> None:
        self.lines = lines
        self.per_page = per_page
        self.empty_first = empty_first
        self.limits: list[int] = []

    def __call__(self, *, limit: int, nextToken: str = "f/0", **rest: Any) -> dict[str, Any]:  # noqa: N803
        assert rest == {"logGroupName": GROUP, "logStreamName": "s", "startFromHead": True}
        self.limits.append(limit)
        if self.empty_first:
            self.empty_first -= 1
            return page(token=f"e/{self.empty_first}")
        start = int(nextToken[2:]) if nextToken.startswith("f/") else 0
        found = self.lines[start : start + min(limit, self.per_page)]
        return page(*found, token=f"f/{start + len(found)}")

    def head(self) -> list[str]:
        return flat(logs.head(FakeAws(GetLogEvents=self), GROUP, "s"))

    def cut(self) -> list[str]:
        """The lines read of a log that is longer than we read."""
        pages: list[list[str]] = []
        with pytest.raises(logs.LimitError, match="lines of the log s name no address"):
            pages.extend(logs.head(FakeAws(GetLogEvents=self), GROUP, "s"))
        return flat(pages)


def numbered(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_a_short_log_is_read_to_its_end() -> None:
    log = Log("a", "b")
    assert log.head() == ["a", "b"]
    assert log.limits == [100, 98]


def test_only_the_first_page_is_read_if_it_is_enough() -> None:
    log = Log(*numbered(1_000))
    assert flat(islice(logs.head(FakeAws(GetLogEvents=log), GROUP, "s"), 1))[:3] == ["0", "1", "2"]
    assert log.limits == [100]


def test_the_steps_grow_up_to_a_limit() -> None:
    log = Log(*numbered(50_000))
    assert log.cut() == numbered(11_100)
    assert log.limits == [100, 1_000, 10_000]


def test_empty_first_pages_are_followed() -> None:
    log = Log("a", empty_first=9)
    assert log.head() == ["a"]


def test_endless_empty_pages_are_given_up() -> None:
    log = Log("a", empty_first=1_000)
    assert log.head() == []
    assert len(log.limits) == 30


def test_the_number_of_pages_is_limited() -> None:
    log = Log(*numbered(20_000), per_page=4)
    assert log.cut() == numbered(160)
    assert len(log.limits) == 40


def test_a_missing_stream_has_no_lines() -> None:
    aws = FakeAws(GetLogEvents=NOT_FOUND)
    assert flat(logs.head(aws, GROUP, "s")) == []


def test_a_response_without_a_token_is_the_last_page() -> None:
    aws = FakeAws(GetLogEvents={"events": [{"message": "a"}, {}]})
    assert flat(logs.head(aws, GROUP, "s")) == ["a", ""]
    assert len(aws.calls) == 1
