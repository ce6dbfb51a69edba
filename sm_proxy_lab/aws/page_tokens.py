"""Opaque pagination tokens: they hold the position where a listing stopped."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm_proxy_lab.aws.http.errors import AwsError

T = TypeVar("T")


def seal(state: object) -> str:
    """Make a token that holds `state`, a JSON value."""
    return base64.urlsafe_b64encode(json.dumps(state, separators=(",", ":")).encode()).decode()


def unseal(token: str) -> Any:
    """Return the state in a token.

    Raises:
        ValueError: `seal` did not make this token.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not a pagination token") from error


def page(
    found: Sequence[T], token: str | None, size: int, invalid: AwsError
) -> tuple[Sequence[T], str | None]:
    """Return one page of at most `size` items, and the token for the next page if there is one.

    Raises:
        AwsError: `invalid`, if `seal` did not make `token`.
    """
    try:
        start = int(unseal(token)) if token else 0
    except (TypeError, ValueError):
        raise invalid from None
    end = start + size
    return found[start:end], seal(end) if end < len(found) else None
