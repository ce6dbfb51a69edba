from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws import botocore_session, clients, clock, models
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import load as load_settings
from tests.aws.local_service import LocalService

TOKEN = "IQoJb3JpZ2luX2VjEJr" * 10


class Server(LocalService):
    """AWS behind one endpoint: gives its answers in order and then repeats the last."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = [(200, {})]
        self.requests: list[dict[str, Any]] = []
        self.ahead_s = 0.0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                server.requests.append({"headers": dict(self.headers), "body": body})
                answers = server.answers
                status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def date_time_string(self, timestamp: float | None = None) -> str:
                del timestamp
                return formatdate(time.time() + server.ahead_s, usegmt=True)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def fails_with(self, code: str, times: int | None = None, status: int = 400) -> None:
        refusal = (status, {"__type": code, "message": "words"})
        self.answers = [refusal] if times is None else [refusal] * times + [(200, {"x": 1})]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of botocore and of ours, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", slept.append)
    return slept


def describe(aws: Aws | None = None) -> dict[str, Any]:
    return (aws or Aws(region="eu-west-1")).call(
        "sagemaker", "DescribeTrainingJob", TrainingJobName="x"
    )


def refused(aws: Aws | None = None) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        describe(aws)
    assert TOKEN not in caught.value.line
    return caught.value


def test_a_call_returns_the_response(server: Server) -> None:
    server.answers = [(200, {"TrainingJobName": "x"})]
    assert describe()["TrainingJobName"] == "x"
    (request,) = server.requests
    headers = request["headers"]
    assert headers["X-Amz-Target"] == "SageMaker.DescribeTrainingJob"
    assert "/eu-west-1/sagemaker/aws4_request" in headers["Authorization"]
    assert "sm-proxy/" in headers["User-Agent"]
    assert json.loads(request["body"]) == {"TrainingJobName": "x"}


@pytest.mark.parametrize("ahead_s", [-7200, -240, 0, 240, 7200])
@pytest.mark.parametrize("status", [200, 400])
def test_now_is_the_services_time(server: Server, ahead_s: int, status: int) -> None:
    server.ahead_s = ahead_s
    server.answers = [(status, {"__type": "ValidationException", "message": "words"})]
    aws = Aws(region="eu-west-1")
    assert aws.clock_offset_s == 0
    with contextlib.suppress(ServiceError):
        describe(aws)
    off = (aws.now() - datetime.now(timezone.utc)).total_seconds()
    assert off == pytest.approx(ahead_s, abs=60)


@pytest.mark.parametrize("date", ["", "yesterday", "Sat, 99 Nov 2026 00:00:00 GMT", None])
def test_a_response_without_a_date_changes_no_clock(date: str | None) -> None:
    headers = {} if date is None else {"date": date}
    assert clock.offset_s({"ResponseMetadata": {"HTTPHeaders": headers}}) is None
    assert clock.offset_s({}) is None


@pytest.mark.parametrize("code", ["RequestExpired", "AuthFailure", "SignatureDoesNotMatch"])
@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_a_refused_signature_blames_a_wrong_clock(server: Server, code: str, ahead_s: int) -> None:
    server.fails_with(code)
    assert "clock" not in refused().hint
    server.ahead_s = ahead_s
    assert (refused().code, refused().hint) == ("no-credentials", "Set this machine's clock.")


def test_threads_share_one_client_per_service(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws(region="eu-west-1")
    made: list[str] = []
    real = aws._session.create_client

    def create_client(service: str, **options: Any) -> Any:
        made.append(service)
        return real(service, **options)

    monkeypatch.setattr(aws._session, "create_client", create_client)
    threads = [threading.Thread(target=describe, args=(aws,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert made == ["sagemaker"]
    assert len(server.requests) == 4


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_throttled_call_is_repeated(server: Server, times: int, pauses: list[float]) -> None:
    server.fails_with("ThrottlingException", times)
    describe()
    assert len(server.requests) == times + 1
    assert len(pauses) == times


def test_a_throttled_call_ends_after_some_tries(server: Server, pauses: list[float]) -> None:
    server.fails_with("ThrottlingException")
    error = refused()
    assert error.code == "throttled"
    assert "sagemaker:DescribeTrainingJob" in error.message
    assert len(server.requests) == 9
    assert 0.8 < sum(pauses) < 14


def test_a_repeated_upload_begins_again(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    sent: list[bytes] = []

    def call(_: Aws, __: str, ___: str, parameters: dict[str, Any], ____: None) -> Any:
        sent.append(parameters["Body"].read())
        if len(sent) < 3:
            raise SmProxyError("throttled", "slow down")
        return {}

    monkeypatch.setattr(Aws, "_call", call)
    Aws(region="eu-west-1").call("s3", "PutObject", Body=io.BytesIO(b"zip"))
    assert sent == [b"zip"] * 3


def test_the_pauses_are_random(server: Server, pauses: list[float]) -> None:
    server.fails_with("ThrottlingException")
    refused()
    first = list(pauses)
    pauses.clear()
    refused()
    assert pauses != first
    for index, (shortest, longest) in zip((2, 5), clients._THROTTLE_PAUSES_S, strict=True):
        assert shortest <= pauses[index] <= longest


def test_a_server_error_is_tried_again(server: Server) -> None:
    server.fails_with("InternalFailure", 2, status=500)
    describe()
    server.fails_with("InternalFailure", status=500)
    with pytest.raises(ServiceError, match="InternalFailure"):
        describe()


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("AccessDeniedException", "access-denied"),
        ("ExpiredTokenException", "expired-credentials"),
        ("UnrecognizedClientException", "no-credentials"),
    ],
)
def test_a_refusal_is_not_tried_again(
    server: Server, code: str, ours: str, pauses: list[float]
) -> None:
    server.fails_with(code)
    assert refused().code == ours
    assert len(server.requests) == 1
    assert pauses == []


def test_a_response_that_is_not_aws_is_an_error(server: Server) -> None:
    server.answers = [(200, b"<html>Please log in to the hotel's network<br></html>")]
    with pytest.raises(SmProxyError) as caught:
        Aws(region="eu-west-1").call("ec2", "DescribeSubnets")
    assert caught.value.code == "network"


def test_an_endpoint_without_a_server_is_a_network_error(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    error = refused()
    assert error.code == "network"
    assert "VPN" in error.hint
    assert len(pauses) == 2


def test_an_unreachable_endpoint_is_reported_within_15_s() -> None:
    attempts, timeout = botocore_session._ATTEMPTS, botocore_session._CONNECT_S
    pauses = sum(2**number for number in range(attempts - 1)) / 2  # on average
    assert attempts * timeout + pauses < 15


@pytest.mark.parametrize("named", [{}, {"profile": "mine", "region": "eu-central-1"}])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"AWS_PROFILE": "a"},
        {"AWS_PROFILE": "a", "AWS_DEFAULT_PROFILE": "b"},
        {"AWS_DEFAULT_REGION": "eu-west-3"},
        {"AWS_DEFAULT_REGION": "eu-west-3", "AWS_REGION": "eu-west-2"},
        {"AWS_REGION": "eu-west-2"},
        {"AWS_DEFAULT_REGION": ""},
    ],
)
def test_profile_and_region_are_botocores(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: dict[str, Any]
) -> None:
    """We read the variables ourselves, so that a connection without calls needs no botocore."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    config = Path(os.environ["AWS_CONFIG_FILE"])
    config.parent.mkdir(parents=True)
    profiles = "".join(f"[profile {name}]\nregion = eu-north-1\n" for name in ("a", "b", "mine"))
    config.write_text(f"[default]\nregion = eu-south-1\n{profiles}")
    aws = Aws(**named)
    ours = (aws.profile or "", aws.region)
    theirs = aws.session
    assert ours == (theirs.profile or "", theirs.get_config_variable("region") or "")


