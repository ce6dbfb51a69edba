"""A failed build tells the phase, the reason, and what to do."""

from __future__ import annotations

import pytest

from sm_proxy.image import failure
from tests.image.account import PROJECT, ROLE, build

COMMAND = "Error while executing command: docker build context. Reason: exit status 1"
PUSH = (
    "denied: User: arn:aws:sts::111122223333:assumed-role/build/AWSCodeBuild-1 is not authorized"
    " to perform: ecr:InitiateLayerUpload on resource:"
    " arn:aws:ecr:eu-west-1:111122223333:repository/byoc because no identity-based policy allows"
    " the ecr:InitiateLayerUpload action"
)
ASSUME = (
    "CodeBuild is not authorized to perform: sts:AssumeRole on arn:aws:iam::111122223333:role/build"
)


def explained(
    phase: str, reason: str, *lines: str, status: str = "FAILED", code: str = "X"
) -> tuple[str, str]:
    phases = [
        {"phaseType": "SUBMITTED", "phaseStatus": "SUCCEEDED"},
        {
            "phaseType": phase,
            "phaseStatus": status,
            "contexts": [{"statusCode": code, "message": reason}],
        },
        {"phaseType": "POST_BUILD", "phaseStatus": "SUCCEEDED"},
    ]
    found = build(status, phases=phases)["builds"][0]
    error = failure.explain(found, lines, PROJECT)
    assert error.code == "build-failed"
    return error.message, error.hint


def test_phase_command_and_last_errors_are_named() -> None:
    message, hint = explained(
        "BUILD",
        COMMAND,
        "#5 [2/2] RUN false",
        '#5 ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1',
        "[Container] 2026/11/29 Command did not exit successfully docker build exit status 1 error",
        "------",
        'ERROR: failed to solve: process "/bin/sh -c false" did not complete',
        'ERROR: failed to solve: process "/bin/sh -c false" did not complete',
    )
    assert "in the phase BUILD: X: Error while executing command: docker build" in message
    assert "exit status 1 [#5 ERROR: process" in message
    assert message.count("failed to solve") == 1
    assert "[Container]" not in message
    assert hint == "The log above has more."


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("ERROR: toomanyrequests: You have reached your unauthenticated pull rate", "public.ecr"),
        ("ERROR: write /x: no space left on device", "--compute"),
        ("denied: The image tag '1' already exists and cannot be overwritten", "another tag"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///var/run", "PrivilegedMode"),
        ('ERROR: process "/bin/sh -c make" did not complete: exit code: 137', "memory"),
        ("ERROR: unexpected status from HEAD request: 403 Forbidden", f"{ROLE} needs ecr:Batch"),
        ("ERROR: pull access denied, repository does not exist", "Is the name"),
        ('ERROR: failed to compute cache key: "/x": not found', "--dry-run lists"),
    ],
)
def test_known_causes_have_a_remedy(line: str, remedy: str) -> None:
    assert remedy in explained("BUILD", COMMAND, line)[1]


def test_a_refused_push_names_action_role_and_tag() -> None:
    hint = explained("POST_BUILD", COMMAND, PUSH)[1]
    assert "aws ecr tag-resource --region eu-west-1 --resource-arn arn:aws:ecr:eu-west-1:1" in hint
    assert "Allow ecr:InitiateLayerUpload on arn:aws:ecr:" in hint
    assert ROLE in hint
    assert "infra policy build" in hint


def test_another_refused_call_names_action_and_role() -> None:
    line = PUSH.replace("InitiateLayerUpload", "BatchGetImage")
    hint = explained("BUILD", COMMAND, line)[1]
    assert "Allow ecr:BatchGetImage on arn:aws:ecr:" in hint
    assert "tag-resource" not in hint


def test_a_role_that_cannot_be_assumed_is_named() -> None:
    message, hint = explained("PROVISIONING", ASSUME, code="CLIENT_ERROR")
    assert "in the phase PROVISIONING: CLIENT_ERROR: CodeBuild is not authorized" in message
    assert f"The trust policy of the role {ROLE}" in hint


def test_a_source_that_may_not_be_read_is_named() -> None:
    reason = "AccessDenied: Access Denied status code: 403, request id: X for primary source"
    hint = explained("DOWNLOAD_SOURCE", reason, code="CLIENT_ERROR")[1]
    assert (
        f"Allow s3:GetObject on s3://the-bucket/build/* in the policies of the build's role {ROLE}"
        in hint
    )


@pytest.mark.parametrize(
    ("status", "words", "remedy"),
    [
        ("TIMED_OUT", "took too long", "--timeout"),
        ("STOPPED", "was stopped", "Somebody"),
        ("FAULT", "a fault of CodeBuild", "Try again"),
    ],
)
def test_other_endings_have_their_words(status: str, words: str, remedy: str) -> None:
    message, hint = explained("BUILD", "", status=status, code="")
    assert words in message
    assert remedy in hint


def test_hostile_words_are_cleaned_and_cut() -> None:
    message, _ = explained("BUILD", "\x1b[31m" + "x" * 9000, "ERROR \x1b]0;" + "y" * 9000)
    assert "\x1b" not in message
    assert len(message) < 1500


def test_a_repeated_error_is_reported_once() -> None:
    why = 'process "/bin/sh -c exit 3" did not complete successfully: exit code: 3'
    message, _ = explained("BUILD", "", f"#3 ERROR: {why}", f"ERROR: failed to solve: {why}")
    assert message.count(why) == 1
