"""Show the changes of a request to people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.launch.changes import Change

_COLOURS: Final = {"+": 32, "-": 31, "~": 33}


def render(changes: Iterable[Change], *, coloured: bool = False) -> str:
    """Two lines for each change: path and values, then the reason.

    A line begins with `+` for a new value, `-` for a removed one and `~` for a changed one. Other
    people may have written parts of a request, so it is shown without control characters.
    """
    return "\n".join(line for change in changes for line in _lines(change, coloured=coloured))


def _lines(change: Change, *, coloured: bool) -> tuple[str, str]:
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    values = [_shown(value) for value in (change.before, change.after) if value is not None]
    line = f"{sign} {printable(change.path)}: {' -> '.join(values)}"
    if coloured:
        line = f"\033[{_COLOURS[sign]}m{line}\033[0m"
    return line, f"    {printable(change.why)}"


def _shown(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False, default=str))
