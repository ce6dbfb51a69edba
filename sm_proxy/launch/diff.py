"""Show the changes of a request to people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.launch.changes import Change
from sm_proxy.local import layout
from sm_proxy.local.screen import Screen, Style

_STYLES: Final[dict[str, Style]] = {"+": "good", "-": "bad", "~": "doubtful"}
_INDENT: Final = "    "


def render(changes: Iterable[Change], screen: Screen) -> str:
    """Two lines for each change: path and values, then the reason.

    A line begins with `+` for a new value, `-` for a removed one and `~` for a changed one. Other
    people may have written parts of a request, so it is shown without control characters.
    """
    return "\n".join(line for change in changes for line in _lines(change, screen))


def _lines(change: Change, screen: Screen) -> Iterator[str]:
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    values = [_shown(value) for value in (change.before, change.after) if value is not None]
    line = f"{printable(change.path)}: {' -> '.join(values)}"
    first, *others = layout.paragraph(line, screen, f"{sign} ", "  ")
    yield screen.styled(sign, _STYLES[sign]) + first[len(sign) :]
    yield from others
    yield from layout.paragraph(printable(change.why), screen, _INDENT)


def _shown(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False, default=str))
