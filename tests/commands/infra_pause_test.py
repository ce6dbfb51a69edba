"""`infra pause` and `infra resume`: the bastion goes and comes back, the stack stays."""

from __future__ import annotations

import pytest

from tests.commands.helpers import answer
from tests.infra.account import Account

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Account:
    found = Account(monkeypatch)
    found.deployed()
    capsys.readouterr()
    return found


def test_pause_ends_the_bastion_once_and_says_what_still_costs(
    account: Account, capsys: Captured
) -> None:
    assert account.infra("pause") == 0
    assert account.cloud.parameters["BastionCount"] == "0"
    shown = capsys.readouterr()
    assert "UPDATE_COMPLETE" in shown.err
    assert "the bastion of sm-proxy is paused; `sm-proxy infra resume` starts one" in shown.out
    assert "The rest still costs about $0.05" in shown.out
    assert account.infra("pause", "--json") == 0
    assert answer(capsys)["data"] == {
        "stack": "sm-proxy",
        "paused": True,
        "changed": False,
        "jobs": [],
    }


def test_pause_names_the_jobs_that_lose_their_bastion(account: Account, capsys: Captured) -> None:
    account.run_job("bert")
    assert account.infra("pause") == 0
    assert "these jobs continue without a bastion: training job bert" in capsys.readouterr().err


def test_resume_waits_until_the_bastion_is_online(account: Account, capsys: Captured) -> None:
    account.infra("pause")
    online = account.answers["DescribeInstanceInformation"]
    account.answers["DescribeInstanceInformation"] = [{"InstanceInformationList": []}, online]  # type: ignore[list-item]
    capsys.readouterr()
    assert account.infra("resume") == 0
    assert account.cloud.parameters["BastionCount"] == "1"
    shown = capsys.readouterr()
    assert "i-1: SSM does not know it yet" in shown.err
    assert shown.out == "the bastion of sm-proxy is i-1: Online\n"
    assert account.infra("resume", "--json") == 0
    data = answer(capsys)["data"]
    assert not data["changed"]
    assert data["bastion"]["instance"] == "i-1"


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_running_operation_is_waited_for_first(
    account: Account, capsys: Captured, action: str
) -> None:
    account.infra("pause")
    account.cloud.held = True
    assert account.infra("resume", "--timeout", "10") == 1
    assert "wait-timeout" in capsys.readouterr().err
    account.cloud.held = False
    assert account.infra(action) == 0
    assert "waiting for that first" in capsys.readouterr().err
    assert account.cloud.parameters["BastionCount"] == ("0" if action == "pause" else "1")


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_broken_or_missing_stack_is_refused(
    account: Account, capsys: Captured, action: str
) -> None:
    account.cloud.status = "UPDATE_ROLLBACK_FAILED"
    assert account.infra(action) == 1
    assert "stack-failed" in capsys.readouterr().err.splitlines()[-1]
    account.cloud.status = ""
    assert account.infra(action) == 1
    assert "no-stack" in capsys.readouterr().err.splitlines()[-1]
