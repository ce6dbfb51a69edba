"""Projects: what their builds have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_ROLE = (
    "CodeBuild is not authorized to perform: sts:AssumeRole on service role. Please verify that: "
    "1) The provided service role exists, 2) The role name is case-sensitive and matches exactly, "
    "and 3) The role has the necessary trust policy configured."
)
_DEFAULTS: dict[str, Any] = {
    "timeoutInMinutes": 60,
    "queuedTimeoutInMinutes": 480,
    "cache": {"type": "NO_CACHE"},
    "badge": {"badgeEnabled": False},
    "projectVisibility": "PRIVATE",
}
_GIVEN = (
    *("name", "description", "source", "sourceVersion", "artifacts", "cache", "environment"),
    *("serviceRole", "timeoutInMinutes", "queuedTimeoutInMinutes", "encryptionKey", "tags"),
    *("vpcConfig", "logsConfig", "concurrentBuildLimit"),
)
_PAGE = 100


@dataclass
class Project:
    """A project: its settings as the API shows them, and the number of its last build."""

    settings: dict[str, Any]
    builds: int = 0


class Projects:
    """The projects of all regions.

    Args:
        trusts: whether CodeBuild may assume a role, given a call and the role's ARN.
    """

    def __init__(self, trusts: Callable[[Call, str], bool]) -> None:
        self._trusts = trusts
        self._lock = threading.Lock()
        self._all: dict[tuple[str, str], Project] = {}
        self.operations = {
            "CreateProject": self._create,
            "UpdateProject": self._update,
            "DeleteProject": self._delete,
            "BatchGetProjects": self._batch_get,
            "ListProjects": self._list,
        }

    def find(self, call: Call, name: str) -> Project:
        """The project of a name or an ARN.

        Raises:
            AwsError: there is none.
        """
        short = name.rpartition("/")[2]
        found = self._all.get((call.region, short))
        if found is None:
            arn = call.arn("codebuild", f"project/{short}")
            raise AwsError("ResourceNotFoundException", f"Project cannot be found: {arn}")
        return found

    def check_role(self, call: Call, role: str) -> None:
        """Refuse a service role that CodeBuild may not assume.

        Raises:
            AwsError: the refusal.
        """
        if not self._trusts(call, role):
            raise AwsError("InvalidInputException", _ROLE)

    def _create(self, call: Call) -> dict[str, Any]:
        name = call.params["name"]
        self.check_role(call, call.params["serviceRole"])
        with self._lock:
            arn = call.arn("codebuild", f"project/{name}")
            if (call.region, name) in self._all:
                raise AwsError("ResourceAlreadyExistsException", f"Project already exists: {arn}")
            key = call.arn("kms", "alias/aws/s3")
            now = round(time.time(), 3)
            settings = {**_DEFAULTS, "arn": arn, "encryptionKey": key, "created": now}
            made = self._all[call.region, name] = Project(settings)
            _set(made, call.params)
            return {"project": dict(made.settings)}

    def _update(self, call: Call) -> dict[str, Any]:
        if "serviceRole" in call.params:
            self.check_role(call, call.params["serviceRole"])
        with self._lock:
            found = self.find(call, call.params["name"])
            _set(found, call.params)
            return {"project": dict(found.settings)}

    def _delete(self, call: Call) -> dict[str, Any]:
        with self._lock:  # one that does not exist is no error
            self._all.pop((call.region, call.params["name"].rpartition("/")[2]), None)
        return {}

    def _batch_get(self, call: Call) -> dict[str, Any]:
        found, missing = [], []
        with self._lock:
            for name in call.params["names"]:
                project = self._all.get((call.region, name.rpartition("/")[2]))
                if project is None:
                    missing.append(name)
                else:
                    found.append(dict(project.settings))
        return {"projects": found, "projectsNotFound": missing}

    def _list(self, call: Call) -> dict[str, Any]:
        with self._lock:
            names = sorted(name for region, name in self._all if region == call.region)
        return {"projects": names[:_PAGE]}


def _set(project: Project, params: dict[str, Any]) -> None:
    """Take what a request says, and add what the service adds."""
    project.settings |= {name: params[name] for name in _GIVEN if name in params}
    environment = {
        "environmentVariables": [],
        "privilegedMode": False,
        "imagePullCredentialsType": "CODEBUILD",
    }
    project.settings["environment"] = environment | project.settings["environment"]
    project.settings["lastModified"] = round(time.time(), 3)
