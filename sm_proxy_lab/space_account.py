"""Makes the Studio spaces of `lab run --space`, by real API calls."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.http.call import LAB_CALLER
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from sm_proxy_lab.account import Account

_PROFILE: Final = LAB_CALLER.rpartition("/")[2]
"""Named as the session of CMD's credentials: to sm-proxy the spaces are the caller's own."""
_POLL_S: Final = 0.02
_TIMEOUT_S: Final = 60.0


def create(account: Account, names: Sequence[str]) -> dict[str, str]:
    """Make a domain, a user profile, and spaces with remote access and a running app.

    Returns:
        The variables for CMD.

    Raises:
        LabError: an app does not start.
    """
    call = account.sagemaker
    request = {"DomainName": "lab", "AuthMode": "IAM"}
    settings = {"ExecutionRole": role_credentials.ARN}
    domain = str(call("CreateDomain", {**request, "DefaultUserSettings": settings})["DomainId"])
    call("CreateUserProfile", {"DomainId": domain, "UserProfileName": _PROFILE})
    spaces = [{"DomainId": domain, "SpaceName": name} for name in dict.fromkeys(names)]
    for space in spaces:
        spec = {"DefaultResourceSpec": {"InstanceType": "ml.m5.large"}}
        opened = {"AppType": "JupyterLab", "RemoteAccess": "ENABLED", "JupyterLabAppSettings": spec}
        owner = {"OwnershipSettings": {"OwnerUserProfileName": _PROFILE}}
        sharing = {"SpaceSharingSettings": {"SharingType": "Private"}}
        call("CreateSpace", {**space, "SpaceSettings": opened, **owner, **sharing})
    apps = [{**space, "AppType": "JupyterLab", "AppName": "default"} for space in spaces]
    for space, app in zip(spaces, apps, strict=True):
        _await(functools.partial(call, "DescribeSpace", {**space}))
        call("CreateApp", {**app})
    for app in apps:
        _await(functools.partial(call, "DescribeApp", {**app}))
    return {"SM_PROXY_LAB_SPACE": f"sm-{names[0]}.space", "SM_PROXY_LAB_DOMAIN": domain}


def _await(describe: Callable[[], dict[str, object]]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while (found := describe())["Status"] != "InService":
        if time.monotonic() > deadline:
            raise LabError(f"not in service after {_TIMEOUT_S:.0f} s: {found}")
        time.sleep(_POLL_S)
