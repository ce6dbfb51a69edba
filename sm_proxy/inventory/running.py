"""The hosts of one context: what runs now, and the user that each container accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS, Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import session_kinds
from sm_proxy.jobs import hostname, listing, lookup
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.local import threads
from sm_proxy.settings import Settings, contexts
from sm_proxy.ssh_config.blocks import Stub

_AT_ONCE: Final = 8
"""Concurrent jobs: few enough for the rate limits of Describe calls."""
_NODES: Final = 16
"""The most nodes of a job that get a host each; a menu of hundreds is of no use."""
_DESCRIPTION_LIFE_S: Final = 15 * 60.0
"""An older description is fetched again, because an endpoint's instances come and go."""
_EARLY_ROUNDS: Final = 5
"""Rounds in which a log without a user is read; later only in rounds 8, 16, 32 and so on."""
_UNREACHABLE: Final = frozenset({"bad-name", "job-ended", "job-failed", "job-not-found", "no-vpc"})
_LEADS_ELSEWHERE: Final = frozenset({"access-denied", "job-ambiguous", "job-not-found"})
"""Errors of a plain name that does not lead to the listed job; `.<kind>` may."""


class RunningHosts:
    """Finds the running jobs of one context; `sync` asks it once a round.

    Args:
        settings: of the context.
        prefixes: of all contexts; a host belongs to the longest prefix that it begins with.
        on_status: takes one line for people.
    """

    def __init__(
        self, settings: Settings, prefixes: Collection[str], on_status: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._prefixes = prefixes
        self._on_status = on_status
        self._reported: set[str] = set()
        self._rounds: Counter[str] = Counter()
        self._nodes_seen: set[str] = set()
        self._aws = Aws(settings.profile, settings.region)

    @property
    def prefix(self) -> str:
        """The prefix of its hosts."""
        return self._settings.prefix

    def is_of(self, settings: Settings, prefixes: Collection[str]) -> bool:
        """Whether it was made for these arguments."""
        return self._settings == settings and set(self._prefixes) == set(prefixes)

    def renew(self) -> None:
        """Read the credentials again: the user may have logged in since."""
        self._aws = Aws(self._settings.profile, self._settings.region)

    def stubs(self) -> list[Stub]:
        """A stub for each running node that may be reachable, newest job first; then spaces.

        It makes a list call for each kind, and the calls of a connection for each new job; later
        connections find their answers in the cache. See also `session_kinds.stubs`.

        Raises:
            SmProxyError: the error of a list or Describe call.
        """
        every = listing.list_all(self._aws, self._report_once, live=True, asked=listing.EVERY)
        listed = [job for job in every if job.kind not in SESSION_KINDS]
        others = [job for job in every if job.kind in SESSION_KINDS]
        running = [job for job in listed if job.phase == "running"]
        running.sort(key=lambda job: (job.created, job.name), reverse=True)
        found = threads.map_concurrently(self._stubs_of, running, _AT_ONCE)
        found.append(session_kinds.stubs(self._aws, others, self.prefix, self._report_once))
        return [stub for stubs in found for stub in stubs if self._is_ours(stub.host)]

    def _report_once(self, line: str) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._on_status(line)

    def _is_ours(self, host: str) -> bool:
        return contexts.prefix_of(host, self._prefixes) == self._settings.prefix

    def _stubs_of(self, listed: Summary) -> list[Stub]:
        try:
            job, kind = self._job_and_suffix(listed)
            job.refuse_unless_reachable()
        except SmProxyError as error:
            if error.code in _UNREACHABLE:
                return []
            raise
        nodes = [None, *(f"algo-{number}" for number in range(2, min(job.nodes, _NODES) + 1))]
        prefix = self._settings.prefix
        targets = [hostname.compose(prefix, job.name, node, kind) for node in nodes]
        first = self._container(targets[0])
        user = first.user if first and first.user else self._settings.user
        others = [self._new_container(target) for target in targets[1:]]
        keys = [found.host_keys if found else () for found in (first, *others)]
        return [
            Stub(target.host, user, job.noun, kept)
            for target, kept in zip(targets, keys, strict=True)
        ]

    def _job_and_suffix(self, listed: Summary) -> tuple[Job, Kind | None]:
        """The job, and its kind if its plain name leads to another job."""
        try:
            job = self._describe(listed, None)
        except SmProxyError as error:
            if error.code not in _LEADS_ELSEWHERE:
                raise
        else:
            if (job.name, job.kind) == (listed.name, listed.kind):
                return job, None
        return self._describe(listed, listed.kind), listed.kind

    def _describe(self, listed: Summary, kind: Kind | None) -> Job:
        """The job from the cache if that is recent, else from the service."""
        target = hostname.compose(self._settings.prefix, listed.name, kind=kind)
        cache = JobCache(self._aws)
        if (known := cache.job(target, _DESCRIPTION_LIFE_S)) is not None:
            return known[0]
        job = lookup.find(self._aws, target)
        known = cache.job(target, float("inf"))
        # An endpoint may have moved to other subnets.
        same = known is not None and known[0].subnets == job.subnets
        cache.keep_job(target, job, known[1] if known and same else None)
        return job

    def _container(self, target: Target) -> Container | None:
        """The container with its user and host keys; None if its log does not name them yet."""
        host = target.host
        self._rounds[host] += 1
        if self._rounds[host] > _EARLY_ROUNDS and self._rounds[host].bit_count() > 1:
            return None  # the log is read in rounds 8, 16, 32 and so on
        try:
            found = resolver.resolve(target, self._settings, self._aws)
        except SmProxyError:
            return None
        del self._rounds[host]
        return found

    def _new_container(self, target: Target) -> Container | None:
        """The container of another node; None once it was found, as `ssh` can look it up itself."""
        found = None if target.host in self._nodes_seen else self._container(target)
        if found is not None:
            self._nodes_seen.add(target.host)
        return found
