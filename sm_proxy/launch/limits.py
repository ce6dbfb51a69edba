"""Limits of the service that botocore does not check; values from SageMaker's service model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sm_proxy.errors import SmProxyError

SUBNETS: Final = 16
SECURITY_GROUPS: Final = 5
VARIABLES: Final = 100
_WORDS: Final = 100
_WORD_LENGTH: Final = 256
_LINE_BREAK: Final = re.compile("[\n\r\x85\u2028\u2029]")
"""What a `.` in Java's patterns does not match: the model has `.*` for each argument."""


def check(what: str, count: int, most: int, hint: str) -> None:
    """Raise if a request would exceed a limit.

    Raises:
        SmProxyError: `request-limit`.
    """
    if count > most:
        raise SmProxyError("request-limit", f"{what}: the service takes {most} at most", hint)


def fit_into_request(words: Sequence[str]) -> bool:
    """Whether a command fits into ContainerArguments: few and short words of one line each."""
    return len(words) <= _WORDS and all(map(_is_argument, words))


def _is_argument(word: str) -> bool:
    return len(word) <= _WORD_LENGTH and not _LINE_BREAK.search(word)
