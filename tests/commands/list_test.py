from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.commands import list as command
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import reachable
from sm_proxy.inventory.reachable import Reachability
from tests.fakes import EVERY_LIST, Answers, FakeAws
from tests.jobs.cluster_account import ClusterAws
from tests.jobs.studio_account import Space, Studio

DENIED = SmProxyError("access-denied", "sagemaker:ListEndpoints is denied: no", "ask")
NOW = datetime.now(timezone.utc)


def training(name: str, status: str, hours: float) -> dict[str, Any]:
    ended = status in {"Completed", "Failed", "Stopped"}
    return {
        "TrainingJobName": name,
        "TrainingJobStatus": status if ended else "InProgress",
        "SecondaryStatus": status,
        "CreationTime": NOW - timedelta(hours=hours),
    }


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answers]:
    """The answers of the list calls: one job of each kind, and an old training job."""
    answers: dict[str, Answers] = {
        **{name: {} for name in EVERY_LIST},
        "ListTrainingJobs": {
            "TrainingJobSummaries": [training("bert", "Training", 3), training("old", "Failed", 1)]
        },
        "ListProcessingJobs": {
            "ProcessingJobSummaries": [
                {
                    "ProcessingJobName": "prep",
                    "ProcessingJobStatus": "Failed",
                    "FailureReason": "\x1b[31mno data",
                    "CreationTime": NOW - timedelta(days=2),
                }
            ]
        },
        "ListEndpoints": {
            "Endpoints": [
                {
                    "EndpointName": "chat",
                    "EndpointStatus": "Creating",
                    "CreationTime": datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
                }
            ]
        },
    }
    monkeypatch.setattr(command, "Aws", lambda *_: _asked(answers))
    return answers


SEEN: list[FakeAws] = []


def _asked(answers: dict[str, Answers]) -> FakeAws:
    SEEN.append(FakeAws(**answers))
    return SEEN[-1]


