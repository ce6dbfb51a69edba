"""Spans of time as people type them."""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.errors import SmProxyError

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse(text: str, where: str) -> int:
    """The seconds of `90`, `10m`, `8h` or `2d`.

    Args:
        text: digits and at most one unit.
        where: it was typed, for the message.

    Raises:
        SmProxyError: `bad-setting`.
    """
    found = re.fullmatch(r"([0-9]{1,7})([smhd]?)", text)
    if found is None or (number := int(found[1]) * _UNITS[found[2]]) >= 1 << 31:
        raise SmProxyError(
            "bad-setting", f"{where} must be a time, not {text!r}", "Write it as 30m, 8h or 2d."
        )
    return number
