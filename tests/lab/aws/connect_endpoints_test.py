"""Requests for a tunnel of an Instance Connect Endpoint, signed by botocore."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sm_proxy_lab import account
from tests.lab.aws.harness import REGION, Lab, vpc_config

UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.fixture
def endpoint(lab: Lab) -> Iterator[dict[str, Any]]:
    """An endpoint in the default VPC."""
    ec2 = lab.client("ec2")
    subnet = vpc_config(lab)["Subnets"][0]
    made = ec2.create_instance_connect_endpoint(SubnetId=subnet)["InstanceConnectEndpoint"]
    yield {**made, "address": ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["CidrBlock"]}
    ec2.delete_instance_connect_endpoint(
        InstanceConnectEndpointId=made["InstanceConnectEndpointId"]
    )


def signed(
    lab: Lab,
    endpoint: dict[str, Any],
    *,
    secret: str = account.SECRET_KEY,
    key: str = account.ACCESS_KEY,
    expires: int = 60,
    region: str = REGION,
    token: str | None = None,
    **asked: str,
) -> str:
    """The path of a signed request for a tunnel to the fourth address of the endpoint's subnet."""
    query = {
        "instanceConnectEndpointId": endpoint["InstanceConnectEndpointId"],
        "remotePort": "22",
        "privateIpAddress": endpoint["address"].rpartition(".")[0] + ".4",
        **asked,
    }
    host = urlsplit(lab.endpoint).netloc
    request = AWSRequest("GET", url=f"http://{host}/openTunnel?{urlencode(query)}")
    credentials = Credentials(key, secret, token)
    SigV4QueryAuth(credentials, "ec2-instance-connect", region, expires).add_auth(request)
    parts = urlsplit(str(request.url))
    return f"{parts.path}?{parts.query}"


def answer(lab: Lab, path: str, host: str = "") -> tuple[int, str]:
    """The status and the text of the refusal of an upgrade."""
    parts = urlsplit(lab.endpoint)
    with socket.create_connection((str(parts.hostname), parts.port or 0), 60) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: {host or parts.netloc}\r\n{UPGRADE}\r\n"
        connection.sendall(head.encode())
        reply = connection.makefile("rb").read().decode()
    return int(reply.split()[1]), reply


def test_a_signed_request_is_handed_over_with_its_socket(
    lab: Lab, endpoint: dict[str, Any]
) -> None:
    place = lab.calls_file.with_name("tunnels.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(place))
        try:
            listener.listen()
            listener.settimeout(60)
            parts = urlsplit(lab.endpoint)
            path = signed(lab, endpoint, maxTunnelDuration="7")
            with socket.create_connection((str(parts.hostname), parts.port or 0), 60) as client:
                client.sendall(
                    f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{UPGRADE}\r\n".encode()
                )
                given, _ = listener.accept()
                with given:
                    data, handles, *_ = socket.recv_fds(given, 1 << 16, 1)
                with socket.socket(fileno=handles[0]) as theirs:
                    theirs.sendall(b"here")
                assert client.recv(4) == b"here"
        finally:
            place.unlink()
    request = json.loads(data)
    head = request.pop("head")
    assert head.startswith(f"GET {path} HTTP/1.1\r\n")
    assert head.endswith("\r\n\r\n")
    address = endpoint["address"].rpartition(".")[0] + ".4"
    assert request == {"address": address, "port": 22, "limit_s": 7}


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"secret": "another"}, 403, "InvalidSignatureException"),
        ({"key": "AKIASOMEBODYELSE0000"}, 403, "UnrecognizedClientException"),
        ({"token": "one"}, 403, "UnrecognizedClientException"),
        ({"expires": 0}, 403, "InvalidSignatureException"),
        ({"expires": 604_801}, 403, "InvalidSignatureException"),
        ({"instanceConnectEndpointId": "eice-0"}, 404, "ResourceNotFoundException"),
        ({"region": "eu-west-1"}, 404, "ResourceNotFoundException"),
        ({"remotePort": "2222"}, 400, "remotePort must be 22 or 3389"),
        ({"privateIpAddress": "192.0.2.4"}, 400, "is no address in the endpoint"),
        ({"privateIpAddress": "x"}, 400, "is no address in the endpoint"),
        ({"maxTunnelDuration": "3601"}, 400, "maxTunnelDuration"),
        ({"maxTunnelDuration": "0"}, 400, "maxTunnelDuration"),
    ],
)
def test_other_requests_are_refused(
    lab: Lab, endpoint: dict[str, Any], changes: dict[str, Any], status: int, word: str
) -> None:
    got, body = answer(lab, signed(lab, endpoint, **changes))
    assert (got, word in body) == (status, True), body


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.replace("remotePort=22", "remotePort=3389"),
        lambda path: path.partition("&X-Amz-Signature")[0],
        lambda path: path.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=x"),
        lambda path: path.replace("X-Amz-Date=2", "X-Amz-Date=1"),
    ],
)
def test_a_request_that_was_changed_after_signing_is_refused(
    lab: Lab, endpoint: dict[str, Any], damage: Any
) -> None:
    path = signed(lab, endpoint)
    assert damage(path) != path
    assert answer(lab, damage(path))[0] == 403


def test_the_host_is_signed(lab: Lab, endpoint: dict[str, Any]) -> None:
    assert answer(lab, signed(lab, endpoint), "127.0.0.1:1")[0] == 403


def test_a_denied_tunnel_is_named(lab: Lab, endpoint: dict[str, Any]) -> None:
    lab.control.faults(deny=["ec2-instance-connect:OpenTunnel"])
    status, body = answer(lab, signed(lab, endpoint))
    assert (status, "ec2-instance-connect:OpenTunnel" in body) == (403, True), body


def test_endpoints_are_found_by_their_vpc_and_state(lab: Lab, endpoint: dict[str, Any]) -> None:
    find = lab.client("ec2").describe_instance_connect_endpoints
    name = endpoint["InstanceConnectEndpointId"]

    def ids(vpc_id: str, state: str) -> list[str]:
        filters = [{"Name": "vpc-id", "Values": [vpc_id]}, {"Name": "state", "Values": [state]}]
        found = find(Filters=filters)["InstanceConnectEndpoints"]
        return [item["InstanceConnectEndpointId"] for item in found]

    assert name in ids(endpoint["VpcId"], "create-complete")
    assert ids("vpc-0", "create-complete") == []
    assert name not in ids(endpoint["VpcId"], "create-in-progress")
