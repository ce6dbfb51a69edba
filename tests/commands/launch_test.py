"""`launch FILE` creates the job of a request; `launch -- CMD` runs a command whose jobs get ssh."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from sm_proxy import cli
from sm_proxy.commands import launch
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import trial
from sm_proxy.jobs.hostname import Target
from sm_proxy.launch import channel
from sm_proxy.launch.request import Ssh
from sm_proxy.local.threads import Background
from sm_proxy.settings import Settings
from tests.commands.helpers import answer
from tests.fakes import FakeAws, container
from tests.launch import relaunching
from tests.launch.request_file_test import PROCESSING, TRAINING

_SESSION = Session()
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMs4ndjvK8S3ArC4V//JjkBs9k+0dzeExieiFXKmwOqE"
QUIET = [sys.executable, "-c", "pass"]


def parsed(*words: str) -> argparse.Namespace:
    parser = cli.Parser(prog="launch")
    launch.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "file", "command"),
    [
        (["job.json"], "job.json", []),
        (["--dry-run", "job.json"], "job.json", []),
        (["job.json", "--dry-run"], "job.json", []),
        (["--dry-run", "--", "python", "x.py", "--dry-run"], None, ["python", "x.py", "--dry-run"]),
        (["--dry-run", "--", "job.json"], None, ["job.json"]),
        (["--dry-run", "--", "env", "--", "x"], None, ["env", "--", "x"]),
        (["--dry-run", "-"], "-", []),
        (["--dry-run"], None, []),
    ],
)
def test_a_file_and_a_command_are_distinguished(
    words: list[str], file: str | None, command: list[str]
) -> None:
    found = parsed(*words)
    assert (found.file, found.command) == (file, command)
    assert found.dry_run == ("--dry-run" in words)


def test_options_may_stand_before_and_after_the_file() -> None:
    found = parsed("--keep", "10m", "job.json", "--wait", "5m", "--profile", "work")
    assert (found.keep, found.wait, found.profile) == (600, 300, "work")


def test_a_command_without_its_dashes_gets_the_right_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["launch", "python", "train.py"])
    assert "sm-proxy launch -- python train.py" in capsys.readouterr().err.splitlines()[-1]
    program = tmp_path / "train.sh"
    program.write_text("#!/bin/sh\nexec python train.py\n")
    assert cli.main(["launch", str(program)]) == 2
    assert f"sm-proxy launch -- {program}" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("words", [["a.json", "b.json"], ["job.json", "--", "x"], ["x", "--bad"]])
def test_more_words_after_a_file_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["launch", *words])
    assert caught.value.code == 2
    assert "sm-proxy: usage: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["launch"],
        ["launch", "--dry-run", "--", *QUIET],
        ["launch", "--json", "--", *QUIET],
        ["launch", "--name", "x", "--", *QUIET],
        ["launch", "--smaller", "--", *QUIET],
        ["launch", "--instance-type", "ml.m5.large", "--", *QUIET],
    ],
)
def test_contradicting_words_are_a_usage_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    assert "sm-proxy: usage: " in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in the environment, and a folder for the ssh key."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))


@pytest.mark.usefixtures("keys")
def test_the_exit_status_is_the_commands(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import os, sys; print(os.environ['AWS_ENDPOINT_URL_SAGEMAKER']); sys.exit(7)"
    assert cli.main(["launch", "--", sys.executable, "-c", code]) == 7
    shown = capfd.readouterr()
    assert shown.out.startswith("http://127.0.0.1:")
    assert shown.out.count("\n") == 1
    assert "failed with exit status 7 and sent no request to SageMaker" in shown.err
    assert "endpoint_url" not in shown.err


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("inherited", [None, "work"])
def test_a_profile_that_the_command_does_not_use_is_reported(
    inherited: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "aws-config"
    config.write_text("[profile work]\naws_access_key_id = AKIA\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    if inherited:
        monkeypatch.setenv("AWS_PROFILE", inherited)
    assert cli.main(["launch", "--profile", "work", "--", *QUIET]) == 0
    assert ("AWS_PROFILE=work" in capsys.readouterr().err) == (inherited is None)


@pytest.mark.usefixtures("keys")
@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_after_a_signal_nothing_more_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["launch", "--", "sh", "-c", "kill -TERM $$"]) == 128 + 15
    assert "sent no request" not in capfd.readouterr().err


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(("mode", "status"), [(None, 127), (0o600, 126)], ids=["none", "no mode"])
def test_a_command_that_does_not_start_has_the_status_of_shells(
    mode: int | None, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program"
    if mode is not None:
        program.write_text("#!/bin/sh\n")
        program.chmod(mode)
    assert cli.main(["launch", "--", str(program)]) == status
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"sm-proxy: usage: {program} cannot be started: ")


@pytest.mark.usefixtures("keys")
@pytest.mark.skipif(sys.platform == "win32", reason="a script is not a program there")
def test_who_has_no_python_is_told_of_python3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["launch", "--", "python", "x.py"]) == 127
    assert capsys.readouterr().err.splitlines()[-1].endswith("Write `python3` in its place.")


@pytest.mark.usefixtures("keys")
def test_a_command_that_sent_no_request_is_told_how_it_could(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["launch", "--", *QUIET]) == 0
    assert "endpoint_url" in capfd.readouterr().err


def test_without_credentials_the_command_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))
    started = tmp_path / "started"
    code = f"open({str(started)!r}, 'w')"
    assert cli.main(["launch", "--", sys.executable, "-c", code]) == 1
    assert "no-credentials" in capsys.readouterr().err
    assert not started.exists()


@pytest.mark.parametrize(
    ("operation", "host"),
    [("CreateTrainingJob", "sm-bert"), ("CreateProcessingJob", "sm-bert.processing")],
)
def test_the_ssh_command_of_a_job_is_printed(
    operation: Any, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings()
    launch._Reporter(settings).job(operation, "bert", None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"sm-proxy: job bert has ssh: ssh {host}"
    assert "sm-proxy config write" in lines[1]


def test_the_reason_why_a_job_has_no_ssh_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    problem = SmProxyError("network-isolation", "it is isolated", "Use another.")
    launch._Reporter(Settings()).job("CreateTrainingJob", "bert", problem)
    expected = "job bert runs without ssh: network-isolation: it is isolated. Use another."
    assert capsys.readouterr().err == f"sm-proxy: {expected}\n"


def test_the_same_note_for_many_jobs_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = launch._Reporter(Settings())
    for job in ("one", "two"):
        reporter.say("a note")
        reporter.job("CreateTrainingJob", job, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("sm-proxy: a note") == 1
    assert len(lines) == 4


def test_jobs_created_at_once_upload_their_files_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "prepare", relaunching.prepare)
    both = threading.Barrier(2)
    there: dict[str, bytes] = {}

    def listed(**_: Any) -> dict[str, Any]:
        contents = [
            {"Key": key, "Size": len(body), "ETag": hashlib.md5(body).hexdigest()}  # noqa: S324 - as S3's
            for key, body in there.items()
        ]
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return {"Contents": contents}

    def put(Key: str, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 - as the API's
        there[Key] = Body
        return {}

    aws: Any = FakeAws(ListObjectsV2=listed, PutObject=put)
    add_ssh = launch._AddSsh(Ssh(keys=(_KEY,)), None, Settings(), False, print)
    made = [Background(lambda: add_ssh(aws, "CreateTrainingJob", BERT)) for _ in range(2)]
    assert [work.result()["RoleArn"] for work in made] == [BERT["RoleArn"]] * 2
    assert aws.operations().count("PutObject") == len(there) > 0


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAws:
    """The account of `launch FILE`; ssh reaches every job in it."""
    made: dict[str, Any] = {"CreateTrainingJob": {}, "CreateProcessingJob": {}}
    aws = FakeAws(**made, GetProducts={"PriceList": []}, ListObjectsV2={})
    monkeypatch.setattr(launch, "Aws", lambda *_: aws)
    monkeypatch.setattr(FakeAws, "session", _SESSION)
    monkeypatch.setattr(launch, "prepare", relaunching.prepare)
    monkeypatch.setattr(channel, "upload", lambda *_: None)
    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))

    def wait(target: Target, *_: Any) -> Any:
        return container(host=target.host, job=target.job)

    monkeypatch.setattr(trial, "wait_until_answering", wait)
    return aws


def file_with(folder: Path, request: dict[str, Any]) -> str:
    path = folder / "job.json"
    path.write_text(json.dumps(request))
    return str(path)


VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
IMAGE = {**TRAINING["AlgorithmSpecification"], "ContainerEntrypoint": ["run"]}
BERT = {**TRAINING, "AlgorithmSpecification": IMAGE, "VpcConfig": VPC}


def test_the_job_of_a_file_is_created_and_the_last_line_is_the_ssh_command(
    account: FakeAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["launch", file_with(tmp_path, BERT)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "ssh sm-bert\n"
    [request] = [given for name, given in account.calls if name == "CreateTrainingJob"]
    assert request["RoleArn"] == BERT["RoleArn"]
    assert request["Environment"]["EMPTY"] == ""
    assert "SM_PROXY_AUTHORIZED_KEY" in request["Environment"]


def test_a_processing_job_has_its_kind_in_the_host_name(
    account: FakeAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = {**PROCESSING["AppSpecification"], "ContainerEntrypoint": ["run"]}
    request = {**PROCESSING, "AppSpecification": program, "NetworkConfig": {"VpcConfig": VPC}}
    assert cli.main(["launch", file_with(tmp_path, request)]) == 0
    assert capsys.readouterr().out == "ssh sm-prepare.processing\n"


def test_a_dry_run_shows_all_changes_and_makes_none(
    account: FakeAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--name", "other", "--instance-type", "ml.g5.xlarge", "--dry-run", "--json"]
    assert cli.main(["launch", file_with(tmp_path, BERT), *words]) == 0
    data = answer(capsys)["data"]
    assert (data["operation"], data["job"], data["host"], data["submitted"]) == (
        "CreateTrainingJob",
        "other",
        "sm-other",
        False,
    )
    assert data["request"]["TrainingJobName"] == "other"
    assert data["request"]["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"
    paths = [change["path"] for change in data["changes"]]
    assert {"TrainingJobName", "ResourceConfig.InstanceType"} < set(paths)
    assert "CreateTrainingJob" not in account.operations()


def test_a_smaller_job_runs_on_one_node(
    account: FakeAws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = {**BERT["ResourceConfig"], "InstanceCount": 4, "InstanceType": "ml.m5.24xlarge"}
    path = file_with(tmp_path, {**BERT, "ResourceConfig": many})
    assert cli.main(["launch", path, "--smaller", "--dry-run", "--json"]) == 0
    resources = answer(capsys)["data"]["request"]["ResourceConfig"]
    assert (resources["InstanceType"], resources["InstanceCount"]) == ("ml.m5.large", 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [({**BERT, "Enviroment": {}}, 2), ({**BERT, "EnableNetworkIsolation": True}, 1)],
    ids=["misspelled", "isolated"],
)
def test_nothing_is_sent_after_a_refusal(
    account: FakeAws, tmp_path: Path, request_: dict[str, Any], status: int
) -> None:
    assert cli.main(["launch", file_with(tmp_path, request_)]) == status
    assert account.calls == []
