"""Whether a route is usable for a container, from this machine and now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sm_proxy.errors import SmProxyError


@dataclass(frozen=True)
class Verdict:
    """What a route says about itself before anything is sent to the container.

    Attributes:
        usable: whether the route works.
        reason: why, in one clause for people: `this machine is in vpc-0ab (instance metadata)`.
        error: of an unusable route: the error for the user if no route serves. None if the route
            is simply not made for this case, such as `direct` outside of the job's VPC.
        confirm: asks AWS about what this verdict takes from the cache or from the settings. A
            connection does without: it finds out anyway. None if there is nothing to ask.
    """

    usable: bool
    reason: str
    error: SmProxyError | None = None
    confirm: Callable[[], Verdict] | None = field(default=None, compare=False)

    @classmethod
    def refused(cls, error: SmProxyError) -> Verdict:
        """The verdict of a route that an error makes unusable."""
        return cls(usable=False, reason=error.message, error=error)


NO_ADDRESS: Final = Verdict(
    usable=False,
    reason="the container's SSH server has no address in a VPC, or ec2:DescribeSubnets is denied",
)
"""The verdict of a route that dials an address, for a container that only RemoteDebug reaches.

It also applies if we may not describe its subnets: then no address can be checked.
"""
