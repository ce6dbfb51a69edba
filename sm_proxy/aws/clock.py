"""The service's clock, from the Date header of its responses: a laptop's may be minutes off."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

SIGNATURE_S: Final = 300
"""Seconds that a signature is valid (AWS General Reference, Signature Version 4)."""


def offset_s(response: Mapping[str, Any]) -> float | None:
    """Seconds that the service's clock is ahead of this machine's; None without a valid Date.

    Args:
        response: from botocore or its ClientError, just received.
    """
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):  # a missing or invalid date
        return None
