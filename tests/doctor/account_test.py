from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.doctor import account
from sm_proxy.doctor.check import Check, Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.settings import Settings
from tests.doctor.helpers import GROUPS, job_of
from tests.fakes import FakeAws

DENIED = SmProxyError("access-denied", "it is denied", "Have it allowed.")
ABSENT = ServiceError("ResourceNotFoundException", "not found", "logs:GetLogEvents")
CHECKS: dict[str, Check] = dict((*account.LOGS, *account.OTHERS))


def context(host: str | None = "sm-my-job", **answers: Any) -> Context:
    return Context(Settings(), host, FakeAws(**answers))


def test_a_not_found_answer_shows_that_the_call_is_allowed() -> None:
    found = CHECKS["logs:GetLogEvents"](context(GetLogEvents=ABSENT))
    assert found == "allowed (ResourceNotFoundException)"


def test_a_denied_action_fails_unless_ssh_works_without_it() -> None:
    with pytest.raises(SmProxyError, match="denied"):
        CHECKS["logs:GetLogEvents"](context(GetLogEvents=DENIED))
    with pytest.raises(SkipCheck, match="not needed"):
        CHECKS["ssm:DescribeInstanceInformation"](context(DescribeInstanceInformation=DENIED))


@pytest.mark.parametrize(
    ("host", "operation"),
    [
        ("sm-my-job", "DescribeTrainingJob"),
        ("sm-my-job.processing", "DescribeProcessingJob"),
        ("sm-my-job.endpoint", "DescribeEndpoint"),
    ],
)
def test_the_first_call_of_the_search_is_tried(host: str, operation: str) -> None:
    ((name, check),) = account.describe_call_stage(hostname.parse(host, "sm-"))
    assert name == f"sagemaker:{operation}"
    with pytest.raises(SmProxyError):
        check(context(host, **{operation: DENIED}))


@pytest.mark.parametrize("name", ["ec2:DescribeSubnets", "ec2:DescribeInstances"])
def test_remote_debug_makes_calls_to_ec2_optional(name: str) -> None:
    examined = context(DescribeInstances=DENIED, DescribeSubnets=DENIED)
    with pytest.raises(SmProxyError):
        CHECKS[name](examined)
    examined.job = replace(job_of("processing"), kind="training", remote_debug=True)
    with pytest.raises(SkipCheck, match="not needed"):
        CHECKS[name](examined)
    examined.settings = Settings(route="bastion")
    with pytest.raises(SmProxyError):
        CHECKS[name](examined)


def test_a_named_bastion_makes_describe_instances_optional() -> None:
    examined = context(DescribeInstances=DENIED)
    with pytest.raises(SmProxyError):
        CHECKS["ec2:DescribeInstances"](examined)
    examined.settings = Settings(bastion="i-1")
    with pytest.raises(SkipCheck):
        CHECKS["ec2:DescribeInstances"](examined)


def skewed(seconds: float | None) -> Context:
    examined = context()
    examined.date_skew_s = seconds
    return examined


@pytest.mark.parametrize("seconds", [400.0, -400.0])
def test_a_wrong_clock_fails(seconds: float) -> None:
    with pytest.raises(SmProxyError, match="behind" if seconds > 0 else "ahead"):
        account.clock(skewed(seconds))


def test_a_right_clock_passes_and_an_unknown_one_is_skipped() -> None:
    assert account.clock(skewed(-20.0)) == "within 20 s of AWS's"
    with pytest.raises(SkipCheck):
        account.clock(skewed(None))


@pytest.mark.parametrize(("kind", "prefix"), [("processing", "x/algo-1-"), ("endpoint", "")])
def test_the_log_checks_use_the_group_and_streams_of_the_kind(kind: Kind, prefix: str) -> None:
    aws = FakeAws(DescribeLogStreams={}, GetLogEvents={})
    target = hostname.parse("sm-x", "sm-")
    context = Context(Settings(), "sm-x", aws, job=job_of(kind), target=target)
    for _, check in account.LOGS:
        assert check(context) == "allowed"
    (_, listed), (_, read) = aws.calls
    assert listed["logGroupName"] == read["logGroupName"] == GROUPS[kind]
    assert read["logStreamName"].startswith(f"{prefix}sm-proxy-doctor")
    assert listed["logStreamNamePrefix"] == read["logStreamName"]
