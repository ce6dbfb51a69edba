"""Calls for answers that a command needs: every error is one for the user; pages are followed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError

_TOKENS: Final = ("NextToken", "nextToken")
"""The parameter for the next page, which an answer has under the same name."""


def ask(aws: Aws, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    """The response of a call.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error` for any other error of the service.
    """
    try:
        return aws.call(service, operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None


def pages(aws: Aws, service: str, operation: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """The response of a call, page by page; it ends if a page leads to itself.

    Raises:
        SmProxyError: as `ask`.
    """
    more: dict[str, str] = {}
    while True:
        page = ask(aws, service, operation, **parameters, **more)
        yield page
        following = {name: page[name] for name in _TOKENS if page.get(name)}
        if not following or following == more:
            return
        more = following
