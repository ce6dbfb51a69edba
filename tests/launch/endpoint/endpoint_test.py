"""botocore clients, as in a user's program, before the endpoint and a service that records."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.launch.endpoint import upstream
from sm_proxy.launch.endpoint.endpoint import Endpoint
from sm_proxy.launch.endpoint.held_keys import HeldKeys
from sm_proxy.launch.endpoint.http_server import LoopbackServer, Request
from sm_proxy.launch.shapes import Operation
from tests.aws.local_service import LocalService
from tests.aws.network_test import served
from tests.launch.endpoint.signatures_test import signed
from tests.ssm.service import certificate
from tests.waits import await_true

KEY, SECRET, TOKEN = "AKIAOWNKEY", "a secret", "a session token"
JOB = {
    "TrainingJobName": "bert",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/of-the-job",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {
        "InstanceType": "ml.m5.large",
        "InstanceCount": 1,
        "VolumeSizeInGB": 1,
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


@dataclass
class Service:
    """SageMaker, played: it records requests, and answers as it is told.

    Attributes:
        url: of the service.
        answers: status and body by operation; `{}` for others.
        requests: headers in lower case, and body, of all requests so far.
    """

    url: str = ""
    answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(headers.get("content-length", 0)))
        self.requests.append(({**headers, "path": handler.path}, body))
        planned = self.answers.get(headers["x-amz-target"].partition(".")[2], [(200, b"{}")])
        status, answer = planned.pop(0) if len(planned) > 1 else planned[0]
        handler.send_response(status)
        for name, value in self.extra.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

    @property
    def names(self) -> list[str]:
        """The operations, in order."""
        return [headers["x-amz-target"].partition(".")[2] for headers, _ in self.requests]


@pytest.fixture
def service() -> Iterator[Service]:
    played = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            played.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    local = LocalService(Handler)
    played.url = local.url
    yield played
    local.close()


@dataclass
class Scene:
    """The endpoint of a run, and what it told.

    Attributes:
        add_ssh: what to do with a job's request.
        told: jobs, and the code of the reason why one has no ssh.
        added: the requests that `add_ssh` got.
    """

    service: Service
    add_ssh: Callable[[dict[str, Any]], dict[str, Any]]
    told: list[tuple[str, str | None]] = field(default_factory=list)
    added: list[tuple[Aws, Operation, dict[str, Any]]] = field(default_factory=list)
    endpoint: Endpoint = field(init=False)
    url: str = ""

    def __post_init__(self) -> None:
        self.endpoint = Endpoint(HeldKeys([_opened(None)], _opened), self._add, self._tell)

    def _add(self, aws: Aws, operation: Operation, request: dict[str, Any]) -> dict[str, Any]:
        self.added.append((aws, operation, request))
        return self.add_ssh(request)

    def _tell(self, operation: Operation, job: str, problem: SmProxyError | None) -> None:
        assert operation == "CreateTrainingJob"
        self.told.append((job, problem.code if problem else None))

    def client(
        self,
        region: str = "eu-west-1",
        keys: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> BaseClient:
        """A client as a user's program makes it."""
        given = {"key": KEY, "secret": SECRET, "token": TOKEN, **(keys or {})}
        return botocore.session.Session().create_client(
            "sagemaker",
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=given["key"],
            aws_secret_access_key=given["secret"],
            aws_session_token=given["token"],
            config=Config(**{"retries": {"total_max_attempts": 1}, **options}),
        )


def with_ssh(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "Environment": {"SM_PROXY_AUTHORIZED_KEY": "a key"}}


