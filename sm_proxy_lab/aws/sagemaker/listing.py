"""How SageMaker's List operations filter, sort and page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PAGE = 10
# No job of the lab matches this filter.
_FILTER_OF_NO_JOB = "TrainingPlanArnEquals"


class Listed(Protocol):
    """What a listing needs from a job of any kind; times in seconds of the epoch."""

    created: float
    modified: float

    @property
    def name(self) -> str:
        """The job's name."""

    @property
    def status(self) -> str:
        """The status that StatusEquals compares."""

    def summary(self) -> dict[str, Any]:
        """The job's entry in a list."""


def page(jobs: Iterable[Listed], params: dict[str, Any], member: str) -> dict[str, Any]:
    """The answer of a List operation: one page of summaries under `member`.

    Raises:
        AwsError: The token is not valid.
    """
    found = [job for job in jobs if _wanted(job, params)]
    found.sort(
        key=lambda job: _sort_key(job, params.get("SortBy", "CreationTime")),
        reverse=params.get("SortOrder") == "Descending",
    )
    invalid = AwsError("ValidationException", "Invalid pagination token.")
    size = params.get("MaxResults", _PAGE)
    shown, token = page_tokens.page(found, params.get("NextToken"), size, invalid)
    answer: dict[str, Any] = {member: [job.summary() for job in shown]}
    return answer | ({"NextToken": token} if token else {})


def _sort_key(job: Listed, by: str) -> tuple[Any, float]:
    return {"Name": job.name, "Status": job.status}.get(by, ""), job.created


def _wanted(job: Listed, params: dict[str, Any]) -> bool:
    return (
        params.get("NameContains", "") in job.name
        and params.get("StatusEquals", job.status) == job.status
        and params.get("CreationTimeAfter", 0) <= job.created
        and params.get("CreationTimeBefore", float("inf")) >= job.created
        and params.get("LastModifiedTimeAfter", 0) <= job.modified
        and params.get("LastModifiedTimeBefore", float("inf")) >= job.modified
        and params.get("WarmPoolStatusEquals") in {None, _warm_pool(job)}
        and _FILTER_OF_NO_JOB not in params
    )


def _warm_pool(job: Listed) -> str:
    return str(job.summary().get("WarmPoolStatus", {}).get("Status", ""))
