"""Whether listed jobs can be reached: from the list alone, or by trying each one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS, has_nodes
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import session_kinds, trial
from sm_proxy.jobs import hostname, kinds, logs
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.local import threads, waits
from sm_proxy.settings import Settings

_AT_ONCE: Final = 8
"""Concurrent checks: few enough for the rate limits of Describe calls."""
_LAST_LINES: Final = 100
"""Enough for what the SSH server writes while a container is kept."""
_KEPT: Final = re.compile(
    r"sm-proxy: (the program ended with exit code [0-9]+; the container stays for |"
    r"a user is connected: the container stays)"
)
"""Lines of container/hold.sh."""
_UNKNOWN: Final = frozenset(
    {"access-denied", "aws-error", "expired-credentials", "network", "no-credentials"}
    | {"throttled", "unsupported"}
)
"""Errors that say nothing about the job itself."""


@dataclass(frozen=True)
class Reachability:
    """Whether a job can be reached.

    Attributes:
        reachable: None if unknown.
        reason: why not, or why it is unknown; else None.
        nodes: the number of nodes; None if unknown.
        kept: whether its program has ended, and its first container stays for users; None if
            unknown.
    """

    reachable: bool | None = None
    reason: str | None = None
    nodes: int | None = None
    kept: bool | None = None


def guess(job: Summary, target: Target) -> Reachability:
    """What the list alone shows: a running space can be reached, an ended job cannot."""
    if _has_server(job) and job.phase != "starting":
        reason = session_kinds.why_not(job, target)
        return Reachability(reachable=reason is None, reason=reason, nodes=1)
    if job.phase == "failed":
        return Reachability(reachable=False, reason=job.failure_reason or "it has failed")
    if job.phase == "ended":
        return Reachability(reachable=False, reason="it has ended")
    return Reachability()


def guess_all(jobs: Sequence[Summary], targets: Sequence[Target], aws: Aws) -> list[Reachability]:
    """What the list alone shows; for a cluster also how many nodes it has, a call for each.

    Args:
        jobs: in the result of List calls.
        targets: their host names.
        aws: for the calls.
    """
    found = list(map(guess, jobs, targets))
    clusters = [
        number
        for number, job in enumerate(jobs)
        if has_nodes(job.kind) and found[number].reachable is None
    ]
    counts = threads.map_concurrently(
        lambda number: session_kinds.node_count(aws, jobs[number]), clusters, _AT_ONCE
    )
    for number, count in zip(clusters, counts, strict=True):
        found[number] = replace(found[number], nodes=count)
    return found


def check_all(
    jobs: Sequence[Summary], targets: Sequence[Target], settings: Settings, aws: Aws
) -> list[Reachability]:
    """Try each job that has not ended, as `connect` would, a few at a time.

    Args:
        jobs: in the result of List calls.
        targets: their host names.
        settings: of this run.
        aws: for the calls.
    """
    found = list(map(guess, jobs, targets))
    tried: list[int] = []
    alive = [number for number, each in enumerate(found) if each.reachable is not False]

    def attempt(number: int) -> Reachability:
        job, target = jobs[number], targets[number]
        try:
            if job.kind in SESSION_KINDS:
                return _try_session(job, target, settings, aws)
            return _try(job, settings, aws)
        finally:
            tried.append(number)
            wait.what = f"{doing}: {len(tried)} done"

    doing = f"trying to reach {len(alive)}, as ssh would"
    with waits.waiting(doing, covers=True) as wait, trial.no_session_left_open():
        answers = threads.map_concurrently(attempt, alive, _AT_ONCE)
    for number, answer in zip(alive, answers, strict=True):
        found[number] = answer
    return found


def _try_session(listed: Summary, target: Target, settings: Settings, aws: Aws) -> Reachability:
    """Try a space, or one of the running nodes of a cluster."""
    nodes = None if has_nodes(listed.kind) else 1
    try:
        if has_nodes(listed.kind):
            node, nodes = session_kinds.first_running(aws, listed, settings.prefix)
            if node is None:
                return Reachability(reachable=False, reason="none of its nodes runs", nodes=nodes)
            target = node
        found = resolver.resolve(target, settings, aws, fresh=True)
        trial.refuse_unless_answering(found, settings, aws)
    except SmProxyError as error:
        return _failed(error, nodes)
    return Reachability(reachable=True, nodes=nodes)


def _has_server(listed: Summary) -> bool:
    """Whether a session reaches the thing itself, not a node of it."""
    return listed.kind in SESSION_KINDS and not has_nodes(listed.kind)


def _failed(error: SmProxyError, nodes: int | None, kept: bool | None = None) -> Reachability:
    reachable = None if error.code in _UNKNOWN else False
    reason = f"{error.code}: {error.message}"
    return Reachability(reachable=reachable, reason=reason, nodes=nodes, kept=kept)


def _try(listed: Summary, settings: Settings, aws: Aws) -> Reachability:
    nodes: int | None = None
    kept: bool | None = None
    try:
        job = kinds.of(listed.kind).describe(aws, listed.name)
        if job is None:
            return Reachability(reachable=False, reason="it no longer exists")
        nodes = job.nodes
        job.refuse_if_over()
        job.refuse_unless_reachable()
        if not job.running:
            return Reachability(reason=f"it is {job.status}", nodes=nodes)
        target = hostname.compose(settings.prefix, job.name, kind=job.kind)
        found = resolver.resolve(target, settings, aws, fresh=True)
        kept = _is_kept(aws, job, found.stream)
        plain = f"{settings.prefix}{job.name}"
        # The user may have opted in to trust under any of the job's names.
        names = (f"{plain}.{job.kind}", f"{plain}.{job.kind}.algo-1", f"{plain}.algo-1", plain)
        host = next(filter(settings.trusts_first_use, names), plain)
        trial.refuse_unless_answering(replace(found, host=host), settings, aws)
    except SmProxyError as error:
        return _failed(error, nodes, kept)
    return Reachability(reachable=True, nodes=nodes, kept=kept)


def _is_kept(aws: Aws, job: Job, stream: str) -> bool | None:
    """Whether our entrypoint has written that the container stays; None without a readable log.

    No call shows it: the service calls such a job Training, as if its program were running.
    """
    lines = logs.tail(aws, job.log_group, stream, _LAST_LINES) if stream else []
    return any(map(_KEPT.match, lines)) if lines else None
