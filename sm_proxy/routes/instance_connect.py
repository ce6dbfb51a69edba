"""The route through an EC2 Instance Connect Endpoint: a websocket that AWS ends inside the VPC.

It needs no bastion, no SSM and nothing on the container; the endpoint costs nothing. AWS allows the
ports 22 and 3389, an hour for each tunnel, 20 tunnels for an endpoint, and slows bulk data down
("Connect using EC2 Instance Connect Endpoint" in the EC2 guide). It documents instances only: that
it reaches a container of SageMaker is not confirmed by an account.

The AWS SDKs have no call for it. The URL, its parameters and its signature are those of the AWS CLI
(C: customizations/ec2instanceconnect).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlencode

from sm_proxy.aws import network, signed_url
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError, printable
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output, threads
from sm_proxy.routes.verdict import NO_ADDRESS, Verdict
from sm_proxy.settings import Settings
from sm_proxy.ssm import transport
from sm_proxy.ssm.transport import DisconnectedError, RefusedError, UnreachableError, WebSocket
from sm_proxy.state.cache import Cache
from sm_proxy.tunnel.websocket_stream import WebSocketStream

MENDABLE: Final[frozenset[Code]] = frozenset({"access-denied", "route-unusable"})
NAME: Final = "instance-connect"
DIALS_FROM: Final = "endpoint"
PORTS: Final = (22, 3389)
"""The only ports that an endpoint connects to."""
PERMISSION: Final = "ec2-instance-connect:OpenTunnel"
_SERVICE: Final = "ec2-instance-connect"
READY: Final = ("create-complete", "update-complete", "update-failed", "update-in-progress")
"""States in which an endpoint serves (C: ec2instanceconnect/eicefetcher.py)."""
_VALID_S: Final = 60
_DENIED: Final = (401, 403)
_CACHE: Final = "connect-endpoints"
_FOUND_S: Final = 3600.0
_MISSING_S: Final = 60.0
"""An endpoint may just be in creation."""


@dataclass(frozen=True)
class Endpoint:
    """An Instance Connect Endpoint.

    Attributes:
        id: `eice-...`.
        host: its DNS name.
        block: the address block of its subnet; empty if it is not needed or not known.
    """

    id: str
    host: str
    block: str = ""


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """Whether the container's VPC has an endpoint, which allows the port; asks AWS once an hour.

    Raises:
        SmProxyError: AWS cannot be asked, except for a permission.
    """
    del settings
    if not container.address or not container.vpc_id:
        return NO_ADDRESS
    if container.port not in PORTS:
        return _refused(
            f"an Instance Connect Endpoint allows the ports 22 and 3389, not {container.port}",
            "Set SM_PROXY_PORT=22 in the job's environment.",
        )
    try:
        endpoint = find(container, aws)
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        return Verdict.refused(error)
    if endpoint is None:
        return _refused(
            f"{container.vpc_id} has no EC2 Instance Connect Endpoint",
            "Create one: aws ec2 create-instance-connect-endpoint --subnet-id SUBNET",
        )
    return Verdict(usable=True, reason=f"{endpoint.id} is in {container.vpc_id}")


def connect(container: Container, settings: Settings, aws: Aws) -> WebSocketStream:
    """Open a stream to the container's port through the endpoint of its VPC.

    Raises:
        SmProxyError: there is no endpoint, access is denied, or the tunnel cannot be opened.
    """
    del settings
    endpoint = threads.run(find, container, aws)
    if endpoint is None:
        what = f"{container.vpc_id} has no EC2 Instance Connect Endpoint"
        raise SmProxyError("route-unusable", what, "")
    output.status(
        f"connecting through the EC2 Instance Connect Endpoint {endpoint.id}: a tunnel lasts at "
        "most an hour (this route has not been tried on AWS yet)"
    )
    try:
        websocket = threads.run(_open, endpoint, container, aws)
    except DisconnectedError as error:
        forget(container, aws)  # it may have been deleted
        raise _explained(error, endpoint) from None
    debug_log.write("tunnel open", endpoint=endpoint.id)
    return WebSocketStream(
        websocket, f"{NAME} {endpoint.id}", lambda *end: _ended(endpoint, container, *end)
    )


def find(container: Container, aws: Aws) -> Endpoint | None:
    """The endpoint of a container's VPC, one of the same subnet if there is; from the cache.

    Raises:
        SmProxyError: AWS cannot be asked.
    """
    cache, vpc_id = Cache(_CACHE), str(container.vpc_id)
    with cache.alone(aws.scope, vpc_id):
        record = cache.load(aws.scope, vpc_id)
        if record is None:
            record = {"endpoints": [asdict(endpoint) for endpoint in _ask(vpc_id, aws)]}
            expires = time.time() + (_FOUND_S if record["endpoints"] else _MISSING_S)
            cache.save(aws.scope, vpc_id, record=record, expires=expires)
    endpoints = [Endpoint(**item) for item in record["endpoints"]]
    address = ip_address(str(container.address))
    near = [item for item in endpoints if item.block and address in ip_network(item.block)]
    return next(iter([*near, *endpoints]), None)


def forget(container: Container, aws: Aws) -> None:
    """Let the next `find` ask AWS."""
    Cache(_CACHE).forget(aws.scope, str(container.vpc_id))


def _ask(vpc_id: str, aws: Aws) -> list[Endpoint]:
    """The endpoints of a VPC by their id; of several, with the address blocks of their subnets."""
    filters = [
        {"Name": "vpc-id", "Values": [vpc_id]},
        {"Name": "state", "Values": list(READY)},
    ]
    try:
        answer = aws.call("ec2", "DescribeInstanceConnectEndpoints", Filters=filters)
    except ServiceError as error:
        raise error.as_failure() from None
    found = answer.get("InstanceConnectEndpoints", [])
    blocks: dict[str, str] = {}
    if len(found) > 1:
        ids = sorted({item["SubnetId"] for item in found})
        subnets = aws.call_if_allowed("ec2", "DescribeSubnets", SubnetIds=ids) or {}
        blocks = {subnet["SubnetId"]: subnet["CidrBlock"] for subnet in subnets.get("Subnets", [])}
    endpoints = [
        Endpoint(
            item["InstanceConnectEndpointId"], _host(item, aws), blocks.get(item["SubnetId"], "")
        )
        for item in found
    ]
    return sorted(endpoints, key=lambda endpoint: endpoint.id)


def _host(endpoint: dict[str, Any], aws: Aws) -> str:
    wants_fips = aws.session.get_config_variable("use_fips_endpoint")
    return str((endpoint.get("FipsDnsName") if wants_fips else "") or endpoint["DnsName"])


def _open(endpoint: Endpoint, container: Container, aws: Aws) -> WebSocket:
    asked = {
        "instanceConnectEndpointId": endpoint.id,
        "remotePort": container.port,
        "privateIpAddress": container.address,
    }
    url = f"wss://{endpoint.host}/openTunnel?{urlencode(asked)}"
    url = aws.stream_url(url, network.TUNNELS)
    return transport.connect(signed_url.sign(aws, _SERVICE, url, _VALID_S), aws.network)


def _explained(error: DisconnectedError, endpoint: Endpoint) -> SmProxyError:
    """The error for a tunnel that could not be opened."""
    if isinstance(error, UnreachableError):
        hint = "Check the network, proxy and VPN: an Instance Connect Endpoint has its own host."
        return SmProxyError("network", f"the tunnel cannot be opened: {error}", hint)
    words = str(error)
    if isinstance(error, RefusedError):
        words = f"HTTP {error.status} {printable(error.body)}".rstrip()
    what = f"the Instance Connect Endpoint {endpoint.id} refuses the tunnel: {words}"
    if isinstance(error, RefusedError) and _is_denial(error):
        hint = f"Your policy needs {PERMISSION}; it may limit port, address and duration."
        return SmProxyError("access-denied", what, hint)
    hint = "Look at the endpoint's state; it has at most 20 tunnels at a time."
    return SmProxyError("connect-refused", what, hint, mendable=True)


def _is_denial(error: RefusedError) -> bool:
    return error.status in _DENIED or "AccessDenied" in error.body


def _ended(endpoint: Endpoint, container: Container, reason: str, answered: bool) -> SmProxyError:
    """The error for a tunnel that did not end cleanly."""
    what = f"the Instance Connect Endpoint {endpoint.id} ended the tunnel: {printable(reason)}"
    if answered:
        return SmProxyError("session-lost", what, "Connect again: a tunnel lasts at most an hour.")
    return SmProxyError(
        "connect-refused",
        what,
        f"Let the endpoint's security group in on port {container.port} of the job's, and check "
        f"that the SSH server runs: sm-proxy doctor {container.host}",
    )


def _refused(reason: str, hint: str) -> Verdict:
    return Verdict.refused(SmProxyError("route-unusable", reason, hint))
