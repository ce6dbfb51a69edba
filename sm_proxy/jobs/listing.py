"""The jobs of an account, of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.job import Summary
from sm_proxy.local.threads import Background


def list_all(aws: Aws, on_status: Callable[[str], None], *, live: bool = False) -> list[Summary]:
    """One page of jobs of each kind; a kind is left out if listing it is denied.

    Args:
        aws: for the calls.
        on_status: takes a line for each kind that is left out.
        live: only jobs that have not ended, so that ended ones do not fill the page.

    Raises:
        SmProxyError: listing is denied for all kinds, or a call failed.
    """
    asked = [Background(partial(_page, aws, kind, live=live)) for kind in kinds.ORDER]
    answers = [background.result() for background in asked]
    denied = [answer for answer in answers if isinstance(answer, SmProxyError)]
    if len(denied) == len(answers):
        raise denied[0]
    for error in denied:
        on_status(f"left out: {error.message}")
    return [job for answer in answers if isinstance(answer, list) for job in answer]


def _page(aws: Aws, kind: Kind, *, live: bool) -> list[Summary] | SmProxyError:
    """The newest jobs of a kind, or the error if listing them is denied."""
    module = kinds.of(kind)
    try:
        return module.recent(aws, live=live and module.ONE_STATUS_IS_LIVE)
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        return error
