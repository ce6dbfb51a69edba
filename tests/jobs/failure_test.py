from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import failure, kinds
from sm_proxy.jobs.kinds import training
from tests.fakes import (
    JOB,
    NODE_STREAM,
    Answers,
    FakeAws,
    description,
    events,
    marker_line,
    streams,
)
from tests.jobs.job_test import a_job

ARN = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/my-job"
CONSOLE = "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/jobs/my-job"


def explained(
    *lines: str, status: str = "Failed", overall: str = "Failed", **changes: Any
) -> tuple[SmProxyError, list[str], FakeAws]:
    answers: dict[str, Answers] = {
        "DescribeLogStreams": streams(NODE_STREAM),
        "GetLogEvents": events(*lines),
        **{name: changes.pop(name) for name in tuple(changes) if name in _LOGS},
    }
    answer = description(status, overall, **{"TrainingJobArn": ARN, **changes})
    job = training.describe(FakeAws(DescribeTrainingJob=answer), JOB)
    assert job is not None
    aws, messages = FakeAws(**answers), list[str]()
    error = failure.explain(aws, job, "sm-", messages.append)
    assert error.line.isprintable()
    return error, messages, aws


_LOGS = {"DescribeLogStreams", "GetLogEvents"}


def test_the_error_shows_the_end_of_the_log_the_cause_and_the_console() -> None:
    error, messages, aws = explained(
        "epoch 1", "CUDA out of memory", FailureReason="AlgorithmError: , exit code: 1"
    )
    assert messages == [
        "the end of the log of my-job:",
        "| epoch 1",
        "| CUDA out of memory",
        "likely cause: the GPU ran out of memory",
    ]
    assert error.code == "job-failed"
    assert "AlgorithmError: , exit code: 1" in error.message
    assert error.hint == (
        "Use a smaller batch, or an instance with more GPU memory. "
        f"Run it again and get in: `sm-proxy relaunch sm-my-job`. See {CONSOLE}"
    )
    assert aws.calls[1] == (
        "GetLogEvents",
        {
            "logGroupName": "/aws/sagemaker/TrainingJobs",
            "logStreamName": NODE_STREAM,
            "startFromHead": False,
            "limit": 100,
        },
    )
    assert len(aws.calls) == 2


def test_the_services_reason_wins_over_the_log() -> None:
    error, *_ = explained("CUDA out of memory", FailureReason="CapacityError: none")
    assert "Availability Zone" in error.hint


@pytest.mark.parametrize("status", ["MaxRuntimeExceeded", "MaxWaitTimeExceeded"])
def test_a_status_alone_can_show_the_cause(status: str) -> None:
    error, messages, _ = explained(status=status, overall="Stopped")
    assert error.code == "job-ended"
    assert "InSeconds" in error.hint
    assert messages[0].startswith("likely cause: ")


def test_a_completed_job_has_no_likely_cause() -> None:
    lines = (marker_line(), "MemoryError: tried again")
    error, messages, _ = explained(*lines, status="Completed", overall="Completed")
    assert "| MemoryError: tried again" in messages
    assert not any(line.startswith("likely cause") for line in messages)
    assert "SM_PROXY_KEEP_SUCCESS" in error.hint


@pytest.mark.parametrize(
    ("status", "overall", "lines", "kept"),
    [
        ("Completed", "Completed", [marker_line()], True),
        ("Uploading", "InProgress", ["hello", "x" + marker_line()], True),
        ("Completed", "Completed", ["hello"], False),
        ("Completed", "Completed", [], False),
        ("Stopped", "Stopped", [marker_line()], False),
        ("Stopping", "Stopping", [marker_line()], False),
        ("MaxRuntimeExceeded", "Stopped", [marker_line()], False),
        ("Failed", "Failed", [marker_line()], False),
    ],
)
def test_keeping_the_container_is_advised_only_where_it_is_possible(
    status: str, overall: str, lines: list[str], *, kept: bool
) -> None:
    error, *_ = explained(*lines, status=status, overall=overall)
    assert ("SM_PROXY_KEEP_" in error.line) is kept
    assert error.hint


@pytest.mark.parametrize("kind", ["transform", "endpoint"])
def test_a_container_that_the_service_ends_cannot_be_kept(kind: Any) -> None:
    for status in ("Completed", "Uploading", "Stopped", "OutOfService", "Deleting"):
        assert not kinds.could_have_been_kept(a_job(phase="ended", kind=kind, status=status))
    job = a_job(phase="ended", kind="processing", status="Completed")
    assert kinds.could_have_been_kept(job)


