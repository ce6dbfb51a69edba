from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import pytest

from sm_proxy.aws.models import CachedLoader
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import deploy, template
from sm_proxy.infra.deploy import Step
from sm_proxy.infra.plan import Plan
from sm_proxy.infra.stack import Stack
from tests.fakes import FakeAws
from tests.infra.fake_cloudformation import FakeCloudFormation, refused

PLAN = Plan("eu-west-1", ("eu-west-1a", "eu-west-1b"), "one", {"s3": "com.amazonaws.eu-west-1.s3"})


def test_every_status_of_cloudformation_has_a_step_or_a_way_out() -> None:
    loader = CachedLoader()
    version = loader.determine_latest_version("cloudformation", "service-2")
    model = loader.load_service_model("cloudformation", "service-2", version)
    known = set(model["shapes"]["StackStatus"]["enum"])
    assert known == {*deploy._STEPS, *deploy._DEAD_ENDS}
    assert set(deploy._STEPS.values()) == set(get_args(Step))
    assert deploy.step_of(None) == "create"


@pytest.mark.parametrize("status", deploy._DEAD_ENDS)
def test_a_dead_end_has_a_way_out(status: str) -> None:
    with pytest.raises(SmProxyError, match=f"sm-proxy is {status}") as caught:
        deploy.step_of(Stack("sm-proxy", "arn", status))
    assert caught.value.code == "stack-failed"
    assert caught.value.hint
    assert "{" not in caught.value.hint


@pytest.mark.parametrize(
    ("status", "step"),
    [
        ("CREATE_IN_PROGRESS", "attach"),
        ("ROLLBACK_IN_PROGRESS", "attach"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "attach"),
        ("CREATE_COMPLETE", "compare"),
        ("UPDATE_ROLLBACK_COMPLETE", "compare"),
        ("ROLLBACK_COMPLETE", "replace"),
        ("ROLLBACK_FAILED", "replace"),
    ],
)
def test_the_step_of_a_status(status: str, step: str) -> None:
    assert deploy.step_of(Stack("sm-proxy", "arn", status)) == step


def test_a_status_that_we_do_not_know_is_an_error() -> None:
    with pytest.raises(SmProxyError, match="SOMETHING_NEW: why"):
        deploy.step_of(Stack("sm-proxy", "arn", "SOMETHING_NEW", reason="why"))


def test_the_plan_is_read_back_from_the_template() -> None:
    deployed = json.loads(template.as_json(template.render(PLAN)))
    assert deploy.recorded(deployed, "eu-west-1", "sm-proxy") == PLAN


@pytest.mark.parametrize("metadata", [{}, None])
def test_a_template_without_metadata_has_no_plan(metadata: object) -> None:
    assert deploy.recorded({"Metadata": metadata}, "eu-west-1", "sm-proxy") is None


@pytest.mark.parametrize("plan", [3, {}, {"zones": 3}, {"existing": {"a": 1}}])
def test_a_plan_that_cannot_be_is_refused_or_not_shown(plan: object) -> None:
    deployed = {"Metadata": {"sm-proxy": plan}}
    with pytest.raises(SmProxyError, match="cannot read the plan"):
        deploy.recorded(deployed, "eu-west-1", "sm-proxy")
    assert deploy.recorded_if_clear(deployed, "eu-west-1", "sm-proxy") is None


def test_the_summary_counts_what_a_user_may_want_to_know() -> None:
    summary = deploy.request(PLAN).summary
    assert summary.startswith("1 VPC, 4 subnets, 1 internet gateway, 1 NAT gateway, 1 Elastic IP")
    assert "2 IAM policies" in summary


def test_more_addresses_than_the_default_quota_are_reported() -> None:
    zones = tuple(f"eu-west-1{letter}" for letter in "abcdef")
    six = replace(PLAN, zones=zones, nat="per-zone")
    assert "quota of 5 Elastic IP addresses" in deploy.request(six).over_quota
    assert not deploy.request(replace(six, zones=zones[:5])).over_quota


def test_only_parameters_of_the_template_are_sent() -> None:
    wanted = deploy.request(PLAN, paused=True)
    assert set(wanted.parameters) == set(wanted.template["Parameters"])
    assert wanted.parameters["BastionCount"] == "0"


def test_a_stack_that_another_run_has_begun_is_busy() -> None:
    taken = refused("it exists", "CreateStack", "AlreadyExistsException")
    with pytest.raises(SmProxyError) as caught:
        deploy.create(FakeAws(CreateStack=taken), deploy.request(PLAN))
    assert caught.value.code == "busy"


def test_an_update_that_changes_nothing_is_no_error() -> None:
    cloud = FakeCloudFormation()
    deploy.create(cloud.aws(), deploy.request(PLAN))
    cloud.run()
    assert not deploy.update(cloud.aws(), deploy.request(PLAN))
    assert deploy.update(cloud.aws(), deploy.request(PLAN, paused=True))
    with pytest.raises(SmProxyError, match="no such"):
        deploy.update(FakeAws(UpdateStack=refused("no such", "UpdateStack")), deploy.request(PLAN))
