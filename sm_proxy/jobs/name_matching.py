"""The meanings of a typed name: the exact name, another case, or the beginning of a name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.jobs.hostname import Target

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}")
"""Names from a List call go into file names and further calls, so we check them."""
SHOWN: Final = 3
"""Names in a message."""
_LEAST: Final = 3
"""The fewest characters within a name that are worth a suggestion."""


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


def hint(target: Target, known: Iterable[Named]) -> str:
    """What to do about a name that means nothing: host names that are close, if there are any.

    Args:
        target: the host name.
        known: what a list has shown to this caller, the newest first.
    """
    from sm_proxy.local import suggestion  # noqa: PLC0415 - only for a name that is wrong

    typed = target.job.lower()
    names = list(dict.fromkeys(item.name for item in known))
    holding = [name for name in names if len(typed) >= _LEAST and typed in name.lower()]
    node = target.node if target.names_node else None
    hosts = []
    for name in dict.fromkeys([*suggestion.close(typed, names), *holding]):
        with contextlib.suppress(SmProxyError):  # no host name leads to it
            hosts.append(hostname.compose(target.prefix, name, node, target.kind).host)
    hosts = hosts or _remembered(target)
    where = "Check the name, the region (--region) and the account (--profile)."
    return suggestion.question(hosts[:SHOWN]) or where


def _remembered(target: Target) -> list[str]:
    """Close host names that lists have shown earlier on this machine: of another kind, perhaps."""
    from sm_proxy.local import suggestion  # noqa: PLC0415 - as above
    from sm_proxy.state import host_names  # noqa: PLC0415 - as above

    hosts: dict[str, str] = {}
    for item in host_names.read():
        with contextlib.suppress(SmProxyError):  # of another prefix
            known = hostname.parse(item.host, target.prefix)
            # The typed name itself, or a node of it, is not there any more, or in another region.
            if known.job != target.job or known.kind != target.kind:
                hosts.setdefault(known.job, known.host)
    return [hosts[name] for name in suggestion.close(target.job, hosts)]
