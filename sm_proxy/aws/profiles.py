"""The profiles in the user's AWS files."""

from __future__ import annotations

import botocore.session
from botocore.exceptions import BotoCoreError

from sm_proxy.errors import SmProxyError


def list_profiles() -> list[str]:
    """Every profile by name, as botocore finds them.

    Raises:
        SmProxyError: `bad-setting`, the files cannot be parsed.
    """
    try:
        return list(botocore.session.Session().available_profiles)
    except BotoCoreError as error:
        raise SmProxyError(
            "bad-setting", f"the AWS configuration cannot be read: {error}", "Mend that file."
        ) from None


def region_of(profile: str | None) -> str | None:
    """The region that botocore would take with this profile; None where nothing names one."""
    try:
        region = botocore.session.Session(profile=profile).get_config_variable("region")
    except BotoCoreError:  # there is no such profile: the credentials' check will say so
        return None
    return str(region) if region else None
