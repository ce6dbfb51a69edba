"""What the request shows is refused before AWS is asked anything; nothing is ever sent after it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session

from sm_proxy import cli
from sm_proxy.commands import relaunch
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import trial
from sm_proxy.launch.prepare import prepare
from sm_proxy.launch.request import Ssh, refuse
from sm_proxy.launch.shapes import Operation
from tests.fakes import FakeAws
from tests.launch.newer import needs
from tests.launch.relaunching import account, failed
from tests.launch.request_test import NUMBERS, REFUSALS, algorithm, channels_named

_SESSION = Session()


@pytest.mark.parametrize(
    ("request_", "ssh", "code", "hint"), REFUSALS, ids=[f"{c}-{h}" for _, _, c, h in REFUSALS]
)
def test_the_request_alone_is_refused_before_any_call(
    request_: dict[str, Any], ssh: Ssh, code: str, hint: str
) -> None:
    operation: Operation = (
        "CreateTrainingJob" if "TrainingJobName" in request_ else "CreateProcessingJob"
    )
    aws = FakeAws()
    with pytest.raises(SmProxyError) as pure:
        refuse(operation, request_, ssh)
    with pytest.raises(SmProxyError) as caught:
        prepare(aws, operation, request_, ssh)
    assert caught.value.line == pure.value.line
    assert aws.calls == []


PRIVATE = {"TrainingImageConfig": {"TrainingRepositoryAccessMode": "Vpc"}}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param(
            {"ServerlessJobConfig": {"JobType": "FineTuning"}},
            "serverless",
            marks=needs("CreateTrainingJob", "ServerlessJobConfig"),
        ),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "unsupported"),
        (algorithm(AlgorithmName="arn"), "unsupported"),
        (algorithm(**PRIVATE), "image-unreadable"),
        ({"EnableNetworkIsolation": True}, "network-isolation"),
        ({"InputDataConfig": channels_named(*NUMBERS[:20])}, "request-limit"),
        ({"InputDataConfig": channels_named("sm_proxy")}, "unsupported"),
        ({"Environment": dict.fromkeys(NUMBERS, "")}, "request-limit"),
    ],
)
def test_a_relaunch_that_is_refused_creates_uploads_and_copies_nothing(
    changes: dict[str, Any],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    aws = account(failed(**changes))
    monkeypatch.setattr(relaunch, "Aws", lambda *_: aws)
    monkeypatch.setattr(FakeAws, "session", _SESSION)
    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))
    assert cli.main(["relaunch", "my-job"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"sm-proxy: {code}: ")
    assert aws.operations() == ["DescribeTrainingJob", "DescribeTrainingJob", "ListTags"]
