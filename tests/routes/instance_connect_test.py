"""The route through an EC2 Instance Connect Endpoint: which one, what it asks for, what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials
from websockets.sync.server import ServerConnection

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.routes import instance_connect, table
from sm_proxy.routes.verdict import NO_ADDRESS
from sm_proxy.settings import Settings
from sm_proxy.ssm import transport
from sm_proxy.ssm.dial import UnreachableError
from sm_proxy.ssm.transport import DisconnectedError, RefusedError
from tests.fakes import Answers, FakeAws, container
from tests.ssm.service import service

DENIED = SmProxyError("access-denied", "ec2:DescribeInstanceConnectEndpoints is denied", "ask")
Asked = dict[str, str]


class Account(FakeAws):
    """An account with keys; its tunnels go to a port of this machine."""

    port = 9

    def keys(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials("AKID", "secret", "the-token")

    def stream_url(self, url: str, service: str = "ssmmessages") -> str:
        assert service == "ec2_instance_connect_endpoint"
        parts = urlsplit(url)
        return parts._replace(scheme="ws", netloc=f"127.0.0.1:{self.port}").geturl()


def endpoint(name: str, subnet: str = "subnet-1") -> dict[str, Any]:
    return {
        "InstanceConnectEndpointId": name,
        "SubnetId": subnet,
        "DnsName": f"{name}.example",
        "FipsDnsName": f"{name}.fips.example",
    }


def account(*endpoints: dict[str, Any], **more: Answers) -> Account:
    found: Answers = {"InstanceConnectEndpoints": list(endpoints)}
    return Account(**{"DescribeInstanceConnectEndpoints": found, **more})


def reached(**changes: Any) -> Container:
    return container(**{"port": 22, **changes})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (reached(address=None), NO_ADDRESS.reason),
        (reached(vpc_id=None), NO_ADDRESS.reason),
        (
            reached(port=2222),
            "an Instance Connect Endpoint allows the ports 22 and 3389, not 2222",
        ),
    ],
)
def test_a_container_that_no_endpoint_reaches_costs_no_call(found: Container, reason: str) -> None:
    aws = account()
    verdict = instance_connect.verdict(found, Settings(), aws)
    assert (verdict.usable, verdict.reason, aws.calls) == (False, reason, [])


def test_aws_is_asked_once_for_the_endpoints_that_serve() -> None:
    aws = account(endpoint("eice-1"))
    for _ in range(3):
        verdict = instance_connect.verdict(reached(), Settings(), aws)
        assert (verdict.usable, verdict.reason) == (True, "eice-1 is in vpc-1")
    ((operation, asked),) = aws.calls
    assert operation == "DescribeInstanceConnectEndpoints"
    assert asked["Filters"][0] == {"Name": "vpc-id", "Values": ["vpc-1"]}
    assert "create-complete" in asked["Filters"][1]["Values"]
    assert "create-in-progress" not in asked["Filters"][1]["Values"]


def test_an_endpoint_of_the_same_subnet_comes_first() -> None:
    blocks = [
        {"SubnetId": "subnet-1", "CidrBlock": "10.0.9.0/24"},
        {"SubnetId": "subnet-2", "CidrBlock": "10.0.0.0/20"},
    ]
    aws = account(
        endpoint("eice-1"), endpoint("eice-2", "subnet-2"), DescribeSubnets={"Subnets": blocks}
    )
    found = instance_connect.find(reached(), aws)
    assert found is not None
    assert (found.id, found.host) == ("eice-2", "eice-2.example")
    assert instance_connect.find(reached(address="10.0.9.5"), aws) == instance_connect.Endpoint(
        "eice-1", "eice-1.example", "10.0.9.0/24"
    )


def test_without_permission_to_describe_subnets_any_endpoint_serves() -> None:
    aws = account(endpoint("eice-2"), endpoint("eice-1"), DescribeSubnets=DENIED)
    found = instance_connect.find(reached(), aws)
    assert found is not None
    assert found.id == "eice-1"


@pytest.mark.parametrize(
    ("aws", "code", "reason"),
    [
        (account(), "route-unusable", "vpc-1 has no EC2 Instance Connect Endpoint"),
        (account(DescribeInstanceConnectEndpoints=DENIED), "access-denied", DENIED.message),
    ],
)
def test_the_verdict_says_what_is_missing(aws: Account, code: str, reason: str) -> None:
    verdict = instance_connect.verdict(reached(), Settings(), aws)
    assert (verdict.usable, verdict.reason) == (False, reason)
    assert verdict.error is not None
    assert (verdict.error.code, bool(verdict.error.hint)) == (code, True)


def test_a_service_that_fails_is_no_verdict() -> None:
    aws = account(DescribeInstanceConnectEndpoints=ServiceError("X", "broken", "ec2:x"))
    with pytest.raises(SmProxyError, match="broken"):
        instance_connect.verdict(reached(), Settings(), aws)


@contextmanager
def tunnels(aws: Account, script: Callable[[ServerConnection], None]) -> Iterator[list[str]]:
    """A server for the tunnels of an account; yields the paths that it was asked for."""
    asked: list[str] = []

    def serve(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append(connection.request.path)
        script(connection)

    with service(serve) as port:
        aws.port = port
        yield asked


def test_the_tunnel_is_asked_for_as_the_aws_cli_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    aws = account(endpoint("eice-1"))
    with tunnels(aws, lambda connection: connection.close()) as asked:
        stream = table.connect(reached(), Settings(route="instance-connect"), aws)
        stream.close()
        assert stream.through == "instance-connect eice-1"
    parts = urlsplit(asked[0])
    assert parts.path == "/openTunnel"
    given = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert {name: value for name, value in given.items() if not name.startswith("X-Amz-")} == {
        "instanceConnectEndpointId": "eice-1",
        "remotePort": "22",
        "privateIpAddress": "10.0.1.5",
    }
    assert given["X-Amz-Expires"] == "60"
    assert given["X-Amz-SignedHeaders"] == "host"
    assert given["X-Amz-Security-Token"] == "the-token"
    scope = given["X-Amz-Credential"].split("/")
    assert (scope[0], scope[2:]) == (
        "AKID",
        ["eu-west-1", "ec2-instance-connect", "aws4_request"],
    )
    said = capsys.readouterr().err
    assert "an hour" in said
    assert "not been tried on AWS" in said
    assert "X-Amz" not in said


def opened(aws: Account, error: DisconnectedError, monkeypatch: pytest.MonkeyPatch) -> SmProxyError:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(transport, "connect", refuse)
    with pytest.raises(SmProxyError) as caught:
        instance_connect.connect(reached(), Settings(), aws)
    assert caught.value.line.isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RefusedError("x", 403, '{"message":"User is not\nauthorized"}'), "access-denied", "HTTP"),
        (RefusedError("x", 400, "AccessDeniedException"), "access-denied", "HTTP 400"),
        (RefusedError("x", 429, ""), "connect-refused", "HTTP 429"),
        (DisconnectedError("the upgrade took too long"), "connect-refused", "took too long"),
        (UnreachableError("no route to host"), "network", "no route to host"),
    ],
)
def test_a_tunnel_that_cannot_be_opened_says_why(
    error: DisconnectedError, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = account(endpoint("eice-1"))
    found = opened(aws, error, monkeypatch)
    assert found.code == code
    assert words in found.message
    assert found.hint
    opened(aws, error, monkeypatch)
    assert len(aws.calls) == 2  # the endpoint may have been replaced, so AWS is asked again


@pytest.mark.parametrize(
    ("first", "code"), [(b"", "connect-refused"), (b"SSH-2.0-x\r\n", "session-lost")]
)
def test_a_tunnel_that_ends_says_the_endpoints_reason(first: bytes, code: str) -> None:
    def fail(connection: ServerConnection) -> None:
        if first:
            connection.send(first)
        connection.close(1011, "timed \x1b[31mout")

    aws = account(endpoint("eice-1"))
    with tunnels(aws, fail):
        stream = instance_connect.connect(reached(), Settings(), aws)
        try:
            while not stream.ended:
                stream.advance(0.0, readable=True)
                stream.read()
        finally:
            stream.close()
    assert isinstance(stream.failure, SmProxyError)
    assert stream.failure.code == code
    assert "timed" in stream.failure.message
    assert stream.failure.line.isprintable()
