"""`start` shows what it would do, asks, and does it; `stop` of a space undoes it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from sm_proxy.host_keys import accept_new, known_hosts
from sm_proxy.jobs import lookup
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import signals
from sm_proxy.settings import Settings
from tests.commands.space_runs import Account
from tests.fakes import HOST_KEY, container
from tests.spaces.fake_studio import (
    ARN,
    DOMAIN,
    IMAGE,
    NAME,
    FakeStudio,
    StudioAws,
    changing,
    refused,
)

HOST = "sm-Lab.space"
NOW = datetime.now(timezone.utc)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_a_stopped_space_is_started(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert account.run("start", HOST, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"] == {
        "job": "Lab",
        "kind": "space",
        "host": HOST,
        "status": "InService",
        "instance_type": "ml.m5.large",
        "changed": True,
    }
    assert account.studio.app == ["InService"]


def test_a_space_that_runs_is_described_once(account: Account) -> None:
    account.studio = FakeStudio("InService")
    assert account.run("start", HOST) == 0
    assert [name for name, _ in account.aws.calls] == ["ListSpaces", "DescribeSpace", "DescribeApp"]


def test_the_plan_is_shown_before_the_question(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio("InService", remote=False)
    assert account.run("start", HOST, reply="no") == 1
    shown = capsys.readouterr()
    assert account.asked == ["Restart Studio space Lab on ml.m5.large?"]
    lines = shown.err.splitlines()
    assert [line.rpartition("(")[2] for line in lines[:3]] == [
        "DeleteApp)",
        "UpdateSpace)",
        "CreateApp)",
    ]
    assert "WARNING" in lines[3]
    assert "has not been saved" in lines[3]
    assert f"billed until it is stopped: sm-proxy stop {HOST}" in lines[4]
    assert "was not changed" in shown.out
    assert not changing(account.aws)


def test_no_loss_is_announced_where_nothing_runs(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.run("start", HOST, reply="yes") == 0
    assert account.asked == ["Start Studio space Lab on ml.m5.large?"]
    shown = capsys.readouterr()
    assert "WARNING" not in shown.err
    assert shown.out == f"Studio space Lab runs on ml.m5.large; now: ssh {HOST}\n"


def test_a_strange_instance_sends_nothing_to_the_terminal(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio("InService", InstanceType="ml.\x1b[31m\u202e\nx")
    assert account.run("start", HOST) == 0
    assert capsys.readouterr().out.rstrip("\n").isprintable()


def test_without_a_terminal_and_yes_nothing_begins(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.run("start", HOST) == 2
    assert not changing(account.aws)
    assert last_line(capsys).endswith(f"If you mean it: sm-proxy start {HOST} --yes")


def test_another_run_that_was_faster_leaves_nothing_to_do(account: Account) -> None:
    account.studio = FakeStudio("InService", remote=False)
    account.meanwhile = lambda: account.studio.settings.update(RemoteAccess="ENABLED")
    assert account.run("start", HOST, reply="yes") == 0
    assert not changing(account.aws)


def test_an_app_that_was_not_asked_about_is_not_ended(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio(remote=False)
    account.meanwhile = lambda: account.studio.app.append("InService")
    assert account.run("start", HOST, reply="yes") == 1
    assert not changing(account.aws)
    line = last_line(capsys)
    assert line.startswith("sm-proxy: busy: ")
    assert line.endswith(f"sm-proxy start {HOST}")


def test_the_time_to_think_is_not_taken_from_the_wait(account: Account) -> None:
    account.meanwhile = lambda: account.clock.sleep(3600)
    assert account.run("start", HOST, reply="yes") == 0


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_yes_does_not_take_a_guess(
    account: Account, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio("InService", remote=False)
    assert account.run(verb, "sm-la.space", "--yes") == 1  # another domain may have a Lab, too
    assert not changing(account.aws)
    line = last_line(capsys)
    assert line.startswith("sm-proxy: job-ambiguous: ")
    assert line.endswith(f"sm-proxy {verb} sm-Lab.{DOMAIN}.space --yes")


@pytest.mark.parametrize("status", ["InService", "Pending"])
def test_a_space_that_runs_or_starts_needs_no_question(
    account: Account, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio(status, "InService")
    assert account.run("start", f"sm-Lab.{DOMAIN}.space") == 0
    assert not account.asked
    assert not changing(account.aws)
    out = capsys.readouterr().out
    assert out == f"Studio space Lab runs on ml.m5.large already; now: ssh sm-Lab.{DOMAIN}.space\n"


@pytest.mark.parametrize("small", ["ml.t3.medium", "m5.large", "ml.$(id).x"])
def test_an_instance_that_cannot_serve_is_refused_before_any_call(
    account: Account, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if small == "ml.t3.medium":
        assert account.run("start", HOST, "--instance-type", small) == 1
        assert "ml.t3.large" in last_line(capsys)
    else:
        with pytest.raises(SystemExit):
            account.run("start", HOST, "--instance-type", small)
    assert account.aws.calls == []


def test_no_app_is_ended_for_an_unknown_instance_type(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio("InService")
    assert account.run("start", HOST, "--instance-type", "ml.g5.xlagre", "--yes") == 1
    assert not changing(account.aws)
    line = last_line(capsys)
    assert line.startswith("sm-proxy: unsupported: botocore ")
    assert "Did you mean `ml.g5.xlarge`" in line
    assert line.endswith(f"sm-proxy stop {HOST}")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("sm-bert", "sm-proxy relaunch sm-bert"),
        ("sm-chat.endpoint", "sm-proxy start sm-chat.space"),
        ("sm-c.workers.1.hyperpod", "update-cluster"),
    ],
)
def test_only_spaces_can_be_started(
    account: Account, host: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.run("start", host, "--yes") == 1
    assert account.aws.calls == []
    line = last_line(capsys)
    assert line.startswith("sm-proxy: unsupported: ")
    assert words in line


def test_a_botocore_that_does_not_know_remote_access_is_named(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StudioAws, "known", ("CreateApp",))
    assert account.run("start", HOST, "--yes") == 1
    assert account.aws.calls == []
    line = last_line(capsys)
    assert line.startswith("sm-proxy: unsupported: ")
    assert "botocore>=" in line


def test_an_image_without_remote_access_is_not_started(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio.spec["SageMakerImageArn"] = IMAGE.replace("own", "sagemaker-distribution-cpu")
    account.studio.spec["SageMakerImageVersionAlias"] = "2.6.1"
    assert account.run("start", HOST, "--yes") == 1
    assert not changing(account.aws)
    assert "2.7" in last_line(capsys)


def test_a_restart_forgets_the_server_of_the_old_app(account: Account) -> None:
    account.studio = FakeStudio("InService", remote=False)
    aws, target = account.studio.aws(), Target(HOST, "sm-", NAME, "", "space")
    known = container(address=None, vpc_id=None, session_target="arn", kind="space", job=NAME)
    JobCache(aws).keep_container(target, lookup.find(aws, target), known)
    assert JobCache(aws).container(target)
    assert account.run("start", HOST, "--yes") == 0
    assert JobCache(aws).container(target) is None


def test_a_failure_names_the_whole_command(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio.refusals["CreateApp"] = refused("ResourceLimitExceeded", "0 Apps", "CreateApp")
    assert account.run("start", HOST, "--instance-type", "ml.g5.xlarge", "--yes") == 1
    assert f"sm-proxy start {HOST} --instance-type" in last_line(capsys)


def test_an_interrupt_says_how_to_go_on(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio.refusals["CreateApp"] = signals.Hangup(2)
    assert account.run("start", HOST, "--yes") == 130
    assert last_line(capsys).endswith(f"for the rest, run: sm-proxy start {HOST}")


def test_stop_ends_the_app_and_forgets_its_server(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio("InService")
    cache, settings = JobCache(account.aws), Settings()
    known = container(address=None, vpc_id=None, session_target="arn", kind="space", job=NAME)
    targets = [Target(HOST, "sm-", NAME, node, "space") for node in ("", DOMAIN)]
    job = lookup.find(account.studio.aws(), targets[1])
    for target in targets:
        cache.keep_container(target, job, known)
    known_hosts.pin(settings, HOST, known.host_keys)
    seen = replace(known, session_target=ARN, life="2026")
    accept_new.pin(seen, HOST_KEY)
    assert account.run("stop", HOST, reply="yes") == 0
    (question,) = account.asked
    assert question.startswith(
        "Stop Studio space Lab (InService; its home directory stays; unsaved"
    )
    assert changing(account.aws) == ["DeleteApp"]
    assert account.studio.app == ["Deleted"]
    assert not any(map(cache.container, targets))
    assert not known_hosts.path_of(settings, HOST).exists()
    assert accept_new.pinned(seen) is None
    assert "is stopped; its home directory stays" in capsys.readouterr().out


@pytest.mark.parametrize("app", [(), ("Deleted",)])
def test_a_space_that_does_not_run_is_not_stopped(
    account: Account, app: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio(*app)
    assert account.run("stop", HOST, "--json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["status"], data["stopped"]) == ("Stopped", False)
    assert not account.asked


def test_a_space_of_studio_classic_is_not_called_stopped(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.studio = FakeStudio("InService", app_type="")
    assert account.run("stop", HOST, "--yes") == 1
    assert last_line(capsys).startswith(
        "sm-proxy: unsupported: Studio space Lab is for Studio Classic"
    )


def test_a_stop_goes_on_with_another_one(account: Account) -> None:
    account.studio = FakeStudio("Deleting", "Deleting", "Deleted")
    assert account.run("stop", f"sm-Lab.{DOMAIN}.space") == 0
    assert not changing(account.aws)


def test_a_space_that_is_not_confirmed_is_not_stopped(account: Account) -> None:
    account.studio = FakeStudio("InService")
    assert account.run("stop", HOST, reply="no") == 1
    assert not changing(account.aws)


@pytest.mark.parametrize("host", ["sm-c.hyperpod", "sm-c.workers.1.hyperpod"])
def test_a_cluster_cannot_be_stopped(
    account: Account, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.run("stop", host, "--yes") == 1
    assert last_line(capsys).startswith("sm-proxy: unsupported: HyperPod cluster c cannot be")
