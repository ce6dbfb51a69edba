"""The service's clock, as the Date of its answers tells it: a laptop's may be minutes off."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

SIGNATURE_S: Final = 300
"""A signature is good for five minutes (AWS General Reference, Signature Version 4)."""


def offset_s(response: Mapping[str, Any]) -> float | None:
    """How far the service's clock is ahead of this machine's, in seconds; None where it is silent.

    Args:
        response: what botocore gives, or what its ClientError holds, a moment after it came.
    """
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):  # no date, or no such thing
        return None
