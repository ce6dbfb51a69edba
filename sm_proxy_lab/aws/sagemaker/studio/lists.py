"""How Studio's List operations filter, sort and page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.sagemaker.studio.records import invalid

_PAGE = 10


class Listed(Protocol):
    """What a list needs to know; times in seconds since 1970."""

    created: float

    @property
    def modified(self) -> float:
        """When it was last changed."""


T = TypeVar("T", bound=Listed)


def page(
    found: Iterable[T], params: dict[str, Any], member: str, summary: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """The answer of a List operation: one page of summaries under `member`, the oldest first.

    Raises:
        AwsError: The token is not valid.
    """
    by_change = params.get("SortBy") == "LastModifiedTime"
    ordered = sorted(
        found,
        key=lambda one: one.modified if by_change else one.created,
        reverse=params.get("SortOrder") == "Descending",
    )
    wrong = invalid("Invalid pagination token.")
    size = params.get("MaxResults", _PAGE)
    shown, token = page_tokens.page(ordered, params.get("NextToken"), size, wrong)
    answer: dict[str, Any] = {member: [summary(one) for one in shown]}
    return answer | ({"NextToken": token} if token else {})
