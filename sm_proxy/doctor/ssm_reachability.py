"""Checks of the bastion's route to SSM: a default route, or endpoints that admit it."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy.aws import security_rules, subnet_egress
from sm_proxy.doctor import bastion, security_groups
from sm_proxy.doctor.check import Context, SkipCheck, needed
from sm_proxy.errors import SmProxyError

_HTTPS: Final = 443
_ENDPOINTS: Final = ("ssm", "ssmmessages")
"""The services that an agent of version 3 calls (AWS documentation of the prerequisites)."""


def way_to_ssm(context: Context) -> str:
    """The bastion's subnet has a default route, or its VPC has endpoints for SSM."""
    instance = needed(context.hop, "the bastion")
    subnet, vpc_id = needed(instance.get("SubnetId"), "the bastion's subnet"), instance["VpcId"]
    if _default_route(context, instance):
        return f"{subnet} has a default route"
    found = _endpoints(context, vpc_id)
    missing = [name for name in _ENDPOINTS if name not in found]
    if not missing:
        return f"{vpc_id} has endpoints for {', '.join(_ENDPOINTS)}"
    if _online(context, instance):
        return "the agent is online by another route"
    raise SmProxyError(
        "bastion-offline",
        f"there is no way from {subnet} to SSM: no route to a NAT or internet gateway, and "
        f"{vpc_id} has no endpoint for {', '.join(missing)}",
        f"Add the endpoints, or a NAT: https://{context.aws.region}.console.aws.amazon.com/"
        f"vpcconsole/home?region={context.aws.region}#Endpoints:",
    )


def endpoint_groups(context: Context) -> str:
    """The security groups of the VPC's endpoints admit the bastion on HTTPS.

    An endpoint takes over the service's name, so it is used even if there is a NAT.
    """
    instance = needed(context.hop, "the bastion")
    found = _endpoints(context, needed(instance.get("VpcId"), "the bastion's VPC"))
    guarded = {name: found[name] for name in _ENDPOINTS if found.get(name)}
    if not guarded:
        raise SkipCheck("the VPC has no endpoints for SSM with security groups")
    rules = security_groups.describe_groups(
        context, {group for ids in guarded.values() for group in ids}
    )
    address = str(instance.get("PrivateIpAddress", ""))
    own = [str(item["GroupId"]) for item in instance.get("SecurityGroups", [])]
    for name, ids in guarded.items():
        if not security_rules.lets("in", rules, ids, port=_HTTPS, address=address, peers=own):
            if _online(context, instance):
                return "the agent is online by another route"
            raise _closed(context, name, ids[0], f"--source-group {own[0]}" if own else "")
    return f"{', '.join(guarded)} admit {address}"


def _closed(context: Context, service: str, group: str, source: str) -> SmProxyError:
    address = needed(context.hop, "the bastion")["PrivateIpAddress"]
    return SmProxyError(
        "bastion-offline",
        f"no ingress rule of {group}, a group of the endpoint for {service}, allows TCP from "
        f"{address} to port {_HTTPS}",
        f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp"
        f" --port {_HTTPS} {source or f'--cidr {address}/32'} --region {context.aws.region}",
    )


def _online(context: Context, instance: dict[str, Any]) -> bool:
    known = bastion.information(context, instance["InstanceId"])
    return bool(known.get("PingStatus") == "Online")


def _default_route(context: Context, instance: dict[str, Any]) -> bool:
    """Whether a default route works; an internet gateway serves only public addresses."""
    subnet, vpc_id = instance["SubnetId"], instance["VpcId"]
    public = bool(instance.get("PublicIpAddress"))
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
    tables = security_groups.ask_ec2(context, "DescribeRouteTables", Filters=filters).get(
        "RouteTables", []
    )
    found = subnet_egress.tables_of(tables, subnet)
    return any(subnet_egress.leads_out(table, public=public) for table in found)


def _endpoints(context: Context, vpc_id: str) -> dict[str, list[str]]:
    """The VPC's available endpoints for SSM: service to the ids of its security groups."""
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
    found = security_groups.ask_ec2(context, "DescribeVpcEndpoints", Filters=filters).get(
        "VpcEndpoints", []
    )
    by_service = {name: subnet_egress.endpoints_for(found, name) for name in _ENDPOINTS}
    return {name: subnet_egress.groups_of(items) for name, items in by_service.items() if items}
