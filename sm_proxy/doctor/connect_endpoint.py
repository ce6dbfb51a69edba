"""Check the EC2 Instance Connect Endpoint: there is one, it is ready, and where it dials from."""

from __future__ import annotations

from typing import Any

from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.doctor.security_groups import ask_ec2
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import instance_connect


def ready(context: Context) -> str:
    """An endpoint serves the container's VPC; without a job, any VPC."""
    container = context.container
    filters = []
    if container is not None:
        if not container.vpc_id:
            raise SkipCheck("the job runs outside a VPC")
        filters = [{"Name": "vpc-id", "Values": [container.vpc_id]}]
    answer = ask_ec2(context, "DescribeInstanceConnectEndpoints", Filters=filters)
    found = {
        str(item["InstanceConnectEndpointId"]): item
        for item in answer.get("InstanceConnectEndpoints", [])
    }
    up = sorted(name for name, item in found.items() if item.get("State") in instance_connect.READY)
    if not up:
        raise _none(context, found)
    chosen = None if container is None else instance_connect.find(container, context.aws)
    if container is not None and chosen is None:
        instance_connect.forget(container, context.aws)  # it was created a moment ago
    name = chosen.id if chosen is not None and chosen.id in up else up[0]
    context.hop = _as_hop(context, found[name])
    return f"{name} in {found[name].get('VpcId')}"


def _none(context: Context, found: dict[str, dict[str, Any]]) -> Exception:
    """Without a job, an endpoint is optional: other routes need none."""
    shown = ", ".join(f"{name} is {item.get('State')}" for name, item in found.items())
    if context.container is None:
        return SkipCheck(shown or f"{context.aws.region} has no EC2 Instance Connect Endpoint")
    what = f"{context.container.vpc_id} has no EC2 Instance Connect Endpoint that is ready"
    create = "aws ec2 create-instance-connect-endpoint --subnet-id SUBNET"
    return SmProxyError(
        "route-unusable",
        what + (f": {shown}" if shown else ""),
        f"{create} --region {context.aws.region}",
    )


def _as_hop(context: Context, endpoint: dict[str, Any]) -> dict[str, Any]:
    """The endpoint's interface, in the form of an instance.

    Its security groups are left out where its address is not known, or where the container sees the
    client's address instead: then they prove nothing.
    """
    hop = {"InstanceId": endpoint["InstanceConnectEndpointId"], "SubnetId": endpoint["SubnetId"]}
    interfaces = list(endpoint.get("NetworkInterfaceIds") or [])
    if endpoint.get("PreserveClientIp") or not interfaces:
        return hop
    try:
        answer = ask_ec2(context, "DescribeNetworkInterfaces", NetworkInterfaceIds=interfaces)
    except SkipCheck:
        return hop
    address = next(
        (item.get("PrivateIpAddress") for item in answer.get("NetworkInterfaces", [])), None
    )
    if not address:
        return hop
    groups = [{"GroupId": name} for name in endpoint.get("SecurityGroupIds") or []]
    return {**hop, "PrivateIpAddress": address, "SecurityGroups": groups}