@pytest.fixture
def scene(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", service.url)
    found = Scene(service, with_ssh)
    with LoopbackServer(found.endpoint.handle, found.endpoint.admits) as server:
        found.url = server.url + found.endpoint.path
        yield found


def _opened(name: str | None) -> Aws:
    return Aws(name, "eu-west-1", terminal=False)


def error_of(client: BaseClient, **job: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        client.create_training_job(**{**JOB, **job})  # type: ignore[attr-defined]
    return {**caught.value.response["Error"], **caught.value.response["ResponseMetadata"]}


def test_a_job_gets_ssh_and_is_reported(scene: Scene) -> None:
    scene.client().create_training_job(**JOB)  # type: ignore[attr-defined]
    [(headers, body)] = scene.service.requests
    assert json.loads(body) == with_ssh(JOB)
    assert headers["path"] == "/"
    assert headers["host"] == scene.service.url.removeprefix("http://")
    assert scene.told == [("bert", None)]
    [(aws, operation, request)] = scene.added
    assert (aws.region, operation, request) == ("eu-west-1", "CreateTrainingJob", JOB)


def test_the_new_signature_has_our_keys_and_the_region_of_the_request(scene: Scene) -> None:
    scene.client("us-west-2").create_training_job(**JOB)  # type: ignore[attr-defined]
    [(headers, _)] = scene.service.requests
    assert f"Credential={KEY}/" in headers["authorization"]
    assert "/us-west-2/sagemaker/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == TOKEN
    assert scene.added[0][0].region == "us-west-2"


def test_other_requests_pass_unchanged(scene: Scene) -> None:
    scene.service.answers["DescribeTrainingJob"] = [(200, b'{"TrainingJobName":   "bert"}')]
    scene.service.extra["x-amzn-RequestId"] = "an id"
    answer = scene.client().describe_training_job(TrainingJobName="bert")  # type: ignore[attr-defined]
    assert answer["TrainingJobName"] == "bert"
    assert answer["ResponseMetadata"]["RequestId"] == "an id"
    assert scene.service.requests[0][1] == b'{"TrainingJobName": "bert"}'
    assert scene.told == []


def test_jobs_that_aws_creates_itself_are_noted(scene: Scene) -> None:
    client = scene.client()
    pipeline = {"PipelineName": "p", "ClientRequestToken": "x" * 32}
    client.start_pipeline_execution(**pipeline)  # type: ignore[attr-defined]
    assert scene.endpoint.inside == {"StartPipelineExecution"}
    assert scene.told == []


def test_errors_of_the_service_pass_unchanged(scene: Scene) -> None:
    body = b'{"__type": "ResourceInUse", "Message": "a  job of that name"}'
    scene.service.answers["CreateTrainingJob"] = [(400, body)]
    found = error_of(scene.client())
    assert (found["Code"], found["Message"]) == ("ResourceInUse", "a  job of that name")
    assert found["HTTPStatusCode"] == 400
    assert scene.service.names == ["CreateTrainingJob"]
    assert scene.told == []


def test_a_job_that_cannot_have_ssh_passes_unchanged(scene: Scene) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise SmProxyError("network-isolation", "it is isolated", "Leave it.")

    scene.add_ssh = refuse
    scene.client().create_training_job(**JOB)  # type: ignore[attr-defined]
    assert json.loads(scene.service.requests[0][1]) == JOB
    assert scene.told == [("bert", "network-isolation")]


def test_a_job_that_has_ssh_already_passes_byte_for_byte(scene: Scene) -> None:
    scene.add_ssh = dict
    scene.client().create_training_job(**JOB)  # type: ignore[attr-defined]
    assert scene.service.requests[0][1] == json.dumps(JOB).encode()
    assert scene.told == [("bert", None)]


def test_a_job_that_the_service_refuses_with_ssh_runs_without(scene: Scene) -> None:
    refusal = b'{"__type": "com.amazon#ValidationException", "message": "no such subnet"}'
    scene.service.answers["CreateTrainingJob"] = [(400, refusal), (200, b"{}")]
    scene.client().create_training_job(**JOB)  # type: ignore[attr-defined]
    assert [json.loads(body) for _, body in scene.service.requests] == [with_ssh(JOB), JOB]
    assert scene.told == [("bert", "aws-error")]


def test_a_job_that_the_service_refuses_in_any_case_fails_with_its_own_error(scene: Scene) -> None:
    plain = b'{"__type": "ValidationException", "message": "a bad role"}'
    with_us = b'{"__type": "ValidationException", "message": "a bad subnet"}'
    scene.service.answers["CreateTrainingJob"] = [(400, with_us), (400, plain)]
    assert error_of(scene.client())["Message"] == "a bad role"
    assert scene.told == []


@pytest.mark.parametrize(
    "keys",
    [
        {"key": "AKIAFOREIGN"},
        {"secret": "guessed"},
        {"token": "another"},
        {"token": None},
    ],
    ids=["id", "secret", "token", "no token"],
)
def test_a_request_with_other_keys_is_not_passed_on(
    scene: Scene, keys: dict[str, str | None]
) -> None:
    found = error_of(scene.client(keys=keys))
    assert found["HTTPStatusCode"] == 403
    assert found["Code"] == "AccessDeniedException"
    assert "sm_proxy.sagemaker.enable_ssh" in found["Message"]
    assert scene.service.requests == []
    assert scene.endpoint.came == 1


@pytest.mark.parametrize("target", ["/", "/x", "{path}x", "{other}/", "//", "http://x/{path}"])
def test_without_the_token_nothing_is_revealed(scene: Scene, target: str) -> None:
    path = scene.endpoint.path
    other = path[:-1] + ("0" if path[-1] != "0" else "1")
    request = Request("POST", target.format(path=path, other=other), (), b"")
    response = scene.endpoint.handle(request)
    assert (response.status, list(response.chunks)) == (404, [])
    assert scene.endpoint.came == 0


def test_each_run_has_another_token(scene: Scene) -> None:
    other = Endpoint(HeldKeys([_opened(None)], _opened), scene._add, scene._tell)
    assert other.path != scene.endpoint.path
    assert len(other.path) >= 32


def test_an_unsigned_request_is_refused(scene: Scene) -> None:
    request = Request("POST", f"{scene.endpoint.path}/", (("host", "x"),), b"{}")
    assert scene.endpoint.handle(request).status == 403
    assert scene.service.requests == []


def test_errors_for_the_client_have_no_secret() -> None:
    problem = SmProxyError("network", "the proxy http://me:hunter2@proxy refuses", "")
    (body,) = upstream.unreachable(problem).chunks
    assert b"hunter2" not in body
    assert b"proxy refuses" in body


def test_a_service_that_cannot_be_reached_may_be_tried_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "http://127.0.0.1:1")
    found = error_of(scene.client())
    assert (found["HTTPStatusCode"], found["Code"]) == (503, "ServiceUnavailable")
    assert "network" in found["Message"] or "connect" in found["Message"]


def test_the_service_is_reached_through_the_users_proxy(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", scene.service.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", "http://sagemaker.example/below")
    scene.client().list_tags(ResourceArn="arn")  # type: ignore[attr-defined]
    assert scene.service.requests[0][0]["path"] == "http://sagemaker.example/below/"
    assert scene.service.requests[0][0]["host"] == "sagemaker.example"


def test_the_certificate_of_the_service_is_checked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    context, ca = certificate(tmp_path)
    with served(context) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"https://127.0.0.1:{port}")
        describe = scene.client().describe_training_job  # type: ignore[attr-defined]
        with pytest.raises(ClientError, match="SSL validation failed"):
            describe(TrainingJobName="x")
        monkeypatch.setenv("AWS_CA_BUNDLE", ca)
        other = Scene(scene.service, with_ssh)
        with LoopbackServer(other.endpoint.handle, other.endpoint.admits) as server:
            other.url = server.url + other.endpoint.path
            client = other.client()
            answer = client.describe_training_job(TrainingJobName="x")  # type: ignore[attr-defined]
    assert answer["TrainingJobName"] == "x"


