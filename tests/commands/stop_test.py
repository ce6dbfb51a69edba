"""`stop` ends the job that the user means, and no other."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.aws.errors import ServiceError
from sm_proxy.commands import stop as command
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.local import prompt
from tests.fakes import Answers, FakeAws, description

ABSENT = ServiceError("ValidationException", "Could not find", "sagemaker:Describe")
NOW = datetime.now(timezone.utc)


class Account:
    """Runs `stop` against the answers of one account."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Answers] = {
            "DescribeTrainingJob": lambda **given: described(given["TrainingJobName"]),
            "StopTrainingJob": {},
        }
        self.aws = FakeAws()
        self.asked: list[str] = []
        self.reply: str | None = None
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(command, "Aws", lambda *_: self.aws)
        monkeypatch.setattr(prompt, "confirm", self._confirm)

    def _confirm(self, question: str) -> bool:
        self.asked.append(question)
        if self.reply is None:
            raise prompt.NobodyToAskError("there is no terminal to ask on")
        return self.reply == "yes"

    def stop(self, *words: str, reply: str | None = None) -> int:
        self.aws, self.asked, self.reply = FakeAws(**self.answers), [], reply
        return cli.main(["stop", *words])

    @property
    def stopped(self) -> list[dict[str, Any]]:
        """The parameters of each Stop call."""
        return [given for name, given in self.aws.calls if name.startswith("Stop")]


def described(name: str) -> dict[str, Any]:
    """What DescribeTrainingJob has for the one job, bert-1."""
    if name != "bert-1":
        raise ABSENT
    return dict(description(TrainingJobName="bert-1"))  # type: ignore[arg-type]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_yes_ends_the_job_of_that_name(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.stop("sm-bert-1", "--yes") == 0
    assert account.stopped == [{"TrainingJobName": "bert-1"}]
    assert account.asked == []
    assert "training job bert-1 is being stopped" in capsys.readouterr().out


def test_the_json_says_what_was_stopped(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.stop("sm-bert-1", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"] == {
        "job": "bert-1",
        "kind": "training",
        "status": "Training",
        "stopped": True,
    }


@pytest.mark.parametrize("reply", ["yes", "no"])
def test_on_a_terminal_the_user_is_asked(
    account: Account, reply: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.stop("sm-bert-1", reply=reply) == (0 if reply == "yes" else 1)
    assert account.asked == ["Stop training job bert-1 (Training, price unknown)?"]
    assert len(account.stopped) == (1 if reply == "yes" else 0)
    shown = capsys.readouterr()
    assert ("was not stopped" in shown.out) is (reply == "no")
    assert "sm-proxy: " not in shown.err


def test_the_question_tells_what_the_job_costs(account: Account) -> None:
    resources = {"InstanceType": "ml.toy.large", "InstanceCount": 2}
    priced = description(TrainingJobName="bert-1", ResourceConfig=resources)
    account.answers["DescribeTrainingJob"] = priced
    product = {
        "product": {"attributes": {"usagetype": "EU-Train:ml.toy.large"}},
        "terms": {
            "OnDemand": {
                "t": {"priceDimensions": {"d": {"unit": "Hrs", "pricePerUnit": {"USD": "1.5"}}}}
            }
        },
    }
    account.answers["GetProducts"] = {"PriceList": [json.dumps(product)]}
    assert account.stop("sm-bert-1", reply="yes") == 0
    assert account.asked == ["Stop training job bert-1 (Training, about $3.00 an hour)?"]


def test_without_a_terminal_and_yes_nothing_is_stopped(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert account.stop("sm-bert-1") == 2
    assert account.stopped == []
    assert last_line(capsys) == (
        "sm-proxy: usage: stop would end training job bert-1, and there is no terminal to ask on."
        " If you mean that job: sm-proxy stop sm-bert-1 --yes"
    )


@pytest.mark.parametrize("typed", ["sm-bert", "sm-latest", "sm-BERT-1"])
def test_yes_does_not_take_a_guess(
    account: Account, typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running = {
        "TrainingJobName": "bert-1",
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "CreationTime": NOW,
    }
    absent = ("DescribeProcessingJob", "DescribeTransformJob", "DescribeEndpoint")
    account.answers.update(dict.fromkeys(absent, ABSENT))
    account.answers["ListTrainingJobs"] = {"TrainingJobSummaries": [running]}
    assert account.stop(typed, "--yes") == 1
    assert account.stopped == []
    line = last_line(capsys)
    assert line.startswith("sm-proxy: job-ambiguous: ")
    assert line.endswith("sm-proxy stop sm-bert-1 --yes")
    # A person sees the whole name and decides.
    assert account.stop(typed, reply="yes") == 0
    assert "bert-1" in account.asked[0]
    assert account.stopped == [{"TrainingJobName": "bert-1"}]


@pytest.mark.parametrize(
    ("status", "overall"), [("Completed", "Completed"), ("Stopping", "Stopping"), ("Failed",) * 2]
)
def test_a_job_that_has_ended_is_left_alone(
    account: Account, status: str, overall: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = description(status, overall, TrainingJobName="bert-1", FailureReason="no\x1bdata")
    account.answers["DescribeTrainingJob"] = ended
    assert account.stop("sm-bert-1", "--yes", "--json") == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["status"], data["stopped"]) == (status, False)
    assert account.stop("sm-bert-1", reply="yes") == 0
    assert not account.asked
    assert not account.stopped
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_a_job_that_ends_while_the_user_thinks_is_no_failure(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    over = description("Completed", "Completed", TrainingJobName="bert-1")
    account.answers["DescribeTrainingJob"] = [described("bert-1"), over]
    refused = ServiceError("ValidationException", "it is in status Completed", "sagemaker:Stop")
    account.answers["StopTrainingJob"] = refused
    assert account.stop("sm-bert-1", reply="yes") == 0
    assert "it is Completed" in capsys.readouterr().out
    account.answers["DescribeTrainingJob"] = described("bert-1")
    assert account.stop("sm-bert-1", reply="yes") == 1
    assert last_line(capsys).startswith("sm-proxy: aws-error: ")


def test_a_denied_stop_names_the_permission(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers["StopTrainingJob"] = SmProxyError("access-denied", "sagemaker:StopTrainingJob")
    assert account.stop("sm-bert-1", "--yes") == 1
    assert last_line(capsys) == "sm-proxy: access-denied: sagemaker:StopTrainingJob"


def test_one_node_cannot_be_stopped(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    assert account.stop("sm-bert-1.2.training", "--yes") == 2
    assert account.aws.calls == []
    assert last_line(capsys).endswith("Name the job: sm-proxy stop sm-bert-1.training")


def test_an_endpoint_is_not_stopped_but_deleted(
    account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.answers["DescribeEndpoint"] = {
        "EndpointName": "chat",
        "EndpointStatus": "InService",
        "CreationTime": NOW,
    }
    assert account.stop("sm-chat.endpoint", "--yes") == 1
    line = last_line(capsys)
    assert line.startswith("sm-proxy: unsupported: endpoint chat cannot be stopped")
    assert line.endswith("aws sagemaker delete-endpoint --endpoint-name chat")


@pytest.mark.parametrize("kind", ["training", "processing", "transform"])
def test_each_kind_of_job_can_be_stopped(kind: Any) -> None:
    noun = kind.capitalize()
    assert kinds.of(kind).stop_call("x") == (f"Stop{noun}Job", {f"{noun}JobName": "x"})
