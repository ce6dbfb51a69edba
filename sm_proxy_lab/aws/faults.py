"""Faults that a test can set: denials, throttling, failures, bad credentials."""

from __future__ import annotations

import copy
import re
import threading
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws import credentials, denial
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call

DEFAULTS: dict[str, Any] = {
    "deny": [],
    "policies": {},
    "deny_documents": [],
    "throttle": {},
    "fail": {},
    "credentials": "ok",
    "clock_skew_s": 0,
    "log_delay_ms": 0,
    "empty_log_pages": 0,
    "masked_logs": "",
    "ping_status": "Online",
    "agent_version": "3.3.1230.0",
    "console": "first boot",
    "quotas": {},
    "stack": {},
    "stack_delay_ms": 0,
    "build": {},
    "build_limit": 60,
    "build_minute_ms": 60_000,
    "studio": {},
    "gateway": {},
}
_CHOICES = {
    "credentials": {"ok", "expired", "invalid"},
    "console": {"first boot", "rebooted"},
    "ping_status": {"Online", "ConnectionLost", "Inactive", "absent"},
}
_STUDIO: dict[str, int | str] = {
    "space_ms": 50,  # a domain, user profile or space is Pending or Updating
    "app_ms": 100,  # an app is Pending at least, and Deleting
    "registration_ms": 200,  # from InService until StartSession finds the space
    "app_failure": "",  # a new app fails with this FailureReason
    "update_failure": "",  # UpdateSpace fails with it
}
_ACTION = r"\*|.*:.*", "service:Operation"
# Key -> the form of what is counted.
_COUNTERS = {
    "throttle": _ACTION,
    "fail": _ACTION,
    "quotas": (r"ml\..+|elastic-ip", "an instance type or elastic-ip"),
}


class Faults:
    """The fault document and its counters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = copy.deepcopy(DEFAULTS)

    def document(self) -> dict[str, Any]:
        """Return the current document; a counter has the number of calls that will still fail."""
        with self._lock:
            return copy.deepcopy(self._now)

    @staticmethod
    def validate(changes: dict[str, Any]) -> None:
        """Check that these changes are valid.

        Raises:
            ValueError: A key is unknown, or its value is not allowed.
        """
        for key, value in changes.items():
            _check(key, value)

    def merge(self, changes: dict[str, Any], *, replace: bool) -> None:
        """Set the keys of `changes`; `replace` resets all other keys to their defaults."""
        with self._lock:
            base = copy.deepcopy(DEFAULTS) if replace else self._now
            self._now = base | copy.deepcopy(changes)

    def __getitem__(self, key: str) -> Any:
        """One value of the document."""
        return self._now[key]

    def studio(self, key: str) -> Any:
        """One setting of Studio."""
        return {**_STUDIO, **self._now["studio"]}[key]

    def studio_s(self, key: str) -> Callable[[], float]:
        """A function that tells one time of Studio, in seconds, as it is set then."""
        return lambda: float(self.studio(key)) / 1000

    def check(self, call: Call) -> None:
        """Let a call pass, or refuse it as its service would.

        Raises:
            AwsError: The refusal.
        """
        credentials.check(call, self._now["credentials"])
        credentials.check_clock(call, self._now["clock_skew_s"])
        self.check_action(call)
        if self._spend("throttle", call):
            raise _throttled(call)
        left = self._spend("fail", call)
        if left:
            raise _failed(call, 500 if left % 2 else 503)

    def check_action(self, call: Call) -> None:
        """Refuse an action that the caller may not perform.

        A call that needs a second action calls this again with the second one.

        Raises:
            AwsError: The refusal.
        """
        denial.check(call, self._now["deny"], self._now["policies"])

    def _spend(self, kind: str, call: Call) -> int:
        """Decrement the counter that matches the call; return its value before, or 0."""
        if not self._now[kind]:
            return 0
        with self._lock:
            counters = self._now[kind]
            for pattern, left in counters.items():
                if left > 0 and fnmatchcase(call.action.lower(), pattern.lower()):
                    counters[pattern] = left - 1
                    return int(left)
        return 0


def _check(key: str, value: object) -> None:
    if key not in DEFAULTS:
        raise ValueError(f"no such fault: {key}; there are {', '.join(DEFAULTS)}")
    kind = type(DEFAULTS[key])
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key} must be a JSON value like {DEFAULTS[key]!r}")  # noqa: TRY004 - one kind of refusal
    if key in _CHOICES and value not in _CHOICES[key]:
        raise ValueError(f"{key} must be one of {', '.join(sorted(_CHOICES[key]))}")
    if key == "policies" and (unknown := set(value) - denial.POLICIES):
        raise ValueError(f"no such policy: {sorted(unknown)}")
    if key == "studio" and isinstance(value, dict):
        _check_studio(value)
    if key in _COUNTERS and isinstance(value, dict):
        pattern, name = _COUNTERS[key]
        for what, count in value.items():
            if not re.fullmatch(pattern, what) or not isinstance(count, int):
                raise ValueError(f"{key} takes {name} and a number, not {what}: {count}")


def _check_studio(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        if type(value) is not type(_STUDIO.get(name)):
            raise ValueError(f"studio takes {_STUDIO}, not {name}: {value}")


def _throttled(call: Call) -> AwsError:
    if call.protocol == "ec2":
        return AwsError("RequestLimitExceeded", "Request limit exceeded.", 503)
    if call.protocol == "query":
        return AwsError("Throttling", "Rate exceeded")
    return AwsError("ThrottlingException", "Rate exceeded")


def _failed(call: Call, status: int) -> AwsError:
    if call.protocol == "ec2":
        return AwsError("InternalError", "An internal error has occurred", status)
    message = "The request processing has failed because of an unknown error, exception or failure."
    return AwsError("InternalFailure", message, status)