def test_a_client_that_gives_up_and_tries_again_creates_one_job(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)

    def slow(request: dict[str, Any]) -> dict[str, Any]:
        await_true(lambda: scene.endpoint.came > 1, 60)
        return with_ssh(request)

    scene.add_ssh = slow
    client = scene.client(read_timeout=0.5, retries={"total_max_attempts": 100})
    client.create_training_job(**JOB)  # type: ignore[attr-defined]
    assert len(scene.added) == 1
    assert [json.loads(body) for _, body in scene.service.requests] == [with_ssh(JOB)]
    assert scene.told == [("bert", None)]


def test_a_program_that_creates_a_job_twice_sees_the_answer_of_each(scene: Scene) -> None:
    in_use = b'{"__type": "ResourceInUse", "message": "a job of that name"}'
    scene.service.answers["CreateTrainingJob"] = [(200, b"{}"), (400, in_use)]
    client = scene.client()
    client.create_training_job(**JOB)  # type: ignore[attr-defined]
    assert error_of(client)["Code"] == "ResourceInUse"


def test_a_call_that_fails_is_tried_again_with_ssh(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    busy = b'{"__type": "ThrottlingException", "message": "slow down"}'
    scene.service.answers["CreateTrainingJob"] = [(400, busy), (500, b""), (200, b"{}")]
    client = scene.client(retries={"total_max_attempts": 3})
    client.create_training_job(**JOB)  # type: ignore[attr-defined]
    assert [json.loads(body) for _, body in scene.service.requests] == [with_ssh(JOB)] * 3
    assert scene.told == [("bert", None)]


def test_jobs_are_made_side_by_side(scene: Scene) -> None:
    both = threading.Barrier(2, timeout=30)

    def together(request: dict[str, Any]) -> dict[str, Any]:
        both.wait()
        return with_ssh(request)

    scene.add_ssh = together
    client = scene.client()
    calls = [
        threading.Thread(
            target=lambda name=name: client.create_training_job(**{**JOB, "TrainingJobName": name})  # type: ignore[attr-defined]
        )
        for name in ("one", "two")
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join(30)
    assert sorted(scene.told) == [("one", None), ("two", None)]


def test_a_job_runs_without_ssh_if_we_have_a_bug(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    scene.add_ssh = broken
    scene.client().create_training_job(**JOB)  # type: ignore[attr-defined]
    assert json.loads(scene.service.requests[0][1]) == JOB
    assert scene.told == [("bert", "bug")]


def test_a_body_that_is_no_json_passes_unchanged(scene: Scene) -> None:
    client = scene.client()

    def gibberish(request: Any, **_: Any) -> None:
        request.data = b"gibberish"

    client.meta.events.register("before-sign.sagemaker.CreateTrainingJob", gibberish)
    client.create_training_job(**JOB)  # type: ignore[attr-defined]
    assert scene.service.requests[0][1] == b"gibberish"
    assert scene.told == [("", "unsupported")]


def test_a_compressed_answer_passes_as_it_is(scene: Scene) -> None:
    packed = gzip.compress(b"{}")
    scene.service.answers["ListTags"] = [(200, packed)]
    scene.service.extra["Content-Encoding"] = "gzip"
    keys = ReadOnlyCredentials(KEY, SECRET, TOKEN)
    answer = scene.endpoint.handle(signed(keys, target=f"{scene.endpoint.path}/"))
    assert b"".join(answer.chunks) == packed
    assert dict(answer.headers)["content-encoding"] == "gzip"


def test_no_secret_is_in_the_debug_log(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    monkeypatch.setenv("SM_PROXY_LOG", "debug")
    scene.client().create_training_job(**JOB)  # type: ignore[attr-defined]
    err = capsys.readouterr().err
    assert "CreateTrainingJob" in err
    for secret in (SECRET, TOKEN, scene.endpoint.path, "Signature"):
        assert secret not in err
