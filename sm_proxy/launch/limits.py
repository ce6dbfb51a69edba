"""Limits of the service that botocore does not check; values from SageMaker's service model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sm_proxy.errors import SmProxyError

SUBNETS: Final = 16
SECURITY_GROUPS: Final = 5
VARIABLES: Final = 100
_WORDS: Final = 100
_WORD_LENGTH: Final = 256


def check(what: str, count: int, most: int, hint: str) -> None:
    """Raise if a request would exceed a limit.

    Raises:
        SmProxyError: `request-limit`.
    """
    if count > most:
        raise SmProxyError("request-limit", f"{what}: the service takes {most} at most", hint)


def too_long_for_request(words: Sequence[str]) -> bool:
    """Whether a command does not fit into ContainerArguments."""
    return len(words) > _WORDS or any(len(word) > _WORD_LENGTH for word in words)
