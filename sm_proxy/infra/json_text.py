"""JSON for people: what fits on a line stands on one."""

from __future__ import annotations

import json
from typing import Any, Final

_WIDTH: Final = 100


def dumps(node: Any, indent: int = 0) -> str:
    """`node` as JSON, indented by one space for each level."""
    short = json.dumps(node)
    if not isinstance(node, dict | list) or len(short) + indent <= _WIDTH:
        return short
    opening, closing = "{}" if isinstance(node, dict) else "[]"
    margin = " " * (indent + 1)
    if isinstance(node, dict):
        rows = [f"{json.dumps(key)}: {dumps(item, indent + 1)}" for key, item in node.items()]
    else:
        rows = [dumps(item, indent + 1) for item in node]
    body = ",\n".join(margin + row for row in rows)
    return f"{opening}\n{body}\n{' ' * indent}{closing}"
