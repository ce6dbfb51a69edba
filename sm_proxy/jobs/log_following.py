"""The log of a job: of one node or of all, up to now or until the job ends.

The streams are those that the resolver finds: of each node the newest. A container that starts
again, on a new spot instance for example, has a new stream, which is followed from then on.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.patience import Patience
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds, log_streams
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.log_events import PAGE, Event, LogEvents
from sm_proxy.local import threads, waits
from sm_proxy.local.waits import Wait

_AT_ONCE: Final = 8
"""Concurrent calls: GetLogEvents has a quota of 10 a second in an account, or 25."""
_PAGE_OF_MANY: Final = 500
"""The least events in a page, where many nodes share the memory for them."""
_LEAST_S: Final = 1.0
_LEAST_OF_A_NODE_S: Final = 0.4
"""The shortest pause for each node that is read: a reading takes two calls."""
_QUIETER: Final = 1.5
_QUIETEST: Final = 5.0
"""How many times longer the pauses get while a log is quiet: up to 5 s for one node."""
_LOOK_S: Final = 5.0
"""Seconds between two looks at the job and its streams."""
_LAG_S: Final = 2.0
_LAG_ROUNDS: Final = 3
"""Lines come late. After the end of a job, this many readings in a row must bring none."""
_LONGEST_LAG_S: Final = 60.0
"""Seconds that lines may arrive after the end of a job, or of a replaced instance."""
_RETRIED_S: Final = 60.0
_ENDING: Final = frozenset({"Uploading", "Stopping", "Deleting"})
"""Statuses in which the containers are gone and the outcome is not known yet."""


@dataclass(frozen=True)
class Entry:
    """An event of a node's log.

    Attributes:
        node: `algo-2`, or an instance id.
        event: the event.
    """

    node: str
    event: Event


class JobLog:
    """What a job has written.

    Args:
        aws: for the calls.
        job: as the service describes it.
        node: whose log is wanted; None for all nodes.
        since_ms: the time of the first event wanted, in Unix milliseconds; None for all.
        unmask: whether to show what a data protection policy hides; needs logs:Unmask.
        follow: whether calls that fail for now are repeated for as long as it takes.
        on_status: takes a line for people.

    Attributes:
        job: as it was described last.
    """

    def __init__(
        self,
        aws: Aws,
        job: Job,
        node: str | None,
        *,
        since_ms: int | None = None,
        unmask: bool = False,
        follow: bool = False,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.job = job
        self._aws, self._node, self._on_status = aws, node, on_status
        self._since_ms, self._unmask = since_ms, unmask
        self._patience = Patience(float("inf") if follow else _RETRIED_S, on_status)
        self._logs: dict[str, LogEvents] = {}
        self._former: list[tuple[float, str, LogEvents]] = []
        self._opened: dict[str, LogEvents] = {}
        self._wait = Wait("")

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that have a log, in their order."""
        return tuple(self._logs)

    @property
    def nodes_missing(self) -> int:
        """How many of the wanted nodes have no log."""
        return max(0, (1 if self._node else self.job.nodes) - len(self._logs))

    def find_streams(self) -> None:
        """Look for the newest stream of each node.

        Raises:
            SmProxyError: a call failed.
        """
        now, first = time.monotonic(), not self._logs
        for node, stream in self._patience.ask(self._newest).items():
            known = self._logs.get(node)
            if known is not None and known.stream == stream:
                continue
            if known is not None:
                self._former.append((now + _LONGEST_LAG_S, node, known))
                self._on_status(f"{node} of {self.job.name} has started again: its new log follows")
            elif not first:
                self._on_status(f"the log of {node} of {self.job.name} begins")
            # An endpoint's algo-1 may become another instance, and then the first one again.
            self._logs[node] = self._opened.setdefault(stream, self._open(stream))
        present = self._logs.values()
        self._former = [each for each in self._former if each[0] > now and each[2] not in present]

    def unread(self) -> Iterator[Entry]:
        """What was not read yet, of all nodes by time.

        Raises:
            SmProxyError: a call failed.
        """
        logs = [*((node, log) for _, node, log in self._former), *self._logs.items()]
        pages = [log.unread() for _, log in logs]
        firsts = threads.map_concurrently(lambda each: next(each, []), pages, _AT_ONCE)
        return heapq.merge(
            *(
                _entries(node, first, rest)
                for (node, _), first, rest in zip(logs, firsts, pages, strict=True)
            ),
            key=lambda entry: entry.event.at_ms,
        )

    def follow(self, show: Callable[[Iterable[Entry]], int]) -> Job:
        """Read on until the job has ended and its log is complete.

        Args:
            show: takes what is new, and returns how many events there were.

        Returns:
            The job, which is over.

        Raises:
            SmProxyError: a call failed, and would fail again.
        """
        with waits.waiting("", covers=True) as wait:
            self._wait = wait
            self._read_to_the_end(show)
        return self.job

    def _read_to_the_end(self, show: Callable[[Iterable[Entry]], int]) -> None:
        pause, looked = self._least_s, time.monotonic()
        self._tell_what_it_waits_for()
        while not self._has_ended():
            pause = self._least_s if show(self.unread()) else self._slower(pause)
            time.sleep(pause)
            if time.monotonic() - looked >= _LOOK_S:
                self._look_again()
                looked = time.monotonic()
        self._read_the_rest(show)

    def _read_the_rest(self, show: Callable[[Iterable[Entry]], int]) -> None:
        """Read until nothing comes any more: a log lags behind its job."""
        age = (self._aws.now() - self.job.status_since).total_seconds()
        quiet, give_up = 0, time.monotonic() + _LONGEST_LAG_S
        while True:
            quiet = 0 if show(self.unread()) else quiet + 1
            if age > _LONGEST_LAG_S or quiet == _LAG_ROUNDS or time.monotonic() > give_up:
                return
            time.sleep(max(_LAG_S, self._least_s))
            self.find_streams()

    @property
    def _least_s(self) -> float:
        return max(_LEAST_S, _LEAST_OF_A_NODE_S * len(self._logs))

    def _slower(self, pause: float) -> float:
        return min(_QUIETER * pause, _QUIETEST * self._least_s)

    def _has_ended(self) -> bool:
        return self.job.over and self.job.status not in _ENDING

    def _look_again(self) -> None:
        try:
            self.job = self._patience.ask(lambda: kinds.describe_again(self._aws, self.job))
        except SmProxyError as error:
            if error.code != "job-not-found":
                raise
            # An endpoint ends by being deleted. Its log stays.
            self.job = replace(
                self.job, status="Deleted", phase="ended", status_since=self._aws.now()
            )
        self.find_streams()
        self._tell_what_it_waits_for()

    def _tell_what_it_waits_for(self) -> None:
        """While there is no log yet: the job's progress, when it changes."""
        if self._logs or self._has_ended():
            self._wait.what = ""  # a job may write nothing for hours
            return
        progress = self.job.progress or self.job.status
        self._wait.tell(f"{self.job.name} has no log yet: {progress}", self._on_status)

    def _newest(self) -> dict[str, str]:
        kind = kinds.of(self.job.kind)
        if self._node is None:
            return log_streams.find_all(self._aws, kind.streams(self.job, "algo-1"), self.job.name)
        found = log_streams.find_newest(self._aws, kind.streams(self.job, self._node))
        return {self._node: found} if found else {}

    def _open(self, stream: str) -> LogEvents:
        share = 1 if self._node else max(1, self.job.nodes)
        return LogEvents(
            self._aws,
            self.job.log_group,
            stream,
            since_ms=self._since_ms,
            unmask=self._unmask,
            per_page=max(_PAGE_OF_MANY, PAGE // share),
            ask=self._patience.ask,
        )


def _entries(node: str, first: list[Event], rest: Iterator[list[Event]]) -> Iterator[Entry]:
    for event in first:
        yield Entry(node, event)
    for page in rest:
        for event in page:
            yield Entry(node, event)