def test_s3_may_take_a_minute_to_answer(server: Server) -> None:
    config: Any = Aws(region="eu-west-1")._client("s3").meta.config
    assert (config.read_timeout, config.connect_timeout) == (60, 4)


def test_a_missing_region_is_an_error(server: Server) -> None:
    error = refused(Aws())
    assert (error.code, "AWS_REGION" in error.hint) == ("bad-setting", True)
    assert server.requests == []


def test_the_region_of_the_profile_counts(server: Server, tmp_path: Path) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(
        "[profile p]\nregion = eu-north-1\naws_access_key_id = AKIAPROFILE\n"
        "aws_secret_access_key = x\n"
    )
    aws = Aws(profile="p")
    assert aws.region == "eu-north-1"
    describe(aws)
    assert "=AKIAPROFILE/" in server.requests[0]["headers"]["Authorization"]
    assert "/eu-north-1/" in server.requests[0]["headers"]["Authorization"]
    assert Aws().region == ""


def test_keys_in_the_environment_win_over_the_profile_of_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everywhere in AWS: only a profile named on the command line wins over them."""
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text("[profile p]\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_PROFILE", "p")
    settings = load_settings()
    aws = Aws(settings.profile, settings.region)
    describe(aws)
    assert "=AKIAIOSFODNN7EXAMPLE/" in server.requests[0]["headers"]["Authorization"]
    assert "/eu-north-1/" in server.requests[0]["headers"]["Authorization"]
    assert aws.profile == "p"


def test_an_unknown_profile_is_an_error() -> None:
    error = refused(Aws(profile="nonsense", region="eu-west-1"))
    assert error.code == "no-credentials"
    assert "nonsense" in error.message


def test_missing_credentials_are_an_error(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert refused().code == "no-credentials"
    assert server.requests == []


@pytest.mark.parametrize(
    ("process", "code"),
    [
        ("/nonexistent/program", "aws-error"),
        ("sh -c 'echo no json'", "aws-error"),
        ("sh -c 'echo who are you? >&2; exit 1'", "no-credentials"),
    ],
)
def test_a_failing_credential_process_is_an_error(
    process: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(f"[default]\ncredential_process = {process}\n")
    assert refused().code == code
    assert server.requests == []


@pytest.mark.parametrize("url", ["nonsense", "http://"])
def test_an_endpoint_that_is_not_a_url_is_an_error(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    error = refused()
    assert error.code in {"aws-error", "network"}


def test_a_broken_config_file_is_an_error(tmp_path: Path, server: Server) -> None:
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text("region = eu-west-1\n")
    assert refused().code == "aws-error"
    assert server.requests == []


def test_a_call_with_wrong_parameters_is_a_bug(server: Server) -> None:
    with pytest.raises(Exception, match="TrainingJobName"):
        Aws(region="eu-west-1").call("sagemaker", "DescribeTrainingJob")
    assert server.requests == []


def test_a_library_may_use_a_client(server: Server) -> None:
    aws = Aws(region="eu-west-1")
    client: Any
    server.answers = [(200, {"TrainingJobName": "x"}), (400, {"__type": "AccessDeniedException"})]
    with aws.client("sagemaker") as client:
        assert client.describe_training_job(TrainingJobName="x")["TrainingJobName"] == "x"
    with (
        pytest.raises(SmProxyError, match="sagemaker:DescribeTrainingJob is denied") as caught,
        aws.client("sagemaker") as client,
    ):
        client.describe_training_job(TrainingJobName="x")
    assert caught.value.code == "access-denied"
    with aws.client("s3", "http://10.0.0.1") as client:
        assert client.meta.endpoint_url == "http://10.0.0.1"
    with aws.client("s3") as client:
        assert client.meta.endpoint_url == server.url


@pytest.mark.parametrize(("once", "asked"), [(True, 1), (False, 3)])
def test_a_call_that_is_made_once_is_not_repeated_by_botocore(
    server: Server, monkeypatch: pytest.MonkeyPatch, *, once: bool, asked: int
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    server.fails_with("InternalFailure", status=500)
    aws = Aws(region="eu-west-1")
    call = aws.call_once if once else aws.call
    with pytest.raises(ServiceError) as caught:
        call("sagemaker", "DescribeSpace", DomainId="d-x", SpaceName="x")
    assert caught.value.error == "InternalFailure"
    assert len(server.requests) == asked


def test_a_call_that_botocore_does_not_know_says_which_botocore_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(models.OPERATIONS, "sagemaker", ("DescribeSpace",))
    with pytest.raises(SmProxyError) as caught:
        Aws(region="eu-west-1").call_once("sagemaker", "StartSession", ResourceIdentifier="x")
    assert caught.value.code == "unsupported"
    assert "does not know sagemaker:StartSession" in caught.value.message
    assert "botocore>=1.39.3" in caught.value.hint
    with pytest.raises(SmProxyError) as again:
        Aws(region="eu-west-1").refuse_unknown("sagemaker", "StartSession")
    assert again.value.line == caught.value.line
