"""The profiles in the user's AWS files."""

from __future__ import annotations

import contextlib
from typing import Final

import botocore.session
from botocore.exceptions import BotoCoreError

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import suggestion

_SHOWN: Final = 8
"""Names in a message."""


def list_profiles() -> list[str]:
    """The names of all profiles that botocore finds.

    Raises:
        SmProxyError: `bad-setting`, the files cannot be parsed.
    """
    try:
        return list(botocore.session.Session().available_profiles)
    except BotoCoreError as error:
        raise SmProxyError(
            "bad-setting", f"the AWS configuration cannot be read: {error}", "Correct that file."
        ) from None


def region_of(profile: str | None) -> str | None:
    """The region that botocore uses with this profile; None if none is set."""
    try:
        region = botocore.session.Session(profile=profile).get_config_variable("region")
    except BotoCoreError:  # no such profile: the check of the credentials reports that
        return None
    return str(region) if region else None


def near(profile: str) -> str:
    """`Did you mean `dev`?`, or else which profiles there are; empty if this is one of them.

    Also empty on a machine without profiles, such as one that builds an image: the name may be for
    another machine.
    """
    names: list[str] = []
    with contextlib.suppress(SmProxyError):  # whatever needs the file says so
        names = [printable(name) for name in list_profiles()]
    if not names or printable(profile) in names:
        return ""
    known = ", ".join(names[:_SHOWN]) + (", ..." if names[_SHOWN:] else "")
    return suggestion.sentence(profile, names) or f"There are: {known}."
