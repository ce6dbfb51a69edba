"""HTTP, latency and many clients at once."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.lab.aws.harness import FakeGateway, Lab, start

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIALAB/20261123/us-east-1/sagemaker/aws4_request, "
    "SignedHeaders=host, Signature=0"
)


def connect(lab: Lab) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(lab.endpoint).netloc, timeout=60)


def post(
    connection: http.client.HTTPConnection, headers: dict[str, str], body: str = "{}"
) -> tuple[int, bytes]:
    connection.request("POST", "/", body, headers)
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (
            {"X-Amz-Target": "SageMaker.ListTrainingJobs"},
            "{}",
            400,
            "MissingAuthenticationTokenException",
        ),
        (
            {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Authorization": "Bearer x"},
            "{}",
            400,
            "IncompleteSignatureException",
        ),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            "Action=DescribeVpcs&Version=2016-11-15",
            400,
            "MissingParameter",
        ),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            "Action=GetCallerIdentity&Version=2011-06-15",
            403,
            "MissingAuthenticationToken",
        ),
        (
            {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Authorization": SIGNED},
            "[",
            400,
            "SerializationException",
        ),
        (
            {"X-Amz-Target": "SageMaker.MakeCoffee", "Authorization": SIGNED},
            "{}",
            400,
            "UnknownOperationException",
        ),
    ],
)
def test_a_bad_request_is_refused_as_aws_does(
    lab: Lab, headers: dict[str, str], body: str, status: int, code: str
) -> None:
    connection = connect(lab)
    got, text = post(connection, headers, body)
    connection.close()
    assert got == status
    assert code in text.decode()


def test_a_connection_is_kept_open(lab: Lab) -> None:
    connection = connect(lab)
    headers = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Authorization": SIGNED}
    post(connection, headers)
    kept = connection.sock
    for _ in range(5):
        assert post(connection, headers)[0] == 200
    assert kept is not None
    assert connection.sock is kept
    connection.close()


def test_a_chunked_body_is_read(lab: Lab) -> None:
    connection = connect(lab)
    headers = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Authorization": SIGNED}
    connection.request("POST", "/", iter([b'{"Max', b'Results": 5}']), headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 200


def test_the_endpoint_survives_malformed_requests(lab: Lab) -> None:
    connection = connect(lab)
    connection.connect()
    assert connection.sock is not None
    connection.sock.sendall(b"rubbish\r\n\r\n")
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 400 ")
    connection.close()
    lab.control.faults()


def test_many_clients_are_served_at_once(lab: Lab, new_job: Callable[..., str]) -> None:
    names = [new_job() for _ in range(4)]
    headers = {"X-Amz-Target": "SageMaker.DescribeTrainingJob", "Authorization": SIGNED}

    def client(number: int) -> set[int]:
        connection = connect(lab)
        body = json.dumps({"TrainingJobName": names[number % 4]})
        statuses = {post(connection, headers, body)[0] for _ in range(10)}
        connection.close()
        return statuses

    before = len(lab.calls())
    with ThreadPoolExecutor(64) as pool:
        assert set().union(*pool.map(client, range(64))) == {200}
    assert len(lab.calls()) - before == 640


def test_calls_to_several_services_are_served_at_once(lab: Lab, bastion: str) -> None:
    def client(number: int) -> Any:
        if number % 2:
            return lab.client("ec2").describe_instances(InstanceIds=[bastion])
        return lab.client("ssm").start_session(Target=bastion, DocumentName="AWS-StartSSHSession")

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(client, range(64)))) == 64


def _took(action: Callable[[], None]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def test_latency_is_added_in_each_direction(tmp_path: Path) -> None:
    with FakeGateway(tmp_path / "gateway.sock"):
        process, endpoint, _ = start(tmp_path, latency_ms=100)
        try:
            connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=60)
            headers = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Authorization": SIGNED}

            def control() -> None:
                connection.request("GET", "/_lab/faults")
                connection.getresponse().read()

            def call() -> None:
                assert post(connection, headers)[0] == 200

            # The shortest of several: a busy machine delays some, not all.
            assert min(_took(control) for _ in range(5)) < 0.2
            assert 0.2 <= min(_took(call) for _ in range(5)) < 0.4
            connection.close()
        finally:
            process.terminate()
            process.wait(60)
            assert process.stdout is not None
            process.stdout.close()
    assert process.returncode == 0
