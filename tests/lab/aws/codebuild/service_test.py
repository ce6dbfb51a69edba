"""Builds: how they are started, stopped and described, and what they run."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.lab.aws.codebuild.helpers import (
    ALL,
    describe,
    ended,
    log_of,
    make_project,
    make_role,
    phases,
    reason,
    run,
    spec,
    start,
    upload,
)
from tests.lab.aws.harness import Lab, refusal
from tests.waits import await_true

_LOGS = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
_ALL_PHASES = (
    *("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD"),
    *("POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"),
)


def test_commands_share_a_shell_and_see_the_build(lab: Lab, project: str) -> None:
    location = upload(lab, {"dir/run.sh": "#!/bin/sh\necho ran in ${PWD##*/} with $1\n"})
    build = run(
        lab,
        project,
        spec(
            {"exported-variables": ["RESULT"], "variables": {"FROM_SPEC": "1", "BOTH": "spec"}},
            pre_build=["cd dir; export FOUND=yes"],
            build=["./run.sh $FOUND", 'echo "$FROM_SPEC $BOTH $FROM_PROJECT" >&2'],
            post_build=[
                "export RESULT=$(aws sts get-caller-identity --query Arn --output text)",
                'echo "$CODEBUILD_BUILD_ID $AWS_REGION $CODEBUILD_BUILD_SUCCEEDING"',
                "aws ecr get-login || echo status $?",
            ],
        ),
        sourceTypeOverride="S3",
        sourceLocationOverride=location,
        environmentVariablesOverride=[{"name": "BOTH", "value": "start"}],
    )
    log = log_of(lab, build)
    assert build["buildStatus"] == "SUCCEEDED", log
    assert phases(build) == dict.fromkeys(_ALL_PHASES, "SUCCEEDED") | {"COMPLETED": ""}
    assert "ran in dir with yes" in log
    assert "1 start yes" in log
    assert f"{build['id']} us-east-1 1" in log
    assert "status 252" in log
    (exported,) = build["exportedEnvironmentVariables"]
    session = f"AWSCodeBuild-{build['id'].partition(':')[2]}"
    assert exported["name"] == "RESULT"
    assert exported["value"].endswith(f"/{session}")
    command = log.index("[Container] Running command ./run.sh $FOUND")
    assert log[command - 2 : command + 2] == [
        "[Container] Phase context status code:  Message: ",
        "[Container] Entering phase BUILD",
        "[Container] Running command ./run.sh $FOUND",
        "ran in dir with yes",
    ]


def test_after_a_failed_build_post_build_runs(lab: Lab, project: str) -> None:
    build = run(
        lab,
        project,
        spec(
            build={"commands": ["(exit 3)", "echo never"], "finally": ["echo last"]},
            post_build=["echo succeeding: $CODEBUILD_BUILD_SUCCEEDING"],
        ),
    )
    log = log_of(lab, build)
    assert build["buildStatus"] == "FAILED"
    assert phases(build)["BUILD"] == "FAILED"
    assert phases(build)["POST_BUILD"] == "SUCCEEDED"
    message = "Error while executing command: (exit 3). Reason: exit status 3"
    assert reason(build, "BUILD") == f"COMMAND_EXECUTION_ERROR: {message}"
    context = f"Phase context status code: COMMAND_EXECUTION_ERROR Message: {message}"
    assert f"[Container] {context}" in log
    assert "last" in log
    assert "succeeding: 0" in log
    assert "never" not in log


@pytest.mark.parametrize(
    ("on_failure", "status", "later"),
    [(None, "FAILED", False), ("ABORT", "FAILED", False), ("CONTINUE", "SUCCEEDED", True)],
)
def test_a_failed_pre_build_ends_the_build(
    lab: Lab, project: str, on_failure: str | None, status: str, *, later: bool
) -> None:
    phase = {"commands": ["exit 4"], **({"on-failure": on_failure} if on_failure else {})}
    build = run(lab, project, spec(pre_build=phase, build=["echo on"]))
    assert build["buildStatus"] == status
    assert ("BUILD" in phases(build)) == later
    assert reason(build, "PRE_BUILD").endswith("Reason: exit status 4")


def test_without_permission_the_source_is_not_read(lab: Lab) -> None:
    location = upload(lab, {"a": "b"})
    project = make_project(lab, make_role(lab, _LOGS))
    source = {"sourceTypeOverride": "S3", "sourceLocationOverride": location}
    build = run(lab, project, spec(build=["true"]), **source)
    assert build["buildStatus"] == "FAILED"
    why = reason(build, "DOWNLOAD_SOURCE")
    assert why.startswith("CLIENT_ERROR: error while downloading key build/context.zip, error: Acc")
    assert "s3:GetObject" in why


def test_a_source_that_does_not_exist_is_named(lab: Lab, project: str) -> None:
    bucket = upload(lab, {"a": "b"}).partition("/")[0]
    source = {"sourceTypeOverride": "S3", "sourceLocationOverride": f"{bucket}/none.zip"}
    why = reason(run(lab, project, spec(build=["true"]), **source), "DOWNLOAD_SOURCE")
    assert "error while downloading key none.zip, error: NoSuchKey: " in why


def test_a_role_that_may_not_log_cannot_build(lab: Lab) -> None:
    other = {**ALL, "Action": "s3:*"}
    build = run(lab, make_project(lab, make_role(lab, other)), spec(build=["true"]))
    assert build["buildStatus"] == "FAILED"
    assert reason(build, "PROVISIONING").startswith("ACCESS_DENIED: Service role arn:aws:iam::")
    assert "groupName" not in build["logs"]


def test_a_buildspec_that_cannot_be_read_fails_the_build(lab: Lab, project: str) -> None:
    build = run(lab, project, "version: 0.2\nphases: {b: [")
    assert reason(build, "DOWNLOAD_SOURCE").startswith("YAML_FILE_ERROR: ")
    missing = ended(lab, start(lab, project, buildspecOverride="spec.yml"))
    assert reason(missing, "DOWNLOAD_SOURCE").endswith("spec.yml: no such file or directory")


def test_a_build_is_stopped_with_its_programs(lab: Lab, project: str) -> None:
    build = start(lab, project, buildspecOverride=spec(build=["sleep 600 & echo $!; wait"]))

    def printed() -> list[str]:
        found = describe(lab, build)
        lines = log_of(lab, found) if found["logs"].get("streamName") else []
        return [line for line in lines if line.isdigit()]

    await_true(lambda: bool(printed()), 60)
    program = Path("/proc", *printed())
    assert program.exists()
    lab.client("codebuild").stop_build(id=build)
    found = ended(lab, build)
    assert (found["buildStatus"], phases(found)["BUILD"]) == ("STOPPED", "STOPPED")
    await_true(lambda: not program.exists(), 60)
    assert lab.client("codebuild").stop_build(id=build)["build"]["buildStatus"] == "STOPPED"
    unknown = refusal(lab.client("codebuild").stop_build, id="no:such")
    assert unknown[0] == "ResourceNotFoundException"


def test_a_build_ends_when_its_time_is_over(lab: Lab, project: str) -> None:
    lab.control.faults(build_minute_ms=100)
    given = {"timeoutInMinutesOverride": 5}
    build = run(lab, project, spec(build=["sleep 600"]), **given)
    assert (build["buildStatus"], phases(build)["BUILD"]) == ("TIMED_OUT", "TIMED_OUT")


def test_builds_wait_for_a_place(lab: Lab, project: str) -> None:
    lab.control.faults(build_limit=0)
    waiting = start(lab, project)
    other = start(lab, project)
    assert describe(lab, waiting)["currentPhase"] == "QUEUED"
    lab.client("codebuild").stop_build(id=other)
    stopped = {"SUBMITTED": "SUCCEEDED", "QUEUED": "STOPPED", "COMPLETED": ""}
    assert phases(ended(lab, other)) == stopped
    lab.control.faults(build_limit=1)
    assert ended(lab, waiting)["buildStatus"] == "SUCCEEDED"


def test_one_token_starts_one_build(lab: Lab, project: str) -> None:
    token = uuid.uuid4().hex
    first, again = (start(lab, project, idempotencyToken=token) for _ in range(2))
    assert first == again
    other = start(lab, project)
    ids = lab.client("codebuild").list_builds_for_project(projectName=project)["ids"]
    assert ids[:2] == [other, first]
    found = lab.client("codebuild").batch_get_builds(ids=[first, "no:such"])
    assert found["buildsNotFound"] == ["no:such"]
    ended(lab, first)
    ended(lab, other)


def test_a_test_may_let_a_phase_fail(lab: Lab, project: str) -> None:
    lab.control.faults(build={"PROVISIONING": "CLIENT_ERROR: no image"})
    build = run(lab, project, spec(build=["true"]))
    assert reason(build, "PROVISIONING") == "CLIENT_ERROR: no image"
