"""Make the changes of a request again, from what they tell the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sm_proxy.launch.changes import Change, Draft

_STEP: Final = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


def replay(request: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """`request` with the changes made to a copy of it: what the changes say, and nothing else."""
    draft = Draft(request)
    for change in changes:
        steps = _STEP.findall(change.path)
        draft.set(tuple(key or int(position) for key, position in steps), change.after, change.why)
    return draft.request
