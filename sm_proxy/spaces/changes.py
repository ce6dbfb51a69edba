"""Start and stop the app of a space: what a plan says, each step waited for.

Nothing is saved on this machine: a second run continues from the state in SageMaker.
"""

from __future__ import annotations

import time
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.kinds import _described_space as spaces
from sm_proxy.jobs.kinds._described_space import Space
from sm_proxy.spaces import failures
from sm_proxy.spaces.plan import Plan
from sm_proxy.spaces.waiting import Waiter

_CHANGING: Final = frozenset({"Pending", "Updating"})
_USABLE: Final = frozenset({"InService", "Update_Failed"})
_GOING: Final = frozenset({"Deleting", "Deleted"})
_CHANGED_BY_OTHERS: Final = frozenset({failures.IN_USE, "ValidationException"})
"""The second where an app runs. Source: UpdateDomain's "Unable to update Domain [...] with
InService App", in hashicorp/terraform-provider-aws issue 31912."""
_LAG_S: Final = 15.0
"""How long after a change the former state may still be described, in seconds."""


def settled(aws: Aws, space: Space, waiter: Waiter) -> Space:
    """The space once nothing changes it any more; at once if nothing does.

    Raises:
        SmProxyError: `job-failed` or `job-ended`, it cannot be used; as `Waiter.until`.
    """
    found = space

    def look() -> str:
        nonlocal found
        if found.status in _CHANGING:
            found = spaces.describe(aws, space.domain, space.name)
            return found.status if found.status in _CHANGING else ""
        return ""

    waiter.until(f"{space.name}: the space", look)
    if found.status not in _USABLE:
        raise failures.of_space(found)
    return found


def end_app(aws: Aws, space: Space, waiter: Waiter) -> None:
    """Delete the app of a space, and wait until it is gone.

    Raises:
        SmProxyError: a call failed; as `Waiter.until`.
    """
    try:
        aws.call("sagemaker", "DeleteApp", **space.app_key)
    except ServiceError as error:
        app = spaces.app_of(aws, space)
        if app is not None and app.status == "Pending":
            _await_started(aws, space, waiter)
            end_app(aws, space, waiter)
            return
        if app is not None and app.status not in _GOING:
            raise failures.of_call(error, space, waiter.again) from None
    await_gone(aws, space, waiter)


def await_gone(aws: Aws, space: Space, waiter: Waiter) -> None:
    """Wait until the space has no app.

    Raises:
        SmProxyError: as `Waiter.until`.
    """

    def look() -> str:
        app = spaces.app_of(aws, space)
        return "" if app is None or app.gone else app.status

    waiter.until(f"{space.name}: its app", look)


def carry_out(aws: Aws, plan: Plan, waiter: Waiter) -> None:
    """Do what the plan says, until the app runs.

    Raises:
        SmProxyError: with the code that fits.
    """
    space = plan.space
    if plan.ends_app:
        end_app(aws, space, waiter)
        waiter.say(f"{space.name}: its app has ended")
    elif space.app is not None and space.app.status == "Deleting":
        await_gone(aws, space, waiter)
    if plan.settings:
        _update(aws, plan, waiter)
    if plan.creates_app:
        _create(aws, plan, waiter)
    _await_in_service(aws, plan, waiter)


def _update(aws: Aws, plan: Plan, waiter: Waiter) -> None:
    space, settings, began = plan.space, dict(plan.settings), time.monotonic()
    try:
        aws.call("sagemaker", "UpdateSpace", **space.key, SpaceSettings=settings)
    except ServiceError as error:
        if error.error in _CHANGED_BY_OTHERS and _others_did_it(aws, plan, waiter):
            return
        raise failures.of_call(error, space, waiter.again) from None

    def look() -> str:
        now = spaces.describe(aws, space.domain, space.name)
        if now.status in _CHANGING:
            return now.status
        lags = now.status == space.status and time.monotonic() - began < _LAG_S
        if lags and not _shows(now, plan):
            return f"{now.status}, not changed yet"
        if now.status != "InService":
            raise failures.of_space(now)
        return ""

    waiter.until(f"{space.name}: the space", look)


def _others_did_it(aws: Aws, plan: Plan, waiter: Waiter) -> bool:
    """Whether another run, faster than this one, has changed the space as planned."""
    now = spaces.describe(aws, plan.space.domain, plan.space.name)
    return _shows(settled(aws, now, waiter), plan)


def _shows(now: Space, plan: Plan) -> bool:
    """Whether a description shows the values of UpdateSpace."""
    return (
        now.status == "InService"
        and now.remote_access
        and (not plan.resizes or now.spec.get("InstanceType") == plan.instance_type)
    )


def _create(aws: Aws, plan: Plan, waiter: Waiter) -> None:
    space, spec = plan.space, dict(plan.spec)
    try:
        aws.call("sagemaker", "CreateApp", **space.app_key, ResourceSpec=spec)
    except ServiceError as error:
        app = spaces.app_of(aws, space) if error.error == "ResourceInUse" else None
        if app is None or not app.live:  # else somebody was faster
            raise failures.of_call(error, space, waiter.again) from None


def _await_in_service(aws: Aws, plan: Plan, waiter: Waiter) -> None:
    space, began = plan.space, time.monotonic()

    def look() -> str:
        app = spaces.app_of(aws, space)
        if app is not None and app.status == "InService":
            return ""
        if app is not None and app.status == "Pending":
            return app.status
        if app is not None and app.status == "Failed":
            raise failures.of_app(space, app, waiter.again)
        if plan.creates_app and time.monotonic() - began < _LAG_S:
            return "not there yet"
        raise SmProxyError(
            "job-ended",
            f"the app of the space {space.name} was deleted while it started",
            f"To start it again: {waiter.again}",
        )

    waiter.until(f"{space.name}: its app", look)


def _await_started(aws: Aws, space: Space, waiter: Waiter) -> None:
    """Wait until an app is no longer Pending: SageMaker may refuse to delete one that starts."""

    def look() -> str:
        app = spaces.app_of(aws, space)
        return app.status if app is not None and app.status == "Pending" else ""

    waiter.until(f"{space.name}: its app, which cannot be ended while it starts,", look)
