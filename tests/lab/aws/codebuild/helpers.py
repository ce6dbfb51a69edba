"""Projects and builds of the lab's CodeBuild."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from typing import Any

from tests.lab.aws.harness import Lab
from tests.lab.aws.iam import identities
from tests.waits import await_true

ALL = identities.allow("*")


def make_role(lab: Lab, *statements: dict[str, Any], service: str = "codebuild") -> str:
    """Make a role that a service may assume; return its ARN. Without statements it may all."""
    principal = {"Service": f"{service}.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return identities.make_role(lab, *(statements or (ALL,)), trust=trust)


def make_project(lab: Lab, role: str, **changes: Any) -> str:
    """Make a project; return its name."""
    name = f"project-{uuid.uuid4().hex[:8]}"
    environment = {
        "type": "LINUX_CONTAINER",
        "image": "aws/codebuild/standard:7.0",
        "computeType": "BUILD_GENERAL1_SMALL",
        "privilegedMode": True,
        "environmentVariables": [{"name": "FROM_PROJECT", "value": "yes"}],
    }
    settings = {
        "source": {"type": "NO_SOURCE", "buildspec": spec(build=["true"])},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": environment,
        "serviceRole": role,
    }
    lab.client("codebuild").create_project(name=name, **(settings | changes))
    return name


def spec(env: dict[str, Any] | None = None, **phases: Any) -> str:
    """A buildspec: a list of commands for each phase, or what a phase has."""
    full = {k: v if isinstance(v, dict) else {"commands": v} for k, v in phases.items()}
    return json.dumps({"version": "0.2", "env": env or {}, "phases": full})


def upload(lab: Lab, files: dict[str, str]) -> str:
    """Put a zip with files into a new bucket; return its location, `BUCKET/KEY`."""
    s3 = identities.client(lab, "s3", identities.ADMINISTRATOR)
    bucket = f"source-{uuid.uuid4().hex[:8]}"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if text.startswith("#!") else 0o100644) << 16
            archive.writestr(entry, text)
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="build/context.zip", Body=content.getvalue())
    return f"{bucket}/build/context.zip"


def start(lab: Lab, project: str, **request: Any) -> str:
    """Start a build; return its id."""
    return str(lab.client("codebuild").start_build(projectName=project, **request)["build"]["id"])


def describe(lab: Lab, build: str) -> dict[str, Any]:
    """What BatchGetBuilds says."""
    return dict(lab.client("codebuild").batch_get_builds(ids=[build])["builds"][0])


def ended(lab: Lab, build: str) -> dict[str, Any]:
    """Wait for the end of a build; return what BatchGetBuilds says."""
    # The first build with docker on a machine makes the lab's Debian root.
    await_true(lambda: describe(lab, build)["buildComplete"], 250, lambda: describe(lab, build))
    return describe(lab, build)


def run(lab: Lab, project: str, buildspec: str, **request: Any) -> dict[str, Any]:
    """Start a build and wait for its end."""
    return ended(lab, start(lab, project, buildspecOverride=buildspec, **request))


def phases(build: dict[str, Any]) -> dict[str, str]:
    """Phase -> status."""
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def reason(build: dict[str, Any], phase: str) -> str:
    """`CODE: message` of a phase's context."""
    found = next(each for each in build["phases"] if each["phaseType"] == phase)["contexts"][0]
    return f"{found['statusCode']}: {found['message']}"


def log_of(lab: Lab, build: dict[str, Any]) -> list[str]:
    """The lines of a build's log, without the times of CodeBuild's own."""
    where = {
        "logGroupName": build["logs"]["groupName"],
        "logStreamName": build["logs"]["streamName"],
    }
    events = lab.client("logs").get_log_events(**where, startFromHead=True)["events"]
    lines = [event["message"].removesuffix("\n") for event in events]
    return [
        f"[Container] {line.split(' ', 3)[3]}" if line.startswith("[Container]") else line
        for line in lines
    ]
