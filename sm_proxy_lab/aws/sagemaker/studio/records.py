"""What Studio keeps: domains, user profiles, spaces and apps. Their statuses follow the clock.

A status that takes time is computed when it is read. So the lab needs no thread or timer for it,
and a test can hold a status, then release it.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker import shapes

PENDING: Final = "Pending"
IN_SERVICE: Final = "InService"
UPDATING: Final = "Updating"
UPDATE_FAILED: Final = "Update_Failed"
DELETING: Final = "Deleting"
DELETED: Final = "Deleted"
FAILED: Final = "Failed"


@dataclass
class Thing:
    """A domain, a user profile or a space.

    Attributes:
        arn: its ARN.
        request: the request that made it, with the changes since.
        takes_s: tells how long it takes to make or change it.
        failure: why its last update failed; empty if it did not.
    """

    arn: str
    request: dict[str, Any]
    takes_s: Callable[[], float]
    failure: str = ""
    created: float = field(default_factory=time.time)
    modified: float = 0.0

    def __post_init__(self) -> None:
        """A new one was modified when it was made."""
        self.modified = self.modified or self.created

    @property
    def status(self) -> str:
        """Its status now."""
        if time.time() < self.modified + self.takes_s():
            return PENDING if self.modified == self.created else UPDATING
        return UPDATE_FAILED if self.failure else IN_SERVICE

    def describe(self, operation: str) -> dict[str, Any]:
        """The answer of a Describe operation."""
        answer = shapes.repeated(operation, copy.deepcopy(self.request))
        answer |= {"Status": self.status, **self.times()}
        if self.status == UPDATE_FAILED:
            answer["FailureReason"] = self.failure
        return answer

    def times(self) -> dict[str, float]:
        """The two times that each description and each list shows."""
        return {
            "CreationTime": round(self.created, 3),
            "LastModifiedTime": round(self.modified, 3),
        }


@dataclass
class App:
    """An app: the container in which a space runs.

    Attributes:
        arn: its ARN.
        request: the request that made it.
        spec: its ResourceSpec, with what the space has for it.
        target: the name of its container for supervisor and gateway.
        takes_s: tells how long it is Pending at least, and Deleting.
        failure: why it fails to start; empty if it starts.
        up_since: tells since when its container is up; None if it is not.
    """

    arn: str
    request: dict[str, Any]
    spec: dict[str, Any]
    target: str
    takes_s: Callable[[], float]
    failure: str
    up_since: Callable[[str], float | None]
    created: float = field(default_factory=time.time)
    in_service: float | None = None
    deleted: float | None = None

    @property
    def status(self) -> str:
        """Its status now."""
        now, due = time.time(), self.created + self.takes_s()
        if self.deleted is not None:
            return DELETED if now >= self.deleted + self.takes_s() else DELETING
        if self.in_service is None and now >= due:
            if self.failure:
                return FAILED
            since = self.up_since(self.target)
            self.in_service = None if since is None else max(due, since)
        return PENDING if self.in_service is None else IN_SERVICE

    @property
    def counts(self) -> bool:
        """Whether another app cannot start beside it."""
        return self.status not in {DELETED, FAILED}

    @property
    def modified(self) -> float:
        """Lists cannot be sorted by another time."""
        return self.created

    def summary(self) -> dict[str, Any]:
        """Its entry in a list."""
        names = ("DomainId", "SpaceName", "AppType", "AppName")
        return {
            **{name: self.request[name] for name in names},
            "Status": self.status,
            "CreationTime": round(self.created, 3),
            "ResourceSpec": copy.deepcopy(self.spec),
        }


Key = tuple[str, ...]
"""Region, domain id, and the names below that."""


@dataclass
class Records:
    """All of Studio's records, in the order in which they were made. Hold `lock` to change them."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    domains: dict[Key, Thing] = field(default_factory=dict)
    profiles: dict[Key, Thing] = field(default_factory=dict)
    spaces: dict[Key, Thing] = field(default_factory=dict)
    apps: dict[Key, App] = field(default_factory=dict)

    def app_of(self, space: Key) -> App | None:
        """The app of a space that is not deleted and has not failed."""
        return next(
            (app for key, app in self.apps.items() if key[:3] == space and app.counts), None
        )


def not_found(kind: str, name: str) -> AwsError:
    """The error for an unknown name. The form of the message is assumed."""
    return AwsError("ResourceNotFound", f"{kind} [{name}] does not exist.")


def in_use(kind: str, name: str, why: str) -> AwsError:
    """The error for a name that is taken, or for what something else needs (form assumed)."""
    return AwsError("ResourceInUse", f"{kind} [{name}] {why}")


def invalid(message: str) -> AwsError:
    """The error for a request that breaks a rule."""
    return AwsError("ValidationException", message)
