"""An AWS endpoint in a process of its own, with a fake gateway."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import botocore.config
import botocore.session
import pytest
from botocore.exceptions import ClientError

from sm_proxy_lab.aws.control_client import ControlClient
from sm_proxy_lab.machines import role_credentials

REGION = "us-east-1"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJtaAp2cx7qttmAsiv/jlndIS4Ju0ehWfFJWfILdLQRp"
DESCRIBE = {"TrainingJobName": "Some-Job"}
"""A request about a job that does not exist."""
NewJob = Callable[..., str]
"""The type of the fixture new_job: makes a training job and returns its name."""


class FakeGateway(socketserver.ThreadingUnixStreamServer):
    """Answers on the gateway's control socket and records the requests."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.open: dict[str, str] = {}
        self.without_agent: set[str] = set()
        super().__init__(str(path), _Handler)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        operation = getattr(self, f"_{request['op'].replace('-', '_')}")
        return dict(operation(request))

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        session = f"lab-{uuid.uuid4().hex[:17]}"
        self.open[session] = request["target"]
        return {"SessionId": session, "TokenValue": "token", "StreamUrl": f"ws://x/{session}"}

    def _agent(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"connected": request["target"] not in self.without_agent}

    def _resume(self, request: dict[str, Any]) -> dict[str, Any]:
        session = request["session"]
        if session not in self.open:
            return {"error": "DoesNotExistException"}
        return {"SessionId": session, "TokenValue": "token-2", "StreamUrl": f"ws://x/{session}"}

    def _terminate(self, request: dict[str, Any]) -> dict[str, Any]:
        self.open.pop(request["session"], None)
        return {"SessionId": request["session"]}

    def _list(self, _request: dict[str, Any]) -> dict[str, Any]:
        known = list(self.open.items())
        return {"sessions": [{"id": i, "target": t, "state": "Connected"} for i, t in known]}

    def _forget_instances(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _push_key(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _host_keys(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {"keys": [f"{HOST_KEY} root@bastion"]}

    def _faults(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"error": "no such fault: colour"} if "colour" in request["faults"] else {}


class _Handler(socketserver.StreamRequestHandler):
    server: FakeGateway

    def handle(self) -> None:
        answer = self.server.answer(json.loads(self.rfile.readline()))
        self.wfile.write(json.dumps(answer).encode() + b"\n")


@dataclass
class Lab:
    """A running AWS endpoint, and all that a test uses to change it."""

    endpoint: str
    control: ControlClient
    gateway: FakeGateway
    calls_file: Path
    events: Queue[dict[str, Any]]
    pid: int
    ready_seconds: float
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, region: str = REGION, **config: Any) -> Any:
        """A real botocore client that never retries."""
        key = (service, region)
        if config:
            return self._make(service, region, **config)
        if key not in self._clients:
            self._clients[key] = self._make(service, region)
        return self._clients[key]

    def _make(self, service: str, region: str, **config: Any) -> Any:
        session = botocore.session.Session()
        return session.create_client(
            service,
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id="AKIALABLABLABLABLAB1",
            aws_secret_access_key="secret",
            config=botocore.config.Config(retries={"total_max_attempts": 1}, **config),
        )

    def event(self, job: str, kind: str = "job-created") -> dict[str, Any]:
        """Wait for an event about a job. Late events about other tests' jobs are skipped."""
        while True:
            event = self.events.get(timeout=60)
            if (event["event"], event["job"]) == (kind, job):
                return event

    def calls(self) -> list[dict[str, Any]]:
        """The lines of the calls file."""
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]


def start(
    folder: Path, *words: str, latency_ms: float = 0
) -> tuple[subprocess.Popen[str], str, dict[str, Any]]:
    """Start an AWS endpoint; it is ready when this returns."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        fd = listener.fileno()
        port = listener.getsockname()[1]
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sm_proxy_lab.aws", "--fd", str(fd)),
                *("--gateway", str(folder / "gateway.sock"), "--calls", str(folder / "calls")),
                *("--latency-ms", str(latency_ms), *words),
            ],
            pass_fds=[fd],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["event"] == "ready"
    return process, f"http://127.0.0.1:{port}", ready


@contextlib.contextmanager
def running(folder: Path, *words: str, gateway: type[FakeGateway] = FakeGateway) -> Iterator[Lab]:
    """An AWS endpoint with a fake gateway; it ends with the body."""
    with gateway(folder / "gateway.sock") as behind:
        threading.Thread(target=behind.serve_forever, args=(0.05,), daemon=True).start()
        process, endpoint, ready = start(folder, *words)
        events: Queue[dict[str, Any]] = Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                events.put(json.loads(line))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield Lab(
            endpoint=endpoint,
            control=ControlClient(endpoint),
            gateway=behind,
            calls_file=folder / "calls",
            events=events,
            pid=process.pid,
            ready_seconds=ready["seconds"],
        )
        process.terminate()
        process.wait(60)
        reader.join(60)
        assert process.stdout is not None
        process.stdout.close()
        behind.shutdown()


def job_request(name: str) -> dict[str, Any]:
    """An ordinary CreateTrainingJob request."""
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": role_credentials.ARN,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/output"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 2,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "Environment": {"SM_PROXY_AUTHORIZED_KEY": "ssh-ed25519 AAAA you@laptop"},
        "RemoteDebugConfig": {"EnableRemoteDebug": True},
        "EnableNetworkIsolation": False,
        "Tags": [{"Key": "team", "Value": "lab"}],
    }


def vpc_config(lab: Lab) -> dict[str, list[str]]:
    """A VpcConfig with a subnet and a security group of the region's default VPC."""
    ec2 = lab.client("ec2")
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    there = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnet = ec2.describe_subnets(Filters=there)["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups(Filters=there)["SecurityGroups"][0]["GroupId"]
    return {"Subnets": [subnet], "SecurityGroupIds": [group]}


def refusal(call: Callable[..., Any], /, **request: Any) -> tuple[str, str, int]:
    """Make a call that is refused; return its error code, message and HTTP status."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    response: Any = caught.value.response
    error = response["Error"]
    return error["Code"], error["Message"], response["ResponseMetadata"]["HTTPStatusCode"]
