"""Keys that one process gets and another one uses: for a session that outlives its connection.

They go from process to process in memory only. When they expire, the other process gets new ones as
any run with its environment would, but it never asks the user.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

from botocore.credentials import Credentials, RefreshableCredentials

from sm_proxy.aws.clients import Aws
from sm_proxy.local import secret_values

RENEWED_S: Final = 60
"""Seconds before their end at which keys are renewed."""
_LONG: Final = timedelta(days=365)
_METHOD: Final = "handed"


def give(aws: Aws) -> dict[str, str | None]:
    """The keys that a call would be signed with now; `expiry_time` is None if they last.

    Raises:
        SmProxyError: as `Aws.call`.
    """
    keys = aws.keys()
    ends = getattr(aws.session.get_credentials(), "_expiry_time", None)
    return {
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "token": keys.token,
        "expiry_time": ends.isoformat() if ends else None,
    }


def take(given: dict[str, Any], profile: str | None, region: str | None) -> Aws:
    """Calls to AWS that are signed with keys of another process.

    Args:
        given: what `give` returned there.
        profile: as for `Aws`, for new keys.
        region: the same.
    """
    secret_values.keep(given["secret_key"], given["token"])
    return Aws(profile, region, terminal=False, credentials=_credentials(given, profile, region))


def ends_at(given: dict[str, Any]) -> float | None:
    """Until when the keys serve, in Unix seconds; None if they last."""
    ends = given["expiry_time"]
    return datetime.fromisoformat(ends).timestamp() - RENEWED_S if ends else None


def _credentials(given: dict[str, Any], profile: str | None, region: str | None) -> Credentials:
    if not given["expiry_time"]:
        return Credentials(given["access_key"], given["secret_key"], given["token"], _METHOD)

    def renewed() -> dict[str, Any]:
        found = give(Aws(profile, region, terminal=False))
        secret_values.keep(found["secret_key"], found["token"])
        if found["expiry_time"] is None:
            found["expiry_time"] = (datetime.now(timezone.utc) + _LONG).isoformat()
        return found

    return RefreshableCredentials.create_from_metadata(
        given,
        renewed,
        _METHOD,
        advisory_timeout=RENEWED_S,
        mandatory_timeout=RENEWED_S,
    )
