"""Find the server of a Studio space or of a HyperPod node, which no log names: ask SageMaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds, lookup
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.search import POLL_S
from sm_proxy.local import debug_log


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
        self._shown = ""

    def run(self, wait: float, *, fresh: bool) -> Container:
        """The container; waits up to so many seconds for it.

        Args:
            wait: seconds.
            fresh: whether to ask SageMaker even if another process has just done so.

        Raises:
            SmProxyError: with the code that fits.
        """
        deadline = time.monotonic() + wait
        with self._cache.asking_about_job(self._target):
            if not fresh and (known := self._cache.container(self._target)) is not None:
                return known
            job = lookup.find(self._aws, self._target, self._on_status)
            found = self._look(job)
        while found is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._nothing_yet(job, wait)
            self._report(job)
            time.sleep(min(left, random.uniform(*POLL_S)))  # noqa: S311 - jitter
            job = kinds.describe_again(self._aws, job)
            found = self._look(job)
        return found

    def _look(self, job: Job) -> Container | None:
        debug_log.write("described", status=job.status, cached=False)
        found = self._kind.container(self._aws, job, self._target)
        if found is not None:
            self._cache.keep_container(self._target, job, found)
        return found

    def _report(self, job: Job) -> None:
        shown = f"{job.name}: {job.progress or job.status}"
        if shown != self._shown:
            self._shown = shown
            self._on_status(shown)

    def _nothing_yet(self, job: Job, wait: float) -> SmProxyError:
        what = f"{job.noun} {job.name} is {job.status}"
        if not wait:
            return SmProxyError("no-address", f"{what}: it is not ready yet", "Try again later.")
        return SmProxyError(
            "wait-timeout",
            f"{what} still after {wait:.0f} s",
            f"Connect again, or wait longer: sm-proxy wait {self._target.host} --timeout 30m",
        )
