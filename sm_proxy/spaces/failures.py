"""Why a space or its app does not start, and what to do about it."""

from __future__ import annotations

from typing import Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import failure_causes
from sm_proxy.jobs.kinds._described_space import App, Space

_QUOTA: Final = "ResourceLimitExceeded"
IN_USE: Final = "ResourceInUse"


def of_app(space: Space, app: App, again: str) -> SmProxyError:
    """The error for an app that has failed.

    Args:
        space: whose app it is.
        app: as described.
        again: the command that starts it again.
    """
    reason = printable(app.failure_reason) or "no reason given"
    cause = failure_causes.find_likely([app.failure_reason])
    what = f"the app of the space {space.name} has failed: {reason}"
    if cause is None:
        return SmProxyError("job-failed", what, f"To try again: {again}")
    return SmProxyError(
        "job-failed", f"{what} ({cause.what})", f"{cause.advice} To try again: {again}"
    )


def of_space(space: Space) -> SmProxyError:
    """The error for a space that cannot be used: it has failed, or is being deleted."""
    if space.status == "Deleting":
        return SmProxyError(
            "job-ended", f"the space {space.name} is being deleted", "Make a new one in Studio."
        )
    reason = printable(space.failure_reason) or "no reason given"
    return SmProxyError(
        "job-failed",
        f"the space {space.name} is {printable(space.status, 60)}: {reason}",
        "Look at it in Studio.",
    )


def of_call(error: ServiceError, space: Space, again: str) -> SmProxyError:
    """The error for a call that the service refused.

    Args:
        error: the refusal.
        space: that the call was about.
        again: the command that tries it again.
    """
    what = f"{error.action} for the space {space.name} was refused: {error.message}"
    if error.error == _QUOTA:
        return SmProxyError(
            "request-limit",
            what,
            "Ask for more in Service Quotas (`Studio ... Apps running on ... instances`), stop"
            f" another app, or take another instance with --instance-type. To try again: {again}",
        )
    if error.error == IN_USE:
        return SmProxyError("busy", what, f"Something else is changing it. To try again: {again}")
    return SmProxyError("aws-error", what, f"To try again: {again}", passing=error.passing)
