"""Opaque pagination tokens: they tell the service where a listing stopped."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any


def seal(state: object) -> str:
    """A token that stands for `state`, a JSON value."""
    return base64.urlsafe_b64encode(json.dumps(state, separators=(",", ":")).encode()).decode()


def unseal(token: str) -> Any:
    """What `seal` was given.

    Raises:
        ValueError: `seal` did not make this token.
    """
    try:
        return json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not a pagination token") from error
