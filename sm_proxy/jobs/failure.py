"""Why a job has ended: the end of its log, the likely cause, and a link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import failure_causes, hostname, kinds, log_streams, logs, marker
from sm_proxy.jobs.failure_causes import Cause
from sm_proxy.jobs.job import Job

_LINES: Final = 10
_READ: Final = 100
"""Log lines that are read, of which the last are shown."""
_KEEP: Final = "Start it again, with SM_PROXY_KEEP_SUCCESS=2h to keep its container for a while."
_KEEP_ELSEWHERE: Final = (
    "Start it again, and connect while it runs; with the sm-proxy entrypoint in its image, its "
    "container could be kept for a while."
)
_PROGRAM: Final = "AlgorithmError"
"""In the FailureReason of a job whose program has failed."""
_MARKER: Final = '"sm_proxy_marker"'
"""A short log may end with our own line, which tells nothing about the failure."""
_LOGIN: Final = "sm-proxy: sshd: "
"""The beginning of our server's log lines: a copy over eight sessions has many."""
_SHOWN: Final = 300
"""Characters of a log line on the terminal; the search for causes uses more."""


def explain(
    aws: Aws,
    job: Job,
    prefix: str,
    on_status: Callable[[str], None],
    *,
    show_log: bool = True,
) -> SmProxyError:
    """Print the end of the job's log, and return the error for the ended job.

    Two calls or more, DescribeLogStreams and GetLogEvents, and another one if the container could
    have been kept. If the log cannot be read, nothing is printed.

    Args:
        aws: for the calls.
        job: an ended job.
        prefix: of host names, for the command that runs the job again.
        on_status: takes one line at a time.
        show_log: whether to print the end of the log; it is searched for a cause anyway.
    """
    stream = _stream(aws, job)
    tail = _last_lines(aws, job, stream) if stream else []
    if tail and show_log:
        on_status(f"the end of the log of {job.name}:")
        for line in tail:
            on_status(f"| {printable(line, _SHOWN)}")
    error = job.ending()
    cause = _cause(job, tail)
    if cause:
        on_status(f"likely cause: {cause.what}")
    advice = cause.advice if cause else error.hint
    if stream and not cause and kinds.could_have_been_kept(job):
        advice = _KEEP if _is_ours(aws, job, stream) else _KEEP_ELSEWHERE
    again = _relaunch(job, prefix) if _would_get_further(job, cause) else ""
    where = f"See {job.console}" if job.console else ""
    return SmProxyError(error.code, error.message, " ".join(filter(None, (advice, again, where))))


def repeats(job: Job) -> str:
    """Why a copy of a job would fail before ssh could enter it, one sentence; else empty."""
    cause = _cause(job, [])
    if job.phase != "failed" or cause is None or _would_get_further(job, cause):
        return ""
    return (
        f"{job.name} failed before ssh could have entered it, and a copy may too, unless you fix"
        f" this first: {cause.what}. {cause.advice}"
    )


def _would_get_further(job: Job, cause: Cause | None) -> bool:
    """Whether ssh could enter a copy of the job: not if it lacks an image, data or an instance."""
    if cause is None or cause.passes:
        return True
    return cause.starts and _PROGRAM in job.failure_reason


def _relaunch(job: Job, prefix: str) -> str:
    """How to run the job again and get in; empty for a job that cannot be relaunched."""
    kind = kinds.of(job.kind)
    if job.phase != "failed" or not kind.CAN_BE_RELAUNCHED:
        return ""
    host = hostname.shortest(prefix, job.name, job.kind).host
    return f"Run it again and get in: `sm-proxy relaunch {host}`."


def _cause(job: Job, tail: list[str]) -> Cause | None:
    if job.status == "Completed":  # nothing in its log was fatal
        return None
    messages = [job.failure_reason, job.status, job.status_message]
    return failure_causes.find_likely(messages) or failure_causes.find_likely(tail)


def _stream(aws: Aws, job: Job) -> str | None:
    """The newest log stream of the first node; None if it cannot be read."""
    try:
        return log_streams.find_newest(aws, kinds.of(job.kind).streams(job, "algo-1"))
    except (SmProxyError, ServiceError):
        return None


def _is_ours(aws: Aws, job: Job, stream: str) -> bool:
    """Whether the container had our entrypoint, which reads SM_PROXY_KEEP_SUCCESS."""
    try:
        page = next(logs.head(aws, job.log_group, stream), [])
    except SmProxyError:
        return False
    return any(marker.parse(line) for line in page)


def _last_lines(aws: Aws, job: Job, stream: str) -> list[str]:
    lines = logs.tail(aws, job.log_group, stream, _READ)
    telling = [line for line in lines if _MARKER not in line and not line.startswith(_LOGIN)]
    return telling[-_LINES:]
