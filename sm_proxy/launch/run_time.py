"""How long a job may run: as long as before, and its waiting and keeping windows besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.launch.changes import Draft, value_at
from sm_proxy.settings import durations

_STOPPING: Final = "StoppingCondition"
_LONGEST: Final = "MaxRuntimeInSeconds"
_LONGEST_WITH_SPOT: Final = "MaxWaitTimeInSeconds"
_DEFAULT_S: Final = 24 * 60 * 60
"""MaxRuntimeInSeconds of a request without it, by the API reference."""
_QUOTA_S: Final = 5 * 24 * 60 * 60
"""The default quota of an account. A longer job is refused, so we never go beyond it."""
_AFTER: Final = ("SM_PROXY_KEEP_SUCCESS", "SM_PROXY_KEEP_FAILURE", "SM_PROXY_KEEP_CONNECTED")


def seconds(duration: str | None) -> int | None:
    """The seconds of a container's setting; None if it is missing or invalid, thus ignored."""
    try:
        return durations.parse(duration or "")
    except ValueError:
        return None


def windows_s(request: Mapping[str, Any]) -> int:
    """How long a container stays besides its program's run, at most.

    The windows after the program run together. MaxRuntimeInSeconds counts all attempts of a job
    with a RetryStrategy, and each of them waits.
    """
    variables = request.get("Environment") or {}
    attempts = 1 + (value_at(request, ("RetryStrategy", "MaximumRetryAttempts")) or 0)
    wait_s = seconds(variables.get("SM_PROXY_WAIT")) or 0
    return attempts * wait_s + max(seconds(variables.get(name)) or 0 for name in _AFTER)


def extend(draft: Draft, by_s: int) -> None:
    """Let the job run longer, up to the default quota; never shorter."""
    before = draft.get((_STOPPING, _LONGEST)) or _DEFAULT_S
    after = max(before, min(before + by_s, _QUOTA_S))
    if after == before:
        return
    why = "covers the run, the wait before it and the time the container stays after it"
    draft.set((_STOPPING, _LONGEST), after, why)
    with_spot = draft.get((_STOPPING, _LONGEST_WITH_SPOT))
    if with_spot is not None:
        why = "must not be shorter than MaxRuntimeInSeconds"
        draft.set((_STOPPING, _LONGEST_WITH_SPOT), with_spot + after - before, why)
