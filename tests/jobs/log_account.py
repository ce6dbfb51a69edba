"""An account with one job and its log, in which things happen while somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.aws import patience
from sm_proxy.aws.errors import ServiceError
from sm_proxy.jobs import log_following
from tests.fakes import JOB, Clock, FakeAws, description

START = 1_800_000_000.0


class LogAccount(FakeAws):
    """An account with the training job `my-job`.

    Args:
        nodes: of the job.
        status: its SecondaryStatus.

    Attributes:
        streams: stream -> its events: seconds since START, and a message.
        status: may be changed.
        reason: its FailureReason.
        clock: of the account; `at` lets something happen.
    """

    def __init__(self, nodes: int = 1, status: str = "Training") -> None:
        super().__init__(
            DescribeTrainingJob=self._describe,
            DescribeLogStreams=self._streams,
            GetLogEvents=self._events,
        )
        self.nodes, self.status, self.reason = nodes, status, ""
        self.streams: dict[str, list[tuple[float, str]]] = {}
        self.clock = ScriptedClock()
        self.failures: list[Exception] = []
        self._since = START

    def now(self) -> datetime:
        return datetime.fromtimestamp(START + self.clock.now, timezone.utc)

    def at(self, second: float, happens: Callable[[], object]) -> None:
        """Let something happen at a time."""
        self.clock.script.append((second, happens))

    def write(self, message: str, node: int = 1, epoch: int = 1_700_000_000) -> None:
        """A node writes a line now."""
        stream = self.streams.setdefault(f"{JOB}/algo-{node}-{epoch}", [])
        stream.append((self.clock.now, message))
        stream.sort(key=lambda event: event[0])

    def end(self, status: str, reason: str = "") -> None:
        """The job ends."""
        self.status, self.reason = status, reason
        self._since = START + self.clock.now

    def delete(self) -> None:
        """There is no such job any more."""
        self.status = ""

    def _describe(self, **_: Any) -> dict[str, Any]:
        if not self.status:
            raise ServiceError("ValidationException", "Requested resource not found.", "x")
        over = self.status in {"Completed", "Failed", "Stopped"}
        answer = description(
            self.status,
            self.status if over else "InProgress",
            ResourceConfig={"InstanceCount": self.nodes},
            FailureReason=self.reason,
            SecondaryStatusTransitions=[
                {
                    "Status": self.status,
                    "StartTime": datetime.fromtimestamp(self._since, timezone.utc),
                }
            ],
        )
        assert isinstance(answer, dict)
        return answer

    def _streams(self, *, logStreamNamePrefix: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        names = sorted(self.streams, reverse=True)
        found = [name for name in names if name.startswith(logStreamNamePrefix)]
        return {"logStreams": [{"logStreamName": name} for name in found]}

    def _events(
        self,
        *,
        logStreamName: str,  # noqa: N803
        startTime: int = 0,  # noqa: N803
        nextToken: str = "0",  # noqa: N803
        **_: Any,
    ) -> dict[str, Any]:
        if self.failures:
            raise self.failures.pop()
        wanted = [
            {"timestamp": at_ms, "ingestionTime": 0, "message": message}
            for at, message in self.streams[logStreamName]
            if (at_ms := int((START + at) * 1000)) >= startTime
        ]
        return {"events": wanted[int(nextToken) :], "nextForwardToken": str(len(wanted))}


class ScriptedClock(Clock):
    """A clock with things that happen at given times."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.script: list[tuple[float, Callable[[], object]]] = []

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        assert end < 3600, "it does not end"
        for when, happens in sorted(self.script, key=lambda item: item[0]):
            if when <= end:
                self.now = max(self.now, when)
                happens()
        self.script = [item for item in self.script if item[0] > end]
        super().sleep(end - self.now)


def use(monkeypatch: pytest.MonkeyPatch, account: LogAccount) -> None:
    """Let time pass as in the account."""
    for module in (log_following, patience):
        monkeypatch.setattr(module, "time", account.clock)
