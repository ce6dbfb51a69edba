"""Copy files between this machine and containers: what `sm-proxy cp` and `sm_proxy.copy` call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads
from sm_proxy.settings import Settings
from sm_proxy.transfer import tally, task
from sm_proxy.transfer.container_copy import ContainerCopy
from sm_proxy.transfer.model import Outcome, Problem
from sm_proxy.transfer.places import Ends
from sm_proxy.transfer.progress import Meter, Progress
from sm_proxy.transfer.ssh.connections import MOST
from sm_proxy.transfer.task import Options


def copy(
    ends: Ends,
    settings: Settings,
    aws: Aws,
    options: Options,
    *,
    progress: Callable[[Progress], None] | None = None,
    on_status: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Copy. Nothing is printed, and no signal is touched.

    Args:
        ends: what to copy where.
        settings: of this run.
        aws: for the calls.
        options: how.
        progress: called with the progress, in a thread of its own.
        on_status: takes lines for the user, in any thread.

    Returns:
        The outcome. Its problems are about single files, or about single nodes of several.

    Raises:
        SmProxyError: nothing can be copied, or no more.
        KeyboardInterrupt: all connections are closed. The same copy goes on where it was.
    """
    began = time.monotonic()
    with Meter(progress) as meter:
        copies = {
            each: ContainerCopy(each, settings, aws, meter, on_status)
            for each in task.tasks(ends, settings, aws, options, on_status)
        }
        at_once = options.sessions or MOST
        try:
            if not ends.remote.every_node:
                return next(iter(copies.values())).run()
            outcomes = threads.map_concurrently(
                lambda each: _of_node(each.host, copies[each]), list(copies), at_once
            )
        except BaseException:
            threads.map_concurrently(lambda each: each.close(), copies.values(), len(copies))
            raise
    return tally.merged(outcomes, time.monotonic() - began)


def _of_node(host: str, copy: ContainerCopy) -> Outcome:
    """The outcome of one node's copy; an error that ends it is a problem of this node."""
    try:
        found = copy.run()
    except SmProxyError as error:
        return Outcome(0, 0, 0.0, 0, "ssh", verified=True, problems=(Problem(host, error),))
    return replace(found, problems=tuple(_named(host, each) for each in found.problems))


def _named(host: str, problem: Problem) -> Problem:
    """A problem of one node, which its path and its message name."""
    error, path = problem.error, f"{host}:{problem.path}"
    message = error.message.replace(problem.path, path, 1) if problem.path else error.message
    return Problem(path, SmProxyError(error.code, message, error.hint))
