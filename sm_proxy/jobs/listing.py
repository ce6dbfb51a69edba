"""The jobs of an account, of all kinds; if asked, also its Studio spaces and HyperPod clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS, Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.job import Summary
from sm_proxy.jobs.kinds._calls import PAGE
from sm_proxy.local.threads import Background

EVERY: Final[tuple[Kind, ...]] = (*kinds.ORDER, *SESSION_KINDS)
"""Jobs first."""
_UNKNOWN_HERE: Final = frozenset({"access-denied", "aws-error", "unsupported"})
"""Errors of a region, or of a botocore, that has no spaces or clusters."""


def list_all(
    aws: Aws,
    on_status: Callable[[str], None],
    *,
    live: bool = False,
    asked: Sequence[Kind] = kinds.ORDER,
) -> list[Summary]:
    """The newest jobs of each kind; a kind is left out if listing it is denied.

    A page of each kind, and another of those that run if the first one is full: jobs that ended
    may be newer. If that is full, too, a line says so.

    Args:
        aws: for the calls.
        on_status: takes one line if kinds are left out, and one for each kind with more jobs.
        live: only jobs that have not ended, so that ended ones do not fill the page.
        asked: the kinds; by default those of jobs.

    Raises:
        SmProxyError: listing is denied for all kinds, or a call failed.
    """
    running = [Background(partial(_page, aws, kind, live=live)) for kind in asked]
    answers = [background.result() for background in running]
    denied = [answer for answer in answers if isinstance(answer, SmProxyError)]
    if len(denied) == len(answers):
        raise denied[0]
    if denied:
        on_status(f"left out: {_reasons(denied)}")
    lists = [answer for answer in answers if isinstance(answer, _Page)]
    for noun in (page.noun for page in lists if page.is_cut):
        on_status(f"only the newest {PAGE} {noun}s that run are listed")
    return [job for page in lists for job in page.jobs]


def _reasons(errors: Sequence[SmProxyError]) -> str:
    """In one line; if there are several, without AWS's own words, which are long."""
    if len(errors) == 1:
        return errors[0].message
    return "; ".join(
        error.message.partition(": ")[0] if error.code == "access-denied" else error.message
        for error in errors
    )


@dataclass(frozen=True)
class _Page:
    """The jobs of a kind.

    Attributes:
        noun: the kind in words.
        jobs: the newest ones.
        is_cut: whether more may be running.
    """

    noun: str
    jobs: list[Summary]
    is_cut: bool = False


def _page(aws: Aws, kind: Kind, *, live: bool) -> _Page | SmProxyError:
    """The newest jobs of a kind, or the error if it is left out."""
    module = kinds.of(kind)
    by_status = live and module.ONE_STATUS_IS_LIVE
    try:
        jobs = module.recent(aws, live=by_status)
        if len(jobs) < PAGE or kind in SESSION_KINDS:
            return _Page(module.NOUN, jobs)
        alive = jobs if by_status else module.recent(aws, live=True)
        names = {job.name for job in jobs}
        jobs = [*jobs, *(job for job in alive if job.name not in names)]
        return _Page(module.NOUN, jobs, len(alive) >= PAGE)
    except SmProxyError as error:
        left_out = _UNKNOWN_HERE if kind in SESSION_KINDS else {"access-denied"}
        # A job that is missing from a live list loses its host in `sync`.
        if error.code not in left_out or (error.passing and live):
            raise
        if error.code == "unsupported":
            error.message = f"{module.NOUN}s, because {error.message}"
        return error
