"""Search a container that no cache knows: ask AWS for the job, its log and its subnets.

Only a first connection imports this: it takes 8 ms.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds, log_formats, log_streams, logs, lookup, no_address
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.log_formats import MARKERS, LogAddress
from sm_proxy.jobs.subnets import Subnets, describe_if_allowed, describe_subnets, first_inside
from sm_proxy.local import debug_log, waits
from sm_proxy.local.threads import Background
from sm_proxy.local.waits import Wait
from sm_proxy.settings import Settings

POLL_S: Final = (2.0, 4.0)
"""Seconds between two looks at a starting job: random within these bounds."""
_SLOWER_AFTER: Final = 10
"""After this many looks at a log without an address, the pauses grow: each look reads it again."""
_SLOWEST: Final = 4
"""How many times longer the pauses get."""
_CHANGING: Final = frozenset({"address-refused", "bad-name", "no-address", "no-vpc"})
"""Errors that may be outdated if the job's description is cached."""


class Search:
    """One resolution: repeats until there is an answer or the time is up.

    Args:
        target: the host name, parsed.
        settings: of this run.
        aws: for the calls.
        cache: keeps what is found.
        on_status: takes a line for the user while it waits.
    """

    def __init__(
        self,
        target: Target,
        settings: Settings,
        aws: Aws,
        cache: JobCache,
        on_status: Callable[[str], None],
    ) -> None:
        self._target = target
        self._settings = settings
        self._aws = aws
        self._cache = cache
        self._on_status = on_status
        self._patient = False
        self._silent = 0
        self._refusal: SmProxyError | None = None
        self._subnets: Subnets | None = None
        self._job: Job | None = None
        self._old = False

    def run(self, wait: float, *, fresh: bool) -> Container:
        """The container; waits for it.

        Args:
            wait: seconds.
            fresh: whether to describe the job even if it is cached.

        Raises:
            SmProxyError: with the code that fits.
        """
        with waits.waiting(f"looking for {self._target.host}") as waiting:
            return self._look_until(wait, waiting, 0.0 if fresh else float("inf"))

    def _look_until(self, wait: float, waiting: Wait, max_age: float) -> Container:
        deadline = time.monotonic() + wait
        self._patient = wait > 0
        while True:
            self._refusal = None
            job, found = self._look(max_age)
            if found is not None:
                self._cache.keep_container(self._target, job, found)
                return found
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._refusal or no_address.nothing_yet(job, self._target, wait)
            waiting.limit_s = wait
            self._report(job, waiting)
            pause = min(left, self._pause(job))
            time.sleep(pause)
            # Another process that waits for the same job may have described it meanwhile.
            max_age = min(pause, POLL_S[0])

    def _pause(self, job: Job) -> float:
        self._silent = self._silent + 1 if job.running else 0
        slower = min(1 + self._silent // _SLOWER_AFTER, _SLOWEST)
        return slower * random.uniform(*POLL_S)  # noqa: S311 - jitter

    def _look(self, max_age: float) -> tuple[Job, Container | None]:
        """Look again before failing on cached data: the job may have changed or ended."""
        try:
            job, found = self._look_once(max_age)
        except SmProxyError as error:
            if not self._old or error.code not in _CHANGING:
                raise
        else:
            if found is not None or not self._old:
                return job, found
        debug_log.write("the cached job led to no container, describing it again")
        self._job = self._subnets = None
        return self._look_once(POLL_S[0])

    def _look_once(self, max_age: float) -> tuple[Job, Container | None]:
        """Describe the job unless it is cached, then read the log and the subnets concurrently."""
        reading: Background[tuple[str, Iterator[LogAddress]] | None] | None = None
        with self._cache.asking_about_job(self._target):
            known = self._cache.job(self._target, max_age)
            if known is None:  # if the job has ended, the next run must not use the cache either
                self._cache.forget_job(self._target)
            job, subnets = known or (self._describe(), self._subnets)
            self._job = job
            self._old = known is not None and not self._cache.job(self._target, POLL_S[0])
            debug_log.write("described", status=job.status, cached=known is not None)
            self._refuse_if_over(job)
            job.refuse_unless_reachable()
            kinds.refuse_missing_node(job, self._target.node)
            if job.running:
                reading = Background(lambda: self._read_log(job))
                subnets = self._subnets = subnets or self._describe_subnets(job)
            if known is None:
                self._cache.keep_job(self._target, job, subnets)
        reported = reading.result() if reading is not None else None
        if reported is None:
            return job, None
        stream, addresses = reported
        found, final = self._judged(addresses, subnets)
        if found.masked:
            found, final = self._unmasked(job, stream, subnets) or found, True
        try:
            return job, self._container(job, stream, found, subnets)
        except SmProxyError as error:
            if final or not self._patient:
                raise
            self._refusal = error
            return job, None

    def _refuse_if_over(self, job: Job) -> None:
        if job.over:
            from sm_proxy.jobs import failure, session_markers  # noqa: PLC0415 - only for such jobs

            session_markers.forget(self._aws, job, self._target.node)
            raise failure.explain(self._aws, job, self._target.prefix, self._on_status)

    def _describe(self) -> Job:
        if self._job is not None:
            return kinds.describe_again(self._aws, self._job)
        return lookup.find(self._aws, self._target, self._on_status)

    def _describe_subnets(self, job: Job) -> Subnets | None:
        """The job's subnets; with RemoteDebug on, None if there are none or they are unknown."""
        describe = describe_if_allowed if job.remote_debug else describe_subnets
        return describe(self._aws, job.subnets)

    def _read_log(self, job: Job) -> tuple[str, Iterator[LogAddress]] | None:
        """The node's newest stream, and the addresses in it, read as they are asked for.

        None if there is no stream, or no address in it yet.
        """
        stream = log_streams.find_newest(
            self._aws, kinds.of(job.kind).streams(job, self._target.node)
        )
        debug_log.write("stream", found=stream)
        if job.remote_debug and (ours := self._bootstrapped(job, stream or "")) is not None:
            return stream or "", iter([ours])
        if stream is None:
            return None
        try:
            reported = self._reported(job, stream)
        except logs.LimitError as error:
            if not job.remote_debug:
                raise
            hint = f"{error.hint} If not: sm-proxy bootstrap {self._target.host}"
            raise logs.LimitError(error.code, error.message, hint) from None
        return None if reported is None else (stream, reported)

    def _bootstrapped(self, job: Job, stream: str) -> LogAddress | None:
        """Where our server listens, if `bootstrap` has put it into the container."""
        from sm_proxy.jobs import session_markers  # noqa: PLC0415 - only with RemoteDebug

        node, host = self._target.node, self._target.host
        found = session_markers.load(self._aws, job, node, stream, host)
        if found is None:
            return None
        return LogAddress("session", (), found.port, found.user, found.host_keys, found.problems)

    def _reported(
        self, job: Job, stream: str, *, unmask: bool = False
    ) -> Iterator[LogAddress] | None:
        node = self._target.node if kinds.of(job.kind).NODES_ARE_NAMED else None
        head = logs.head(self._aws, job.log_group, stream, unmask=unmask)
        reported = log_formats.read(head, node, alone=job.nodes == 1)
        first = next(reported, None)
        return None if first is None else itertools.chain([first], reported)

    def _unmasked(self, job: Job, stream: str, subnets: Subnets | None) -> LogAddress | None:
        """The address without masking; None if these credentials may not unmask the log."""
        try:
            reported = self._reported(job, stream, unmask=True)
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            return None
        return None if reported is None else self._judged(reported, subnets)[0]

    def _judged(
        self, reported: Iterator[LogAddress], subnets: Subnets | None
    ) -> tuple[LogAddress, bool]:
        """The address to use, and whether that is final: no later log line can change it.

        Some log formats spread addresses over several lines. They are read on until an address is
        in the job's subnets. The log may end in the middle, because it is delivered in pieces.
        """
        try:
            for found in reported:
                if found.source in MARKERS or self._address(found, subnets) is not None:
                    return found, True
        except logs.LimitError:
            return found, True
        return found, False

    def _address(self, found: LogAddress, subnets: Subnets | None) -> str | None:
        """The first address in the job's subnets."""
        if subnets is None:
            return None
        allow_loopback = self._settings.allow_loopback
        return first_inside(found.addresses, subnets, allow_loopback=allow_loopback)

    def _container(
        self, job: Job, stream: str, found: LogAddress, subnets: Subnets | None
    ) -> Container:
        address = self._address(found, subnets)
        no_address.refuse_unless_dialable(
            job, self._target, self._settings, found, address=address, subnets=subnets
        )
        if found.ignored:
            self._on_status(
                f"the log of {job.name}/{self._target.node} has {found.ignored} more marker(s) "
                "that differ from the first; they are ignored"
            )
        debug_log.write("resolved", address=address, port=found.port, source=found.source)
        return Container(
            host=self._target.host,
            job=job.name,
            kind=job.kind,
            node=self._target.node,
            address=address,
            port=found.port,
            user=found.user,
            host_keys=found.host_keys,
            status=job.status,
            source=found.source,
            vpc_id=subnets.vpc_id if subnets else None,
            stream=stream,
            problems=found.problems,
            remote_debug=job.remote_debug,
        )

    def _report(self, job: Job, waiting: Wait) -> None:
        if job.running and self._silent:  # after the time that a line needs to reach the log
            shown = no_address.waiting(job, self._target, self._refusal)
        else:
            shown = f"waiting for {job.name}: {job.progress}"
        waiting.tell(shown, self._on_status)
