"""What a name that was typed may mean: the exact name, another case, or the beginning of a name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}")
"""Names from a List call go into file names and further calls, so we check them."""
SHOWN: Final = 3
"""Names in a message."""


class Named(Protocol):
    """What a List call names."""

    @property
    def name(self) -> str:
        """As the service spells it."""


_Item = TypeVar("_Item", bound=Named)


def meant(typed: str, listed: Iterable[_Item]) -> list[_Item]:
    """Those with that name in any case; if there are none, those whose names begin with it."""
    typed, found = typed.lower(), list(listed)
    same = [item for item in found if item.name.lower() == typed]
    return same or [item for item in found if item.name.lower().startswith(typed)]


def hint(typed: str, known: Sequence[Named]) -> str:
    """What to do about a name that means nothing: names that are close to it, if there are any."""
    import difflib  # noqa: PLC0415 - only for a name that is wrong

    names = {item.name.lower(): item.name for item in known}
    close = difflib.get_close_matches(typed.lower(), names, SHOWN)
    if close:
        return f"Did you mean {' or '.join(names[name] for name in close)}?"
    return "Check the name, the region (--region) and the account (--profile)."
