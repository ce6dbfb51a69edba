"""What a command does without actions that it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from tests.policies.place import Outcome


def names(outcome: Outcome, action: str) -> bool:
    """Whether it has printed the action, not only a longer one that begins like it."""
    return re.search(rf"{re.escape(action)}(?![A-Za-z*])", outcome.shown) is not None


def works_or_names(
    actions: Collection[str], run: Callable[[Collection[str]], Outcome], whole: Outcome
) -> bool:
    """Take all actions away; a command ends as with them, or its error names some of them.

    Those get another try without the others, until the command works or all have been named.

    Args:
        actions: what is taken away.
        run: runs the command without some actions.
        whole: how it ends with all that its policies allow.

    Returns:
        Whether it has worked without some; else all have been named.
    """
    left = set(actions)
    while left:
        less = run(left)
        assert less.code != "bug", less.shown
        if (less.status, less.code) == (whole.status, whole.code):
            return True
        named = {action for action in left if names(less, action)}
        assert named, (sorted(left), less.shown)
        left -= named
    return False
