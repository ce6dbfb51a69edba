from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sm_proxy.doctor import bastion, job, remote_debug
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.jobs.hostname import parse
from sm_proxy.settings import Settings
from tests import fakes
from tests.doctor.bastions import DENIED
from tests.doctor.helpers import failure, job_of

ROLE = "arn:aws:iam::111122223333:role/job"


def context(*, on: bool = True, **answers: Any) -> Context:
    given = {
        "DescribeTrainingJob": fakes.description(RoleArn=ROLE),
        "GetConnectionStatus": {"Status": "connected"},
        "SimulatePrincipalPolicy": {"EvaluationResults": []},
        **answers,
    }
    examined = Context(Settings(), "sm-x.2", fakes.working(**given))
    examined.target = parse("sm-x.2", "sm-")
    examined.job = replace(job_of("processing"), kind="training", remote_debug=on)
    return examined


def test_a_connected_agent_passes() -> None:
    examined = context()
    assert remote_debug.agent(examined) == "the agent in algo-2 is connected"
    asked = dict(examined.aws.calls)["GetConnectionStatus"]  # type: ignore[attr-defined]
    assert asked == {"Target": "sagemaker-training-job:x_algo-2"}
    assert remote_debug.role(examined) == f"{ROLE} lets the agent connect"


def test_an_agent_that_is_away_names_what_its_role_needs() -> None:
    error = failure(remote_debug.agent, context(GetConnectionStatus={"Status": "notconnected"}))
    assert error.code == "remote-debug-off"
    assert "ssmmessages:CreateControlChannel" in error.hint


def test_a_role_that_lacks_an_action_fails() -> None:
    action = "ssmmessages:OpenDataChannel"
    denied = [{"EvalActionName": action, "EvalDecision": "implicitDeny"}]
    error = failure(
        remote_debug.role, context(SimulatePrincipalPolicy={"EvaluationResults": denied})
    )
    assert error.code == "remote-debug-off"
    assert action in error.message


def test_a_denied_call_skips_the_check() -> None:
    examined = context(GetConnectionStatus=DENIED, SimulatePrincipalPolicy=DENIED)
    for check in (remote_debug.agent, remote_debug.role):
        with pytest.raises(SkipCheck):
            check(examined)


def test_a_job_whose_remote_debug_is_off_is_skipped() -> None:
    examined = context(on=False)
    for check in (remote_debug.agent, remote_debug.role):
        with pytest.raises(SkipCheck, match="RemoteDebug is off"):
            check(examined)


def test_a_job_outside_of_a_vpc_has_no_subnets_and_no_bastion_to_check() -> None:
    examined = context()
    for check in (job.vpc, bastion.running):
        with pytest.raises(SkipCheck, match="outside"):
            check(examined)


def test_unknown_subnets_do_not_matter_with_remote_debug() -> None:
    examined = context(DescribeSubnets=DENIED)
    assert examined.job
    examined.job = replace(examined.job, subnets=("subnet-1",))
    with pytest.raises(SkipCheck, match="unknown"):
        job.vpc(examined)
    examined.job = replace(examined.job, remote_debug=False)
    assert failure(job.vpc, examined) is DENIED


def test_a_job_without_any_way_in_fails() -> None:
    examined = context()
    examined.job = job_of("processing")
    assert failure(job.vpc, examined).code == "no-vpc"
