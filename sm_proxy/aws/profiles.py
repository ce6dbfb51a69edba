"""The profiles in the user's AWS files."""

from __future__ import annotations

import botocore.session
from botocore.exceptions import BotoCoreError

from sm_proxy.errors import SmProxyError


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
