"""Find the server of a Studio space or of a HyperPod node, which no log names: ask SageMaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from sm_proxy.aws.clients import Aws
from sm_proxy.jobs import hostname, kinds, lookup, no_address
from sm_proxy.jobs.cache import STARTING_S, JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.search import POLL_S
from sm_proxy.local import debug_log, waits


class SessionSearch:
    """One resolution: repeats until there is an answer or the time is up.

    Args:
        target: the host name, parsed; its kind is one of `SESSION_KINDS`.
        aws: for the calls.
        cache: keeps what is found.
        on_status: takes a line for the user while it waits.
    """

    def __init__(
        self, target: Target, aws: Aws, cache: JobCache, on_status: Callable[[str], None]
    ) -> None:
        self._target = target
        self._kind = kinds.of_session(target.kind or "")
        self._aws = aws
        self._cache = cache
        self._on_status = on_status
        self._job: Job | None = None

    def run(self, wait: float, *, fresh: bool) -> Container:
        """The container; waits for it.

        Args:
            wait: seconds.
            fresh: whether to ask SageMaker even if another process has just done so.

        Raises:
            SmProxyError: with the code that fits.
        """
        deadline = time.monotonic() + wait
        with waits.waiting(f"looking for {self._target.host}") as waiting:
            found = self._look(cached=not fresh)
            while isinstance(found, Job):
                left = deadline - time.monotonic()
                if left <= 0:
                    what = f"{found.noun} {found.name} is {found.status}: no server runs in it yet"
                    raise no_address.wait_over(what, "Wait for it", self._target, wait)
                waiting.limit_s = wait
                progress = found.progress or found.status
                waiting.tell(f"waiting for {found.name}: {progress}", self._on_status)
                time.sleep(min(left, random.uniform(*POLL_S)))  # noqa: S311 - jitter
                found = self._look(cached=True)
            return found

    def _look(self, *, cached: bool) -> Container | Job:
        """The server, or the job while it has none.

        Args:
            cached: whether a result that another process has just cached is used.
        """
        with self._cache.asking_about_job(self._target):
            if cached and (known := self._cache.container(self._target)) is not None:
                return known
            recent = self._cache.job(self._target, STARTING_S) if cached else None
            if recent and recent[0].phase != "starting":  # it may have been started since
                recent = None
            job = self._job = recent[0] if recent else self._describe()
            debug_log.write("described", status=job.status, cached=recent is not None)
            if recent is None:
                self._cache.keep_job(self._key(job), job, None)
            found = self._kind.container(self._aws, job, self._target)
            if isinstance(found, Container):
                self._cache.keep_container(self._key(job), job, found)
            return found or job

    def _describe(self) -> Job:
        if self._job is not None:
            return kinds.describe_again(self._aws, self._job)
        return lookup.find(self._aws, self._target, self._on_status)

    def _key(self, job: Job) -> Target:
        """The key of the answer in the cache."""
        return hostname.whole(self._target, job.name, job.place)
