"""EC2 Instance Connect Endpoints: EC2's records of them, and who may open a tunnel.

Moto does not have them. The service's answers to a request for a tunnel are not documented: codes
and messages are the lab's.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.ec2 import filters, listed, reply
from sm_proxy_lab.aws.http.errors import AwsError, Reply
from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call

SERVICE: Final = "ec2-instance-connect"
_PORTS: Final = ("22", "3389")
_LONGEST_S: Final = 3600
_READY: Final = "create-complete"


class ConnectEndpoints:
    """The endpoints of all regions.

    Args:
        admit: refuses a request for a tunnel that its caller may not make.
    """

    def __init__(self, admit: Callable[[Call], None]) -> None:
        self._admit = admit
        self._endpoints: dict[str, dict[str, str]] = {}
        self.ec2: dict[str, Callable[[Call], Reply]] = {
            "CreateInstanceConnectEndpoint": self._create,
            "DeleteInstanceConnectEndpoint": self._delete,
            "DescribeInstanceConnectEndpoints": self._describe,
        }

    def open_tunnel(self, call: Call) -> dict[str, Any]:
        """Check a request for a tunnel; return what the gateway has to know.

        Raises:
            AwsError: The tunnel is refused.
        """
        call.service, call.operation, call.protocol = SERVICE, "OpenTunnel", "rest-json"
        self._admit(call)
        given = {name: values[0] for name, values in parse_qs(call.query).items()}
        endpoint = self._endpoints.get(given.get("instanceConnectEndpointId", ""))
        if endpoint is None or endpoint["region"] != call.region:
            raise AwsError("ResourceNotFoundException", "The endpoint does not exist.", 404)
        if call.headers.get("host", "").endswith(".amazonaws.com") and (
            call.headers["host"] != endpoint["dnsName"]
        ):
            raise AwsError("ValidationException", "The host is not the endpoint's.")
        if given.get("remotePort") not in _PORTS:
            raise AwsError("ValidationException", "remotePort must be 22 or 3389.")
        address = given.get("privateIpAddress", "")
        if not _is_in(address, endpoint["block"]):
            raise AwsError("ValidationException", f"{address} is no address in the endpoint's VPC.")
        duration = given.get("maxTunnelDuration", str(_LONGEST_S))
        if not duration.isdecimal() or not 1 <= int(duration) <= _LONGEST_S:
            raise AwsError("ValidationException", "maxTunnelDuration must be from 1 to 3600.")
        return {"address": address, "port": int(given["remotePort"]), "limit_s": int(duration)}

    def _create(self, call: Call) -> Reply:
        subnet_id = str(call.params.get("SubnetId", ""))
        subnet = records.subnet(call.region, subnet_id)
        if subnet is None:
            message = f"The subnet ID '{subnet_id}' does not exist"
            raise AwsError("InvalidSubnetID.NotFound", message)
        name = f"eice-{secrets.token_hex(9)[:17]}"
        prefix, suffix = f"{name}.{secrets.token_hex(4)}", f"{call.region}.amazonaws.com"
        self._endpoints[name] = {
            "ownerId": ACCOUNT,
            "instanceConnectEndpointId": name,
            "instanceConnectEndpointArn": call.arn("ec2", f"instance-connect-endpoint/{name}"),
            "state": _READY,
            "stateMessage": "",
            "dnsName": f"{prefix}.ec2-instance-connect-endpoint.{suffix}",
            "fipsDnsName": f"{prefix}.fips.ec2-instance-connect-endpoint.{suffix}",
            "availabilityZone": subnet.zone,
            "createdAt": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "preserveClientIp": "false",
            "vpcId": subnet.vpc_id,
            "subnetId": subnet_id,
            # Not shown:
            "region": call.region,
            "block": subnet.vpc_block,
        }
        return reply(
            call, f"<instanceConnectEndpoint>{self._shown(name)}</instanceConnectEndpoint>"
        )

    def _delete(self, call: Call) -> Reply:
        name = str(call.params.get("InstanceConnectEndpointId", ""))
        if name not in self._endpoints:
            raise _missing(name)
        shown = self._shown(name)
        del self._endpoints[name]
        return reply(call, f"<instanceConnectEndpoint>{shown}</instanceConnectEndpoint>")

    def _describe(self, call: Call) -> Reply:
        named = list(listed(call.params, "InstanceConnectEndpointId"))
        for name in named:
            if name not in self._endpoints:
                raise _missing(name)
        members = {
            "vpc-id": "vpcId",
            "subnet-id": "subnetId",
            "state": "state",
            "instance-connect-endpoint-id": "instanceConnectEndpointId",
        }
        found = [
            item
            for name, item in self._endpoints.items()
            if item["region"] == call.region and (not named or name in named)
        ]
        for name, values in filters(call.params).items():
            if name not in members:
                raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
            found = [item for item in found if item[members[name]] in values]
        items = "".join(
            f"<item>{self._shown(item['instanceConnectEndpointId'])}</item>" for item in found
        )
        return reply(call, f"<instanceConnectEndpointSet>{items}</instanceConnectEndpointSet>")

    def _shown(self, name: str) -> str:
        hidden = {"region", "block"}
        return "".join(
            f"<{key}>{escape(value)}</{key}>"
            for key, value in self._endpoints[name].items()
            if key not in hidden
        )


def _missing(name: str) -> AwsError:
    message = f"The instanceConnectEndpoint ID '{name}' does not exist"
    return AwsError("InvalidInstanceConnectEndpointId.NotFound", message)


def _is_in(address: str, block: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(block)
    except ValueError:
        return False
