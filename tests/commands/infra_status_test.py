"""`infra status` shows the stack, and exits with 0 only if jobs can use it."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import template
from tests.commands.helpers import answer
from tests.fakes import Answers
from tests.infra.account import NAMED, Account
from tests.infra.fake_cloudformation import OUTPUTS
from tests.infra.plans import EXISTING, plan

Captured = pytest.CaptureFixture[str]
DENIED = SmProxyError("access-denied", "no")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Account:
    found = Account(monkeypatch)
    found.deployed()
    capsys.readouterr()
    return found


def test_a_stack_that_works_is_shown_with_all_that_belongs_to_it(
    account: Account, capsys: Captured
) -> None:
    account.run_job("bert")
    assert account.infra("status") == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "stack    sm-proxy in eu-west-1: CREATE_COMPLETE"
    assert "10.0.0.0/16 in eu-west-1a, eu-west-1b; NAT: one; endpoints: s3" in rows[1]
    assert rows[2] == "bastion  i-1: Online; replaced by 2026-12-29"
    assert rows[3] == "cost     about $0.055 an hour, $40 a month"
    assert rows[4] == "job      bert (training job, Training)"
    assert "output   JobGroup = sg-job" in rows


def test_the_plan_in_an_existing_vpc_names_its_endpoints(
    account: Account, capsys: Captured
) -> None:
    account.cloud.template = template.render(plan(endpoints=("ssm",), existing=EXISTING))
    account.infra("status")
    row = capsys.readouterr().out.splitlines()[1]
    assert "in vpc-0a1b2c3d (subnet-0a1b2c3d, subnet-1a2b3c4d); endpoints: ssm; bastion" in row


def test_the_json_has_everything_scripts_need(account: Account, capsys: Captured) -> None:
    account.run_job("bert")
    assert account.infra("status", "--json") == 0
    found = answer(capsys)
    data = found["data"]
    assert found["ok"]
    assert data["usable"]
    assert data["outputs"] == OUTPUTS
    assert data["jobs"] == [{"job": "bert", "kind": "training", "status": "Training"}]
    assert data["bastion"]["replaced_by"] == "2026-12-29T00:00:00+00:00"
    assert data["plan"]["nat"] == "one"
    assert data["drift"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"DescribeInstanceInformation": {"InstanceInformationList": []}}, "does not know it yet"),
        (
            {
                "DescribeAutoScalingGroups": {
                    "AutoScalingGroups": [{"DesiredCapacity": 0, "Instances": []}]
                }
            },
            "paused",
        ),
    ],
)
def test_a_stack_without_a_bastion_online_is_not_usable(
    account: Account, capsys: Captured, changes: dict[str, Answers], words: str
) -> None:
    account.answers.update(changes)
    assert account.infra("status") == 1
    assert words in capsys.readouterr().out


def test_a_bastion_whose_state_is_denied_counts_as_online(account: Account) -> None:
    account.answers["DescribeInstanceInformation"] = DENIED
    assert account.infra("status") == 0


def test_a_failed_stack_is_shown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    account = Account(monkeypatch)
    account.cloud.faults = {"NatGateway": "no addresses"}
    account.infra("deploy", *NAMED, "--yes")
    capsys.readouterr()
    assert account.infra("status") == 1
    shown = capsys.readouterr().out
    assert "ROLLBACK_COMPLETE" in shown
    assert "NatGateway (AWS::EC2::NatGateway) of the stack sm-proxy failed" in shown
    assert "no addresses" in shown
    assert "bastion  none" in shown
    assert "cost" not in shown  # nothing is left of it


def test_a_stack_that_cloudformation_works_on_is_not_usable_yet(
    account: Account, capsys: Captured
) -> None:
    account.cloud.delete(StackName="sm-proxy")
    assert account.infra("status", "--drift") == 1
    assert "`sm-proxy infra deploy` shows its events" in capsys.readouterr().out


def test_drift_is_shown_for_each_resource(account: Account, capsys: Captured) -> None:
    drifted: dict[str, Any] = {
        "LogicalResourceId": "JobGroup",
        "ResourceType": "AWS::EC2::SecurityGroup",
        "StackResourceDriftStatus": "MODIFIED",
        "PropertyDifferences": [
            {"PropertyPath": "/GroupName", "ExpectedValue": "a", "ActualValue": "b"}
        ],
    }
    account.answers["DetectStackDrift"] = {"StackDriftDetectionId": "d"}
    account.answers["DescribeStackDriftDetectionStatus"] = {"DetectionStatus": "DETECTION_COMPLETE"}
    account.answers["DescribeStackResourceDrifts"] = {"StackResourceDrifts": [drifted]}
    assert account.infra("status", "--drift") == 0
    rows = capsys.readouterr().out.splitlines()
    first = rows.index("drift    JobGroup (AWS::EC2::SecurityGroup) is MODIFIED")
    assert rows[first + 1].strip() == "/GroupName is b, not a"
    account.answers["DescribeStackResourceDrifts"] = {}
    account.infra("status", "--drift")
    assert "drift    none" in capsys.readouterr().out


def test_no_stack_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert Account(monkeypatch).infra("status", "--json") == 1
    assert answer(capsys)["error"]["code"] == "no-stack"
