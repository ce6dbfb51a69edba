"""Report a profile or region that a command writes down and that is unknown on this machine.

It is written all the same: the profile, or a newer botocore, may come later.
"""

from __future__ import annotations

from sm_proxy.completion import values
from sm_proxy.errors import printable
from sm_proxy.local import output, suggestion


def report(profile: str | None, region: str | None) -> None:
    """Print a line for an unknown profile, and one for an unknown region.

    Args:
        profile: of the AWS files; None if none is written.
        region: of AWS; None if none is written.
    """
    if profile is not None:
        from sm_proxy.aws import profiles  # noqa: PLC0415 - botocore takes a while

        if near := profiles.near(profile):
            output.status(f"there is no AWS profile {printable(profile)!r}. {near}")
    known = [name for name, _ in values.regions()] if region is not None else []
    if known and region is not None and region not in known:
        near = suggestion.sentence(region, known)
        output.status(f"botocore knows no region {printable(region)!r}. {near}".rstrip())