def test_a_hostile_log_is_shown_as_short_printable_lines() -> None:
    _, messages, _ = explained("\x1b]0;owned\x07", "x" * 100_000, "a\nb\r\x1b[2J")
    shown = [line for line in messages if line.startswith("| ")]
    assert len(shown) == 3
    assert all(line.isprintable() and len(line) <= 302 for line in messages)


def test_logins_do_not_hide_what_the_program_wrote() -> None:
    login = "sm-proxy: sshd: Accepted publickey for root from 10.0.136.81 port 32870 ssh2"
    _, messages, _ = explained("too old", *map(str, range(10)), *[login] * 30)
    assert messages == ["the end of the log of my-job:", *(f"| {n}" for n in range(10))]


def test_our_own_marker_is_not_shown() -> None:
    _, messages, _ = explained(marker_line(), "epoch 1")
    assert messages == ["the end of the log of my-job:", "| epoch 1"]


def test_only_the_last_ten_lines_are_shown() -> None:
    _, messages, _ = explained(*map(str, range(50)))
    assert [line for line in messages if line.startswith("| ")] == [f"| {n}" for n in range(40, 50)]


@pytest.mark.parametrize(
    "failing",
    [
        {"DescribeLogStreams": SmProxyError("access-denied", "no", "ask")},
        {"DescribeLogStreams": ServiceError("ResourceNotFoundException", "no group", "x")},
        {"DescribeLogStreams": streams()},
        {"GetLogEvents": ServiceError("ResourceNotFoundException", "no stream", "x")},
        {"GetLogEvents": SmProxyError("network", "down", "check")},
        {"GetLogEvents": {}},
    ],
)
def test_without_a_readable_log_the_error_is_complete(failing: dict[str, Any]) -> None:
    error, messages, _ = explained(FailureReason="AlgorithmError: x", **failing)
    assert messages == []
    assert error.hint.endswith(f"See {CONSOLE}")
    assert "AlgorithmError: x" in error.message
    assert "/aws/sagemaker/TrainingJobs" in error.hint


def test_a_limited_number_of_empty_pages_is_followed_backwards() -> None:
    def page(token: str, *lines: str) -> dict[str, Any]:
        return {**events(*lines), "nextBackwardToken": token}

    _, messages, aws = explained(GetLogEvents=[page("b/1"), page("b/2", "last")])
    assert messages[1] == "| last"
    assert [asked.get("nextToken") for _, asked in aws.calls[1:]] == [None, "b/1"]
    _, messages, aws = explained(GetLogEvents=[page(f"b/{number}") for number in range(9)])
    assert len(aws.calls) == 1 + 3
    _, messages, aws = explained(GetLogEvents=page("b/1"))
    assert len(aws.calls) == 1 + 2


def test_without_an_arn_there_is_no_link() -> None:
    error, *_ = explained("x", TrainingJobArn="")
    assert "See" not in error.hint


@pytest.mark.parametrize(
    ("reason", "lines", "again"),
    [
        ("AlgorithmError: ValueError: x, exit code: 1", ["x"], True),
        ("AlgorithmError: , exit code: 127", ["python: not found"], True),
        ("AlgorithmError: , exit code: 1", ["exec format error"], False),
        ("CapacityError: Unable to provision requested ML compute capacity", [], False),
        ("ClientError: Cannot pull the image: repository not found", [], False),
        ("ClientError: Data download failed: NoSuchKey", [], False),
        ("ResourceLimitExceeded: The account-level service limit", [], False),
        ("InternalServerError: We encountered an internal error", [], True),
        ("ClientError: something new", [], True),
        ("", ["x"], True),
    ],
)
def test_a_relaunch_is_advised_where_it_would_get_further(
    reason: str, lines: list[str], *, again: bool
) -> None:
    error, *_ = explained(*lines, FailureReason=reason)
    assert ("`sm-proxy relaunch sm-my-job`" in error.hint) is again
    error, *_ = explained(*lines, status="Stopped", overall="Stopped", FailureReason=reason)
    assert "relaunch" not in error.hint


@pytest.mark.parametrize(
    ("kind", "host"),
    [("training", "sm-x"), ("processing", "sm-x.processing"), ("transform", ""), ("endpoint", "")],
)
def test_the_relaunch_names_the_kind_where_it_is_needed(kind: Any, host: str) -> None:
    job = a_job(name="x", phase="failed", kind=kind, failure_reason="AlgorithmError: y")
    aws = FakeAws(DescribeLogStreams=streams(), GetLogEvents={})
    hint = failure.explain(aws, job, "sm-", lambda _: None).hint
    assert (f"`sm-proxy relaunch {host}`" in hint) is bool(host)
    assert ("relaunch" in hint) is bool(host)
