"""Why a job is over: the end of its log, the likely cause, and where to read on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import failure_causes, kinds, log_streams
from sm_proxy.jobs.job import Job

_LINES: Final = 10
_PAGES: Final = 3
_MARKER: Final = '"sm_proxy_marker"'
"""Our own line in a short log says nothing about the end."""
_SHOWN: Final = 300
"""Of a line on the terminal; the causes are looked for in more of it."""


def explain(aws: Aws, job: Job, on_status: Callable[[str], None]) -> SmProxyError:
    """The error for a job that is over, after what its log says has been told.

    Two calls at least, DescribeLogStreams and GetLogEvents; a log that cannot be read is passed
    over in silence.

    Args:
        aws: for the calls.
        job: one that is over.
        on_status: takes one line at a time.
    """
    tail = _tail(aws, job)
    if tail:
        on_status(f"the end of the log of {job.name}:")
        for line in tail:
            on_status(f"| {printable(line, _SHOWN)}")
    error = job.ending()
    cause = _cause(job, tail)
    if cause:
        on_status(f"likely cause: {cause.what}")
    advice = cause.advice if cause else error.hint
    where = f" See {job.console}" if job.console else ""
    return SmProxyError(error.code, error.message, advice + where)


def _cause(job: Job, tail: list[str]) -> failure_causes.Cause | None:
    if job.status == "Completed":  # whatever its log says, it was not fatal
        return None
    messages = [job.failure_reason, job.status, job.status_message]
    return failure_causes.find_likely(messages) or failure_causes.find_likely(tail)


def _tail(aws: Aws, job: Job) -> list[str]:
    """The last lines of the first node's newest stream."""
    wanted = kinds.of(job.kind).streams(job, "algo-1")
    try:
        stream = log_streams.find_newest(aws, wanted)
        return _last_lines(aws, wanted.group, stream) if stream else []
    except (SmProxyError, ServiceError):
        return []


def _last_lines(aws: Aws, group: str, stream: str) -> list[str]:
    token: dict[str, Any] = {}
    for _ in range(_PAGES):  # an empty page may stand before full ones
        page = aws.call(
            "logs",
            "GetLogEvents",
            logGroupName=group,
            logStreamName=stream,
            startFromHead=False,
            limit=_LINES,
            **token,
        )
        if lines := [str(event.get("message", "")) for event in page.get("events", [])]:
            return [line for line in lines[-_LINES:] if _MARKER not in line]
        before = token.get("nextToken")
        token = {"nextToken": page.get("nextBackwardToken")}
        if token["nextToken"] in {None, before}:
            break
    return []
