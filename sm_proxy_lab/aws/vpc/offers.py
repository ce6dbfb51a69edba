"""What a region offers: its availability zones, and the services that VPC endpoints lead to.

Moto's zones lack their opt-in status. Its list of services imports all of moto, which is not
installed here, and has one pattern of names for all partitions.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.http import ec2
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.errors import Reply

_GATEWAYS: Final = ("dynamodb", "s3")
_INTERFACES: Final = (
    *("autoscaling", "cloudformation", "codebuild", "ec2", "ec2messages", "ecr.api", "ecr.dkr"),
    *("elasticfilesystem", "events", "kms", "logs", "monitoring", "s3", "sagemaker.api"),
    *("sagemaker.runtime", "secretsmanager", "ssm", "ssmmessages", "sts"),
)
_OTHER_IN_CHINA: Final = {
    *("ec2", "ecr.api", "ecr.dkr", "s3", "sagemaker.api", "sagemaker.runtime", "sts")
}
"""Interfaces whose names begin with `cn.` there: see vpc-endpoint.ts of the AWS CDK."""
_PAGE: Final = 1000
_ZONE_TYPE: Final = "<zoneType>availability-zone</zoneType>"


class Offers:
    """The operations of EC2."""

    def __init__(self, moto: Callable[[Call], Reply]) -> None:
        self._moto = moto
        self.ec2: dict[str, Callable[[Call], Reply]] = {
            "DescribeAvailabilityZones": self._zones,
            "DescribeVpcEndpointServices": self._services,
        }

    def _zones(self, call: Call) -> Reply:
        reply = self._moto(call)
        more = {
            "optInStatus": "opt-in-not-required",
            "groupName": f"{call.region}-zg-1",
            "networkBorderGroup": call.region,
        }
        body = reply.body.decode().replace(_ZONE_TYPE, _ZONE_TYPE + ec2.write(more))
        return type(reply)(reply.status, body.encode(), reply.headers)

    @staticmethod
    def _services(call: Call) -> Reply:
        named = set(ec2.listed(call.params, "ServiceName"))
        found = [item for item in _offered(call) if not named or item["serviceName"] in named]
        if missing := named - {str(item["serviceName"]) for item in found}:
            message = f"The Vpc Endpoint Service '{min(missing)}' does not exist"
            raise AwsError("InvalidServiceName", message)
        for name, values in ec2.filters(call.params).items():
            if name == "service-name":
                found = [item for item in found if item["serviceName"] in values]
            elif name == "service-type":
                found = [item for item in found if item["serviceType"][0]["serviceType"] in values]
            else:
                raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        size = int(call.params.get("MaxResults", _PAGE))
        invalid = AwsError("InvalidNextToken", "The token is invalid.")
        shown, token = page_tokens.page(found, call.params.get("NextToken"), size, invalid)
        answer = {
            "serviceNameSet": sorted({item["serviceName"] for item in shown}),
            "serviceDetailSet": shown,
            "nextToken": token,
        }
        return ec2.reply(call, ec2.write(answer))


def check(call: Call) -> None:
    """Refuse an endpoint for a service that the region does not have.

    Raises:
        AwsError: InvalidServiceName.
    """
    if call.operation != "CreateVpcEndpoint":
        return
    name, kind = call.params.get("ServiceName", ""), call.params.get("VpcEndpointType", "Gateway")
    offered = {
        (item["serviceName"], item["serviceType"][0]["serviceType"]) for item in _offered(call)
    }
    if (name, kind) not in offered:
        message = f"The Vpc Endpoint Service '{name}' does not exist"
        raise AwsError("InvalidServiceName", message)


def _offered(call: Call) -> list[dict[str, Any]]:
    zones = _names(call.region)
    suffix = "amazonaws.com.cn" if call.partition == "aws-cn" else "amazonaws.com"
    found: list[dict[str, Any]] = []
    for name, kind in _all():
        prefix = "com.amazonaws"
        if call.partition == "aws-cn" and kind == "Interface" and name in _OTHER_IN_CHINA:
            prefix = "cn.com.amazonaws"
        full = f"{prefix}.{call.region}.{name}"
        number = hashlib.sha256(f"{full}{kind}".encode()).hexdigest()[:17]
        found.append(
            {
                "serviceName": full,
                "serviceId": f"vpce-svc-{number}",
                "serviceType": [{"serviceType": kind}],
                "availabilityZoneSet": zones,
                "owner": "amazon",
                "baseEndpointDnsNameSet": [f"{name}.{call.region}.{suffix}"],
                "vpcEndpointPolicySupported": True,
                "acceptanceRequired": False,
                "managesVpcEndpoints": False,
            }
        )
    return sorted(found, key=lambda item: str(item["serviceName"]))


def _all() -> Iterator[tuple[str, str]]:
    for name in _GATEWAYS:
        yield name, "Gateway"
    for name in _INTERFACES:
        yield name, "Interface"


def _names(region: str) -> list[str]:
    """The names of a region's zones."""
    from moto.ec2.models.availability_zones_and_regions import (  # noqa: PLC0415 - loaded anyway
        RegionsAndZonesBackend,
    )

    return [str(zone.name) for zone in RegionsAndZonesBackend.zones.get(region, [])]
