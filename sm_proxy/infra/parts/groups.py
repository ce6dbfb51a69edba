"""The security groups, and the interface endpoints, which have one of them.

No rule names a block of addresses that may come in: only groups may.
"""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.infra import partition
from sm_proxy.infra.parts import network
from sm_proxy.infra.parts.resource import Resources, attribute, logical_name, name_tag, resource
from sm_proxy.infra.plan import Plan

_SSH: Final = (22, 2222)
"""Our entry point listens on 2222 if it is not root, if 22 is taken, and in jobs with MPI."""
_HTTPS: Final = 443
_EVERYWHERE: Final = "0.0.0.0/0"
_PRIVATE: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
"""Blocks of private addresses that a VPC may have (RFC 1918, RFC 6598)."""


def resources(plan: Plan) -> Resources:
    """The groups of jobs, bastion and endpoints. The rules that refer back are on their own."""
    found: Resources = {
        "JobGroup": _group(plan, "jobs", "sm-proxy: containers of jobs"),
        "BastionGroup": _group(
            plan,
            "bastion",
            "sm-proxy: the bastion, which nobody connects to",
            # DNS and time come from the VPC itself, which no rule concerns.
            SecurityGroupEgress=[
                _https(),
                *(
                    _rule(port, f"SSH to containers on {port}", "DestinationSecurityGroupId")
                    for port in _SSH
                ),
                *_to_other_groups(plan),
            ],
        ),
    }
    for port in _SSH:
        found[f"JobIngress{port}"] = resource(
            "EC2::SecurityGroupIngress",
            {
                "GroupId": attribute("GroupId", "JobGroup"),
                **_rule(port, "SSH from the bastion", "SourceSecurityGroupId", "BastionGroup"),
            },
        )
    # NCCL, MPI and EFA use more than SSH between the nodes of a job; EFA wants a rule for all.
    found["JobIngressSelf"] = resource(
        "EC2::SecurityGroupIngress",
        {
            "GroupId": attribute("GroupId", "JobGroup"),
            "IpProtocol": "-1",
            "SourceSecurityGroupId": attribute("GroupId", "JobGroup"),
            "Description": "everything between the nodes of jobs",
        },
    )
    return found | _endpoints(plan)


def _to_other_groups(plan: Plan) -> list[dict[str, Any]]:
    """Egress of the bastion to jobs with groups of their own, as an existing VPC has them.

    Those groups must still admit the bastion.
    """
    if plan.existing is None:
        return []
    return [
        {
            "IpProtocol": "tcp",
            "FromPort": port,
            "ToPort": port,
            "CidrIp": block,
            "Description": f"SSH to containers with other groups on {port}",
        }
        for port in _SSH
        for block in _PRIVATE
    ]


def _endpoints(plan: Plan) -> Resources:
    interfaces = {
        name: full for name, full in plan.endpoints.items() if name not in partition.GATEWAYS
    }
    if not interfaces:
        return {}
    found: Resources = {
        "EndpointGroup": _group(
            plan,
            "endpoints",
            "sm-proxy: interface endpoints",
            SecurityGroupIngress=[
                _rule(_HTTPS, "from jobs", "SourceSecurityGroupId"),
                _rule(_HTTPS, "from the bastion", "SourceSecurityGroupId", "BastionGroup"),
            ],
        )
    }
    for name, full in interfaces.items():
        found[f"{logical_name(name)}Endpoint"] = resource(
            "EC2::VPCEndpoint",
            {
                "VpcEndpointType": "Interface",
                "ServiceName": full,
                "VpcId": network.vpc(plan),
                "SubnetIds": list(network.private_subnets(plan)[: plan.endpoint_zones]),
                "SecurityGroupIds": [attribute("GroupId", "EndpointGroup")],
                "PrivateDnsEnabled": True,
            },
        )
    return found


def _group(plan: Plan, name: str, text: str, **rules: Any) -> dict[str, Any]:
    return resource(
        "EC2::SecurityGroup",
        {
            "GroupDescription": text,
            "VpcId": network.vpc(plan),
            **rules,
            "Tags": name_tag(name),
        },
    )


def _rule(port: int, text: str, side: str, group: str = "JobGroup") -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        side: attribute("GroupId", group),
        "Description": text,
    }


def _https() -> dict[str, Any]:
    return {
        "IpProtocol": "tcp",
        "FromPort": _HTTPS,
        "ToPort": _HTTPS,
        "CidrIp": _EVERYWHERE,
        "Description": "Session Manager and package updates",
    }