def data(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert cli.main(["list", "--json", *words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["ok"]) == ("list", True)
    jobs: list[dict[str, Any]] = document["data"]["jobs"]
    return jobs


def test_the_json_has_every_field(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = data(capsys)
    # Running and starting jobs come first, each group newest first.
    assert [job["job"] for job in jobs] == ["bert", "chat", "old", "prep"]
    assert jobs[1] == {
        "job": "chat",
        "host": "sm-chat.endpoint",
        "kind": "endpoint",
        "status": "Creating",
        "created": "2026-01-02T03:04:05Z",
        "nodes": None,
        "reachable": None,
        "reason": None,
        "kept": None,
        "relaunchable": False,
    }
    assert (jobs[2]["reachable"], jobs[2]["reason"]) == (False, "it has failed")
    assert [job["relaunchable"] for job in jobs] == [False, False, True, True]
    assert SEEN[-1].operations() == EVERY_LIST


def test_the_table_shows_every_job(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0].split() == ["HOST", "KIND", "STATUS", "AGE", "NODES", "REACHABLE"]
    assert lines[1].split() == ["sm-bert", "training", "Training", "3", "h", "?", "?"]
    assert lines[-1].split()[:4] == ["sm-prep.processing", "processing", "Failed", "2"]
    assert lines[-1].endswith("no: \ufffd[31mno data; `sm-proxy relaunch` runs it again")
    assert all(line.isprintable() for line in lines)


def test_the_age_of_a_job_uses_the_clock_of_aws(
    account: dict[str, Answers],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeAws, "clock_offset_s", 2 * 3600)
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3:5] == ["5", "h"]


def test_the_kinds_are_listed_concurrently(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    together = threading.Barrier(len(EVERY_LIST), timeout=60)

    def waiting(**_: object) -> dict[str, Any]:
        together.wait()
        return {}

    account.update(dict.fromkeys(EVERY_LIST, waiting))
    assert data(capsys) == []


def test_an_empty_list_names_the_region(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    account.update({name: {} for name in EVERY_LIST})
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "no jobs in eu-west-1\n"


def test_all_running_jobs_and_a_few_ended_ones_are_shown(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    over = [training(f"over-{number}", "Completed", number) for number in range(30)]
    running = [training(f"run-{number}", "Training", 100 + number) for number in range(30)]
    account["ListTrainingJobs"] = {"TrainingJobSummaries": over + running}
    jobs = [job["job"] for job in data(capsys) if job["kind"] == "training"]
    assert jobs == [f"run-{n}" for n in range(30)] + [f"over-{n}" for n in range(10)]


def test_a_running_job_is_shown_below_a_full_page_of_ended_ones(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    over = [training(f"over-{number}", "Completed", number) for number in range(100)]
    running = [training("run", "Training", 100), training("more", "Training", 101)]

    def page(**asked: object) -> dict[str, Any]:
        return {"TrainingJobSummaries": running if "StatusEquals" in asked else over}

    account["ListTrainingJobs"] = page
    jobs = [job["job"] for job in data(capsys) if job["kind"] == "training"]
    assert jobs == ["run", "more"] + [f"over-{n}" for n in range(10)]
    assert capsys.readouterr().err == ""


def test_a_full_page_of_running_jobs_is_reported(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    running = [training(f"run-{number}", "Training", number) for number in range(100)]
    account["ListTrainingJobs"] = {"TrainingJobSummaries": running}
    assert cli.main(["list"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count(" training ") == 100
    assert captured.err == "sm-proxy: only the newest 100 training jobs that run are listed\n"


def test_a_kind_whose_list_is_denied_is_reported(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    account["ListEndpoints"] = DENIED
    assert cli.main(["list"]) == 0
    captured = capsys.readouterr()
    assert "chat" not in captured.out
    assert "bert" in captured.out
    assert captured.err == "sm-proxy: left out: sagemaker:ListEndpoints is denied: no\n"


def test_list_fails_if_every_call_is_denied(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    account.update(dict.fromkeys(EVERY_LIST, DENIED))
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("sm-proxy: access-denied: ")


def test_another_error_of_a_list_call_is_raised(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    account["ListTransformJobs"] = SmProxyError("network", "down", "check")
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == "sm-proxy: network: down. check\n"


def test_check_tries_running_jobs(
    account: dict[str, Answers],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(jobs: list[Any], *_: object) -> list[Reachability]:
        return [Reachability(reachable=True, nodes=len(job.name)) for job in jobs]

    monkeypatch.setattr(reachable, "check_all", check)
    jobs = data(capsys, "--check")
    assert all(job["reachable"] is True and job["reason"] is None for job in jobs)
    assert jobs[0]["nodes"] == 4
    assert jobs[0]["kept"] is None
    cli.main(["list", "--check"])
    assert capsys.readouterr().out.splitlines()[1].split()[-2:] == ["4", "yes"]


def test_a_kept_container_is_shown(
    account: dict[str, Answers],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def check(jobs: list[Any], *_: object) -> list[Reachability]:
        return [Reachability(reachable=True, nodes=1, kept=job.name == "bert") for job in jobs]

    monkeypatch.setattr(reachable, "check_all", check)
    assert cli.main(["list", "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("yes: its program has ended, and its container is kept")
    assert lines[2].endswith("yes")


def test_spaces_and_clusters_are_listed_with_their_host_names(
    account: dict[str, Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    spaces = (Space("x", age_h=1), Space("x", "d-two", age_h=2, app=""), Space("y", age_h=3))
    clusters = ClusterAws(clusters=("c",))
    account.update({**Studio(*spaces)._answers, **clusters._answers})
    assert [(job["job"], job["host"], job["reachable"], job["nodes"]) for job in data(capsys)] == [
        ("bert", "sm-bert", None, None),
        ("x", "sm-x.d-one.space", True, 1),
        ("y", "sm-y.space", True, 1),
        ("c", "sm-c.hyperpod", None, 4),
        ("chat", "sm-chat.endpoint", None, None),
        ("old", "sm-old", False, None),
        ("prep", "sm-prep.processing", False, None),
        ("x", "sm-x.d-two.space", False, 1),
    ]
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split()[:3] == ["sm-x.d-one.space", "space", "InService"]
    assert lines[-1].endswith("no: it is stopped; start it: sm-proxy start sm-x.d-two.space")
