"""`relaunch` shows what it does, creates the job, waits, and prints the ssh command."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from sm_proxy import cli
from sm_proxy.commands import relaunch
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.inventory import trial
from sm_proxy.jobs.hostname import Target
from sm_proxy.launch import channel, prepare
from sm_proxy.local.signals import Hangup
from sm_proxy.settings import load
from tests.commands.helpers import answer
from tests.fakes import JOB, FakeAws, container
from tests.launch import relaunching
from tests.launch.relaunching import GONE, account, failed

_SESSION = Session()
NAME = f"{JOB}-new"
COMMAND = ["relaunch", JOB, "--name", NAME]
RUNS_ON = f"The job continues, and is billed (`sm-proxy stop sm-{NAME}` ends it). Do it."
CHANGING = {"CreateTrainingJob", "CopyObject", "PutObject"}


@pytest.fixture(autouse=True)
def used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[FakeAws]:
    """The account of the command, which a test may replace."""
    accounts = [account()]
    monkeypatch.setattr(relaunch, "Aws", lambda *_: accounts[0])
    monkeypatch.setattr(FakeAws, "session", _SESSION)
    monkeypatch.setattr(prepare, "prepare", relaunching.prepare)
    monkeypatch.setattr(channel, "upload", lambda *_: None)
    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))
    reaching(monkeypatch, "root")
    return accounts


def reaching(monkeypatch: pytest.MonkeyPatch, end: str | BaseException, *problems: str) -> None:
    """Let the wait end in a container with this user and these problems, or in an error."""

    def wait(target: Target, *_: Any) -> Any:
        if isinstance(end, BaseException):
            raise end
        return container(host=target.host, job=target.job, user=end, problems=problems)

    monkeypatch.setattr(trial, "wait_until_answering", wait)


@pytest.mark.parametrize("typed", [JOB, f"sm-{JOB}", f"sm-{JOB}.training", f"{JOB}.training"])
def test_the_last_line_is_the_ssh_command(
    typed: str, used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["relaunch", typed, "--name", NAME]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"ssh sm-{NAME}\n"
    assert f"creating {NAME}; end it with: sm-proxy stop sm-{NAME}" in shown.err
    [request] = [given for name, given in used[0].calls if name == "CreateTrainingJob"]
    assert request["TrainingJobName"] == NAME
    key = identities.ensure(load()).public_key
    assert key.startswith(request["Environment"]["SM_PROXY_AUTHORIZED_KEY"])


def test_changes_and_differences_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(COMMAND) == 0
    lines = capsys.readouterr().err.splitlines()
    assert f"sm-proxy: made your ssh key {identities.private_key_path(load())}" in lines
    [changes] = [line for line in lines if line.startswith("sm-proxy: what changes: ")]
    assert f"TrainingJobName {JOB} -> {NAME}, Tags, " in changes
    assert changes.endswith("Environment (3 variables)")
    [costs] = [line for line in lines if line.startswith("sm-proxy: what it costs: ")]
    assert costs.endswith(", for 2.5 h at most")
    assert "sm-proxy: what differs from the old job: session tags, which AWS does not tell" in lines
    assert "sm-proxy: the role may read the bucket" in lines


def test_another_user_is_in_the_ssh_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reaching(monkeypatch, "ubuntu")
    assert cli.main(COMMAND) == 0
    assert capsys.readouterr().out == f"ssh ubuntu@sm-{NAME}\n"


def test_problems_of_the_container_are_shown_before_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reaching(monkeypatch, "nobody", "sessions cannot \x1b[1mrun")
    assert cli.main(COMMAND) == 0
    shown = capsys.readouterr()
    assert shown.out == f"ssh nobody@sm-{NAME}\n"
    assert shown.err.splitlines()[-1] == f"sm-proxy: sm-{NAME}: sessions cannot \ufffd[1mrun"


def test_a_dry_run_prints_the_changes_and_makes_none(
    used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*COMMAND, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert f'~ TrainingJobName: "{JOB}" -> "{NAME}"\n    names are unique\n' in shown.out
    assert not CHANGING & set(used[0].operations())
    assert "--dry-run uploads nothing, so s3://bucket/sm-proxy/channel/" in shown.err


def test_a_dry_run_says_nothing_of_files_that_are_in_s3(
    used: list[FakeAws], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(channel, "missing", lambda aws, _: [] if aws is used[0] else ["x"])
    assert cli.main([*COMMAND, "--dry-run"]) == 0
    assert "uploads nothing" not in capsys.readouterr().err


def test_the_json_of_a_dry_run_is_the_request(
    used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*COMMAND, "--dry-run", "--json"]) == 0
    data = answer(capsys)["data"]
    assert set(data) == {"operation", "request", "changes", "job", "host", "submitted"}
    assert (data["operation"], data["job"]) == ("CreateTrainingJob", NAME)
    assert (data["host"], data["submitted"]) == (f"sm-{NAME}", False)
    assert set(data["changes"][0]) == {"path", "before", "after", "why"}
    assert not CHANGING & set(used[0].operations())
    assert cli.main([*COMMAND, "--json"]) == 0
    again = answer(capsys)["data"]
    assert again == {**data, "submitted": True}
    assert ("CreateTrainingJob", data["request"]) in used[0].calls


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("wait-timeout", RUNS_ON),
        ("no-bastion", RUNS_ON),
        ("job-failed", "Do it. To get in before its program runs, use --wait 15m or --shell."),
        ("job-ended", "To get in before its program runs, use --wait 15m or --shell."),
    ],
)
def test_a_job_that_cannot_be_reached_is_still_in_the_result(
    code: Any, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reaching(monkeypatch, SmProxyError(code, "no", "Do it."))
    assert cli.main([*COMMAND, "--json"]) == 1
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["ok"], found["error"]["code"]) == (False, code)
    assert (found["data"]["job"], found["data"]["submitted"]) == (NAME, True)
    assert found["error"]["hint"] == hint
    assert shown.err.splitlines()[-1] == f"sm-proxy: {code}: no. {hint}"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Hangup(15)])
def test_ending_the_wait_leaves_the_job_and_says_so(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reaching(monkeypatch, error)
    assert cli.main(COMMAND) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1] == (
        f"sm-proxy: {NAME} continues: sm-proxy wait sm-{NAME}, sm-proxy stop sm-{NAME}"
    )


def test_checkpoints_are_copied_before_the_job_is_created(used: list[FakeAws]) -> None:
    told = failed(CheckpointConfig={"S3Uri": "s3://b/ckpt/x"})
    item = {"Key": "ckpt/x/1", "Size": 1, "ETag": "e"}
    copied: dict[str, Any] = {"CopyObject": {"CopyObjectResult": {}}}
    used[0] = account(told, ListObjectsV2={"Contents": [item]}, **copied)
    assert cli.main(COMMAND) == 0
    order = [name for name, _ in used[0].calls if name in CHANGING]
    assert order == ["CopyObject", "CreateTrainingJob"]


@pytest.mark.parametrize(
    ("option", "member", "expected"),
    [
        ("--instance-type ml.g5.xlarge", "ResourceConfig", {"InstanceType": "ml.g5.xlarge"}),
        ("--smaller", "ResourceConfig", {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}),
        (
            "--keep 2h --wait 1h",
            "Environment",
            {"SM_PROXY_KEEP_FAILURE": "2h", "SM_PROXY_WAIT": "1h"},
        ),
        ("--checkpoints none", "CheckpointConfig", None),
        ("--remote-debug", "RemoteDebugConfig", {"EnableRemoteDebug": True}),
        ("--spot", "EnableManagedSpotTraining", True),
    ],
)
def test_an_option_changes_the_request(
    option: str,
    member: str,
    expected: Any,
    used: list[FakeAws],
    capsys: pytest.CaptureFixture[str],
) -> None:
    used[0] = account(
        failed(
            CheckpointConfig={"S3Uri": "s3://b/ckpt/x"},
            EnableManagedSpotTraining=True,
            StoppingCondition={"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 7200},
        )
    )
    assert cli.main([*COMMAND, "--dry-run", "--json", *option.split()]) == 0
    found = answer(capsys)["data"]["request"].get(member)
    assert found == expected or found.items() >= expected.items()


def test_no_job_is_created_after_a_failed_copy(
    used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    told = failed(CheckpointConfig={"S3Uri": "s3://b/ckpt/x"})
    item = {"Key": "ckpt/x/1", "Size": 1, "ETag": "e"}
    denied = SmProxyError("access-denied", "s3:PutObject is denied", "Allow it.")
    used[0] = account(told, ListObjectsV2={"Contents": [item]}, CopyObject=denied)
    assert cli.main(COMMAND) == 1
    assert "--checkpoints none" in capsys.readouterr().err.splitlines()[-1]
    assert "CreateTrainingJob" not in used[0].operations()


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("ClientError: Cannot pull the image: repository not found", "the image cannot be pulled."),
        ("ClientError: Data download failed: NoSuchKey", "the input data does not exist"),
        ("AlgorithmError: ValueError: x, exit code: 1", ""),
        ("AlgorithmError: CUDA out of memory, exit code: 1", ""),
        ("CapacityError: Unable to provision requested ML compute capacity", "no free instance"),
    ],
)
def test_a_failure_that_a_copy_would_repeat_is_reported(
    reason: str, cause: str, used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    used[0] = account(failed(FailureReason=reason))
    assert cli.main([*COMMAND, "--dry-run"]) == 0
    told = capsys.readouterr().err
    assert (f"{JOB} failed before ssh could have entered it" in told) is bool(cause)
    assert cause in told


def test_a_job_that_still_runs_gets_a_copy(
    used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    used[0] = account(failed(TrainingJobStatus="InProgress", SecondaryStatus="Training"))
    assert cli.main(COMMAND) == 0
    assert f"training job {JOB} is Training: a copy of it starts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["relaunch", "sm-x.transform"], "unsupported", "transform job"),
        (["relaunch", "x.endpoint"], "unsupported", "endpoint"),
        (["relaunch", "sm-no_name"], "bad-name", "letters and digits"),
        (["relaunch", "gone"], "job-not-found", "gone"),
        (["relaunch", "sm-gone"], "job-not-found", "endpoint gone in"),
        (["relaunch", JOB, "--name", "a_b"], "bad-name", "letters and digits"),
        (["relaunch", JOB, "--name", ""], "bad-name", "letters and digits"),
        (["relaunch", JOB, "--name", "a" * 64], "bad-name", "63 characters"),
        (["relaunch", JOB, "--name", JOB], "usage", "there is a training job my-job already"),
        (["relaunch", JOB, "--spot"], "usage", "spot"),
    ],
)
def test_nothing_is_created_after_a_refusal(
    words: list[str],
    code: str,
    why: str,
    used: list[FakeAws],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(words) == (2 if code == "usage" else 1)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"sm-proxy: {code}: ")
    assert why in last
    assert not CHANGING & set(used[0].operations())


def test_a_job_whose_name_begins_with_the_prefix_is_found(used: list[FakeAws]) -> None:
    told = failed(TrainingJobName="sm-odd")
    used[0] = account(told)
    assert cli.main(["relaunch", "sm-odd", "--name", NAME]) == 0


@pytest.mark.parametrize("typed", ["latest", "sm-latest", "my", "sm-my"])
def test_a_part_of_a_name_means_the_newest_failed_job(
    typed: str, used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        {"TrainingJobName": "my-new", "TrainingJobStatus": "InProgress"},
        {"TrainingJobName": JOB, "TrainingJobStatus": "Failed"},
        {"TrainingJobName": "my-old", "TrainingJobStatus": "Failed"},
    ]
    used[0] = account(None, ListTrainingJobs={"TrainingJobSummaries": lines})
    assert cli.main(["relaunch", typed, "--name", NAME]) == 0
    assert f"is {JOB}, the newest of 2 failed" in capsys.readouterr().err


def test_the_name_must_not_lead_to_another_account(
    tmp_path: Path, used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    records = [json.dumps({"prefix": prefix}) for prefix in ("sm-", "sm-eu-")]
    text = "".join(f"# sm-proxy context {record}\n" for record in records)
    (folder / "config").write_text(text, encoding="utf-8")
    assert cli.main(["relaunch", JOB, "--name", "eu-1"]) == 2
    assert "the hosts of the prefix sm-eu-" in capsys.readouterr().err
    assert not CHANGING & set(used[0].operations())
    assert cli.main(COMMAND) == 0
    assert "config write" not in capsys.readouterr().err


def test_a_laptop_without_setup_gets_the_missing_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(COMMAND) == 0
    assert (
        f"ssh does not know sm-{NAME} yet: run `sm-proxy config write`" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("prefix", "flag"), [("sm-", ""), ("sm-eu-", " --prefix sm-eu-")])
def test_a_block_for_another_region_is_reported(
    prefix: str, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    record = json.dumps({"prefix": prefix, "region": "eu-west-1"})
    (folder / "config").write_text(f"# sm-proxy context {record}\n", encoding="utf-8")
    words = ["relaunch", f"{prefix}{JOB}", "--name", NAME, "--region"]
    assert cli.main([*words, "us-east-1"]) == 0
    told = f"ssh looks for {prefix}{NAME} in eu-west-1, but it is in us-east-1"
    shown = capsys.readouterr().err
    assert told in shown
    assert f"`sm-proxy config write{flag} --region us-east-1`" in shown
    assert cli.main([*words, "eu-west-1"]) == 0
    assert "ssh looks for" not in capsys.readouterr().err


def test_a_refusal_of_the_service_is_the_last_line(
    used: list[FakeAws], capsys: pytest.CaptureFixture[str]
) -> None:
    used[0] = account(None, CreateTrainingJob=GONE)
    assert cli.main(COMMAND) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("sm-proxy: aws-error: ")
