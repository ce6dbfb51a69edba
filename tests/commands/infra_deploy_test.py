"""`infra deploy` makes the stack, shows it, and goes on where it was."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.infra import watch
from sm_proxy.settings import sources
from tests.commands.helpers import answer
from tests.infra.account import INSTANCE, NAMED, Account
from tests.infra.fake_cloudformation import OUTPUTS
from tests.waits import await_true

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


def called(account: Account, name: str) -> list[dict[str, Any]]:
    return [given for operation, given in account.aws.calls if operation == name]


def last_line(capsys: Captured) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_an_empty_account_gets_the_stack_and_launch_its_network(
    account: Account, capsys: Captured
) -> None:
    assert account.infra("deploy", *NAMED, reply="yes") == 0
    assert account.asked == ["Make it?"]
    (made,) = called(account, "CreateStack")
    assert made["Capabilities"] == ["CAPABILITY_IAM"]
    assert made["Tags"] == [{"Key": "sm-proxy:stack", "Value": "sm-proxy"}]
    shown = capsys.readouterr()
    said = shown.err.splitlines()
    assert "what it makes in account 111122223333, eu-west-1: 1 VPC, 4 subnets" in shown.err
    assert "what it costs: about $0.055 an hour, $40 a month" in shown.err
    assert [line for line in said if "NatGateway CREATE_COMPLETE" in line]
    assert re.fullmatch(r"the role for your jobs: arn:aws:iam::\S+\w", shown.out.splitlines()[-4])
    assert shown.out.splitlines()[-3:] == [
        "next, once on each laptop: sm-proxy setup",
        "to build an image with ssh: sm-proxy image build DIR --repository NAME:TAG",
        "to start jobs with ssh: sm-proxy launch -- python YOUR_SCRIPT.py",
    ]
    written = sources.config_file().read_text()
    assert 'subnets = ["subnet-1", "subnet-2"]' in written
    assert 'security_groups = ["sg-job"]' in written
    assert "i-1" not in written  # the bastion is found by its tag: each month it is another


def test_the_next_step_names_another_stack(account: Account, capsys: Captured) -> None:
    assert account.infra("deploy", *NAMED, "--yes", "--stack", "other") == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[-2]
        .endswith("sm-proxy image build --stack other DIR --repository NAME:TAG")
    )


def test_the_json_is_one_object_with_what_was_made(account: Account, capsys: Captured) -> None:
    assert account.infra("deploy", *NAMED, "--yes", "--json") == 0
    data = answer(capsys)["data"]
    assert (data["stack"], data["status"], data["changed"]) == ("sm-proxy", "CREATE_COMPLETE", True)
    assert data["outputs"] == OUTPUTS
    assert data["bastion"]["instance"] == "i-1"
    assert data["bastion"]["online"] is True
    assert data["plan"]["zones"] == ["eu-west-1a", "eu-west-1b"]
    assert data["cost"]["usd_per_hour"] == pytest.approx(0.0551)
    assert Path(data["config"]) == sources.config_file()


def test_nothing_is_made_without_a_yes(account: Account, capsys: Captured) -> None:
    assert account.infra("deploy", *NAMED, reply="no") == 1
    assert capsys.readouterr().out == "nothing was made\n"
    assert account.infra("deploy", *NAMED, "--stack", "other") == 2
    assert "add --yes" in last_line(capsys)
    assert called(account, "CreateStack") == []


def test_a_second_deploy_keeps_the_plan_and_has_nothing_to_do(
    account: Account, capsys: Captured
) -> None:
    account.deployed(*NAMED, "--cidr", "10.7.0.0/16", "--nat", "per-zone", "--bastion-days", "9")
    capsys.readouterr()
    assert account.infra("deploy", "--json") == 0  # not asked
    shown = capsys.readouterr()
    assert "nothing to do" in shown.err
    data = json.loads(shown.out)["data"]
    assert not data["changed"]
    assert (data["plan"]["prefix"], data["plan"]["nat"]) == ("10.7", "per-zone")
    assert called(account, "UpdateStack") == []


def test_defaults_do_not_replace_a_plan_that_cannot_be_read(
    account: Account, capsys: Captured
) -> None:
    account.deployed(*NAMED, "--cidr", "10.7.0.0/16")
    account.cloud.template["Metadata"]["sm-proxy"]["zones"] = ["eu-west-1a"]
    assert account.infra("deploy", "--yes") == 2
    assert "1 availability zones cannot be used" in last_line(capsys)
    assert called(account, "UpdateStack") == []
    assert account.infra("status", "--json") == 0
    assert answer(capsys)["data"]["plan"] is None


def test_another_plan_updates_the_stack_and_says_what_changes(
    account: Account, capsys: Captured
) -> None:
    account.deployed()
    assert account.infra("deploy", "--bastion-days", "9", reply="no") == 1
    assert account.asked == ["Change it?"]
    assert called(account, "UpdateStack") == []
    assert account.infra("deploy", "--bastion-days", "9", reply="yes") == 0
    shown = capsys.readouterr().err
    assert "change Bastion (AWS::AutoScaling::AutoScalingGroup: MaxInstanceLifetime)" in shown
    assert "UPDATE_COMPLETE" in shown
    assert account.infra("deploy", "--nat", "none", reply="no") == 1
    shown = capsys.readouterr().err
    assert "remove PublicSubnet1 (AWS::EC2::Subnet)" in shown
    assert "AWS removes no subnet" in shown


def test_another_type_of_bastion_is_for_the_next_one(account: Account, capsys: Captured) -> None:
    account.deployed()
    assert account.infra("deploy", "--bastion-type", "t4g.micro", "--yes") == 0
    shown = capsys.readouterr().err
    assert "change BastionTemplate (AWS::EC2::LaunchTemplate: LaunchTemplateData)" in shown
    assert "`sm-proxy infra pause`, then `sm-proxy infra resume`" in shown


def test_an_update_that_fails_is_an_error_with_its_reason(
    account: Account, capsys: Captured
) -> None:
    account.deployed()
    account.cloud.faults = {"update": "no such thing"}
    assert account.infra("deploy", "--bastion-days", "9", "--yes") == 1
    assert "stack-failed: Bastion" in (line := last_line(capsys))
    assert "no such thing" in line


def test_a_paused_stack_stays_paused(account: Account, capsys: Captured) -> None:
    account.deployed()
    account.cloud.parameters["BastionCount"] = "0"
    assert account.infra("deploy", "--bastion-days", "9", "--yes") == 0
    assert account.cloud.parameters["BastionCount"] == "0"
    assert "the bastion is paused: `sm-proxy infra resume`" in capsys.readouterr().err


def test_a_failed_creation_is_explained_then_made_again(account: Account, capsys: Captured) -> None:
    account.cloud.faults = {"NatGateway": "The maximum number of addresses has been reached."}
    assert account.infra("deploy", *NAMED, "--yes") == 1
    line = last_line(capsys)
    assert line.startswith("sm-proxy: stack-failed: NatGateway (AWS::EC2::NatGateway)")
    assert "maximum number of addresses" in line
    assert "quota" in line
    assert account.cloud.status == "ROLLBACK_COMPLETE"
    account.cloud.faults = {}
    assert account.infra("deploy", *NAMED, reply="yes") == 0
    assert account.asked == ["Delete what is left of sm-proxy, and make it again?"]
    assert account.cloud.status == "CREATE_COMPLETE"
    assert "the last attempt failed: NatGateway" in capsys.readouterr().err


def test_deploy_goes_on_with_an_operation_that_runs(account: Account, capsys: Captured) -> None:
    account.cloud.held = True
    assert account.infra("deploy", *NAMED, "--yes", "--timeout", "90") == 1
    line = last_line(capsys)
    assert "wait-timeout: after 90s, the stack sm-proxy is still CREATE_IN_PROGRESS" in line
    assert "`sm-proxy infra deploy`" in line
    account.cloud.held = False
    assert account.infra("deploy") == 0  # not asked: it has begun
    shown = capsys.readouterr().err
    assert "its events follow" in shown
    assert len(called(account, "CreateStack")) == 0
    assert account.cloud.status == "CREATE_COMPLETE"


def test_a_running_deletion_is_waited_for_before_a_new_one(
    account: Account, capsys: Captured
) -> None:
    account.deployed()
    account.cloud.delete(StackName="sm-proxy")
    assert account.infra("deploy", *NAMED, "--yes") == 0
    assert account.cloud.status == "CREATE_COMPLETE"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("DELETE_FAILED", "`sm-proxy infra delete`"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name sm-proxy"),
        ("REVIEW_IN_PROGRESS", "change set"),
        ("IMPORT_ROLLBACK_FAILED", "console"),
    ],
)
def test_a_stack_in_a_dead_end_is_refused_with_the_way_out(
    account: Account, capsys: Captured, status: str, words: str
) -> None:
    account.deployed()
    account.cloud.status = status
    assert account.infra("deploy", "--yes") == 1
    line = last_line(capsys)
    assert f"stack-failed: the stack sm-proxy is {status}" in line
    assert words in line


def test_a_stack_that_is_not_ours_is_left_alone(account: Account, capsys: Captured) -> None:
    account.deployed()
    account.cloud.tags = []
    account.cloud.template = {**account.cloud.template, "Metadata": {}}
    assert account.infra("deploy", "--yes") == 1
    assert "in-use" in last_line(capsys)


def test_a_bastion_that_stays_offline_is_an_error_and_the_rest_can_go_on(
    account: Account, capsys: Captured
) -> None:
    online = account.answers["DescribeInstanceInformation"]
    account.answers["DescribeInstanceInformation"] = {"InstanceInformationList": []}
    assert account.infra("deploy", *NAMED, "--yes") == 1
    assert "bastion-offline" in last_line(capsys)
    account.answers["DescribeInstanceInformation"] = online
    assert account.infra("deploy") == 0


@pytest.mark.parametrize(("vpc", "warned"), [("vpc-9", True), ("vpc-1", False)])
def test_another_bastion_in_the_settings_is_named(
    account: Account, capsys: Captured, vpc: str, *, warned: bool
) -> None:
    elsewhere = {**INSTANCE, "InstanceId": "i-9", "VpcId": vpc}
    account.answers["DescribeInstances"] = {"Reservations": [{"Instances": [elsewhere]}]}
    assert account.infra("deploy", *NAMED, "--yes", "--bastion", "i-0123456789abcdef0") == 0
    assert ("is not in vpc-1" in capsys.readouterr().err) is warned


def test_a_price_of_the_user_counts(account: Account, capsys: Captured) -> None:
    assert account.infra("deploy", *NAMED, "--price", "nat=1", reply="no") == 1
    assert "what it costs: about $1.0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        account.infra("deploy", "--price", "moon=1")


def test_a_config_that_cannot_be_written_is_an_error_after_the_stack(
    account: Account, capsys: Captured
) -> None:
    path = sources.config_file()
    path.parent.mkdir(parents=True, exist_ok=True)

    def break_it(*_: str) -> None:
        path.write_text("= broken")

    account.cloud.on_event = break_it  # the command has read its settings by then
    assert account.infra("deploy", *NAMED, "--yes", "--json") == 1
    shown = answer(capsys)
    assert shown["error"]["code"] == "config-malformed"
    assert shown["data"]["outputs"] == OUTPUTS


_INTERRUPTED = """
import sys
import pytest
from tests.infra.account import NAMED, Account
from sm_proxy.infra import watch
import time
account = Account(pytest.MonkeyPatch())
watch.time = time
watch._POLL_S = (0.01, 0.01)
account.cloud.held = True
print("status", account.infra("deploy", *NAMED, "--yes"), file=sys.stderr, flush=True)
account.cloud.held = False
print("status", account.infra("deploy"), file=sys.stderr, flush=True)
"""


def test_interrupted_by_ctrl_c_it_says_what_goes_on_and_a_second_run_ends_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "stderr"
    with log.open("w") as stderr:
        program = subprocess.Popen(
            [sys.executable, "-c", _INTERRUPTED],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            await_true(
                lambda: "sm-proxy CREATE_IN_PROGRESS" in log.read_text(), 60, log.read_text, program
            )
            program.send_signal(signal.SIGINT)
            assert program.wait(60) == 0, log.read_text()
        finally:
            program.kill()
            program.wait()
    first, second = log.read_text().split("status 130\n")
    assert "CloudFormation continues with the stack sm-proxy" in first
    assert "sm-proxy infra deploy" in first.splitlines()[-1]
    assert "its events follow" in second
    assert second.endswith("status 0\n")


def test_a_lost_watch_reports_that_cloudformation_continues(
    account: Account, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expire(*_: object) -> None:
        raise SmProxyError("expired-credentials", "they have expired")

    monkeypatch.setattr(watch.Watch, "until_settled", expire)
    assert account.infra("deploy", *NAMED, "--yes") == 1
    told, last = capsys.readouterr().err.splitlines()[-2:]
    assert "CloudFormation continues with the stack sm-proxy" in told
    assert "expired-credentials" in last
