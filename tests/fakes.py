"""Stand-ins that several test modules share."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from botocore.session import Session

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import KINDS, SESSION_KINDS
from sm_proxy.resolver import Container
from sm_proxy.ssm.dial import DIRECT, Network

JOB = "my-job"
NODE_STREAM = f"{JOB}/algo-1-1700000000"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJkDdj3xIk/WDszqsnSE8HbvRo+vYtA6sEMd8/FqWEuA"
ECDSA_KEY = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHjCZJT6pEW1Z9kkJ3aU+D"
    "yjt/j4sIh4mZZ6AvxI+KqaDcCIEnzOdPXAjIq2MrZjeZW+3eweuZ7hy1R5mG8zVFA="
)
DESCRIBES = [describe for describe, *_ in KINDS.values()]
"""The operation that describes a job of each kind, in the order in which a name is tried."""
LISTS = sorted(listing for _, listing, *_ in KINDS.values())
"""The operation that lists the jobs of each kind."""
EVERY_LIST = sorted([*LISTS, *(row.operations[1] for row in SESSION_KINDS.values())])
"""The same, and those that list spaces and clusters."""

Answer = dict[str, Any] | Exception
Answers = Answer | list[Answer] | Callable[..., dict[str, Any]]


class FakeAws(Aws):
    """Answers calls from a table and remembers them.

    A list gives one answer after the other and then repeats its last; a function gets the call's
    parameters.
    """

    def __init__(self, **answers: Answers) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers
        self._lock = threading.Lock()

    @property
    def profile(self) -> str | None:
        return None

    @property
    def region(self) -> str:
        return self._region or "eu-west-1"

    @property
    def network(self) -> Network:
        return DIRECT

    @property
    def session(self) -> Session:
        return Session()

    def stream_url(self, url: str, service: str = "ssmmessages") -> str:
        del service
        return url

    def refuse_unknown(self, service: str, operation: str) -> None:
        del service, operation

    def operations(self) -> list[str]:
        """The names of the operations called, sorted: some run side by side."""
        return sorted(operation for operation, _ in self.calls)

    def call_once(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        return self.call(service, operation, **parameters)

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        del service
        with self._lock:
            self.calls.append((operation, parameters))
            answer = self._answers[operation]
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(**parameters) if callable(answer) else answer


def marker_line(**changes: Any) -> str:
    """The line our entrypoint prints."""
    document = {
        "sm_proxy_marker": 1,
        "node": "algo-1",
        "addresses": [{"name": "eth0", "address": "10.0.1.5", "prefix": 20}],
        "port": 2222,
        "user": "root",
        "host_keys": [HOST_KEY],
        "features": [],
        "problems": [],
    }
    return json.dumps({**document, **changes})


def description(status: str = "Training", overall: str = "InProgress", **changes: Any) -> Answer:
    """What DescribeTrainingJob gives."""
    return {
        "TrainingJobName": JOB,
        "TrainingJobStatus": overall,
        "SecondaryStatus": status,
        "SecondaryStatusTransitions": [
            {"Status": status, "StartTime": datetime.now(timezone.utc), "StatusMessage": "..."}
        ],
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "ResourceConfig": {"InstanceCount": 1},
        **changes,
    }


def streams(*names: str) -> dict[str, Any]:
    """What DescribeLogStreams gives."""
    return {"logStreams": [{"logStreamName": name} for name in names]}


def events(*lines: str, token: str = "f/1") -> dict[str, Any]:  # noqa: S107 - of a page
    """What GetLogEvents gives."""
    return {"events": [{"message": line} for line in lines], "nextForwardToken": token}


SUBNETS = {"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.0.0.0/20"}]}


def working(**changes: Answers) -> FakeAws:
    """An account in which `sm-my-job` runs and has printed its marker."""
    answers: dict[str, Answers] = {
        "DescribeTrainingJob": description(),
        "DescribeLogStreams": streams(NODE_STREAM),
        "GetLogEvents": events("starting", marker_line()),
        "DescribeSubnets": SUBNETS,
    }
    return FakeAws(**{**answers, **changes})


def container(**changes: Any) -> Container:
    """A container that can be dialled."""
    known: dict[str, Any] = {
        "host": "sm-my-job",
        "job": JOB,
        "kind": "training",
        "node": "algo-1",
        "address": "10.0.1.5",
        "port": 2222,
        "user": "root",
        "host_keys": (HOST_KEY,),
        "status": "Training",
        "source": "marker",
        "vpc_id": "vpc-1",
        "stream": NODE_STREAM,
    }
    return Container(**{**known, **changes})


ARN = "arn:aws:sagemaker:eu-west-1:123456789012:space/d-abc/My-Space"


def space(**changes: Any) -> Container:
    """A Studio space that can be dialled."""
    known: dict[str, Any] = {
        "host": "sm-My-Space.space",
        "job": "My-Space",
        "kind": "space",
        "node": "d-abc",
        "address": None,
        "port": 22,
        "user": "sagemaker-user",
        "host_keys": (),
        "status": "InService",
        "source": None,
        "vpc_id": None,
        "stream": "",
        "session_target": ARN,
        "life": "2026-11-29T10:00:00+00:00",
    }
    return Container(**{**known, **changes})


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class MemoryKeyring:
    """A backend of `keyring` that forgets everything in the end."""

    priority: float = 5

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.items[service, username]


def blob_of(key: str) -> bytes:
    """A public key `"type base64"` as on the wire."""
    return base64.b64decode(key.split()[1])
