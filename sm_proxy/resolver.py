"""From a host name to a container: `sm-myjob.algo-2` -> job, node, address, port, host keys, user.

DescribeTrainingJob shows the job's status and its subnets. The head of the node's newest log stream
names the container's address. DescribeSubnets shows whether that address is in the job's subnets.
The last two run concurrently. RemoteDebug reaches a container without an address, so a marker is
enough where it is on. The result is cached: a second connection makes none of these calls,
and of many concurrent connections only one describes the job.
"""

from __future__ import annotations

from collections.abc import Callable

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import debug_log
from sm_proxy.settings import Settings

__all__ = ["Container", "forget", "resolve"]


def resolve(
    target: Target,
    settings: Settings,
    aws: Aws,
    *,
    wait: float = 0,
    on_status: Callable[[str], None] = lambda _: None,
    fresh: bool = False,
) -> Container:
    """Find the container that a host name asks for.

    Args:
        target: the host name, parsed.
        settings: of this run.
        aws: for the calls.
        wait: how long to wait for a job that is still starting, in seconds.
        on_status: takes a line for the user while it waits.
        fresh: whether to ask AWS even if the answer is cached.

    Raises:
        SmProxyError: with the code that fits.
    """
    cache = JobCache(aws)
    if fresh:
        cache.forget_container(target)
    elif (known := cache.container(target)) is not None:
        debug_log.write("cached", address=known.address, port=known.port)
        return known
    if target.kind in SESSION_KINDS:
        from sm_proxy.jobs.session_search import SessionSearch  # noqa: PLC0415 - only for these

        return SessionSearch(target, aws, cache, on_status).run(wait, fresh=fresh)
    from sm_proxy.jobs.search import Search  # noqa: PLC0415 - only for a container that is not cached

    return Search(target, settings, aws, cache, on_status).run(wait, fresh=fresh)


def forget(target: Target, aws: Aws) -> None:
    """Remove the container from the cache."""
    JobCache(aws).forget_container(target)
