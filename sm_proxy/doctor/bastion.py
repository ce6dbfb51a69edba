"""The bastion: tagged, running, its way to SSM, its agent."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor import groups
from sm_proxy.doctor.findings import Patient, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import network
from sm_proxy.routes import bastion as route

_HTTPS: Final = 443
_ENDPOINTS: Final = ("ssm", "ssmmessages")
"""What an agent of version 3 talks to (AWS documentation of Session Manager's prerequisites)."""


def running(patient: Patient) -> str:
    """An instance that may serve, and runs."""
    wanted = patient.settings.bastion
    if wanted:
        found = _instances(patient, InstanceIds=[wanted])
    else:
        filters = [{"Name": f"tag:{route.TAG}", "Values": [route.TAG_VALUE]}]
        if patient.job is not None:
            vpc_id = network.describe(patient.aws, patient.job.subnets).vpc_id
            filters.append({"Name": "vpc-id", "Values": [vpc_id]})
        found = _instances(patient, Filters=filters)
    states = {item["InstanceId"]: item.get("State", {}).get("Name", "?") for item in found}
    up = sorted(name for name, state in states.items() if state == "running")
    if not up:
        raise _none(patient, states)
    serving = _serving(patient, up)
    patient.bastion = next(item for item in found if item["InstanceId"] == serving)
    return serving


def _serving(patient: Patient, up: list[str]) -> str:
    """The one that a connection would take; the first where it would take none."""
    if len(up) > 1:
        with contextlib.suppress(SmProxyError):
            return route.usable(patient.aws, up)
    return up[0]


def _none(patient: Patient, states: dict[str, str]) -> SmProxyError:
    there = [name for name, state in states.items() if state in {"stopped", "stopping"}]
    shown = ", ".join(f"{name} is {state}" for name, state in states.items())
    where = f" --region {patient.aws.region}"
    what = patient.settings.bastion or f"an instance with the tag {route.TAG}={route.TAG_VALUE}"
    if there:
        start = f"aws ec2 start-instances --instance-ids {there[0]}{where}"
        return SmProxyError("no-bastion", f"the bastion does not run: {shown}", start)
    pair = f"Key={route.TAG},Value={route.TAG_VALUE}"
    tag = f"aws ec2 create-tags --tags {pair}{where} --resources ID"
    return SmProxyError("no-bastion", f"there is no {what}", f"Tag one: {tag}")


def agent(patient: Patient) -> str:
    """SSM sees the agent, and it is new enough."""
    target = needed(patient.bastion, "the bastion")["InstanceId"]
    known = _information(patient, target)
    status = known.get("PingStatus", "unknown to SSM")
    if status != "Online":
        raise SmProxyError(
            "bastion-offline",
            f"the agent of {target} is {status}",
            "Its instance profile needs AmazonSSMManagedInstanceCore; then restart it with: "
            f"aws ec2 reboot-instances --instance-ids {target} --region {patient.aws.region}",
        )
    version = str(known.get("AgentVersion") or "")
    parts = tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))
    if version and parts < route.OLDEST_AGENT:
        raise SmProxyError(
            "agent-too-old",
            f"the agent of {target} is {version}, and it takes 3.1.1374.0",
            f"aws ssm send-command --document-name AWS-UpdateSSMAgent --instance-ids {target}"
            f" --region {patient.aws.region}",
        )
    return f"Online, version {version or 'unknown'}"


def _information(patient: Patient, target: str) -> dict[str, Any]:
    try:
        answer = patient.aws.call(
            "ssm",
            "DescribeInstanceInformation",
            Filters=[{"Key": "InstanceIds", "Values": [target]}],
        )
    except ServiceError as error:
        raise SkipCheck(f"SSM does not tell: {error.error}") from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        raise SkipCheck("ssm:DescribeInstanceInformation is denied") from None
    return next(iter(answer.get("InstanceInformationList", [])), {})


def way_out(patient: Patient) -> str:
    """A default route, or endpoints, lead from the bastion's subnet to SSM."""
    instance = needed(patient.bastion, "the bastion")
    subnet, vpc_id = needed(instance.get("SubnetId"), "the bastion's subnet"), instance["VpcId"]
    if _way_out(patient, instance):
        return f"{subnet} has a default route"
    there = _endpoints(patient, vpc_id)
    missing = [name for name in _ENDPOINTS if name not in there]
    if not missing:
        return f"{vpc_id} has endpoints for {', '.join(_ENDPOINTS)}"
    if _information(patient, instance["InstanceId"]).get("PingStatus") == "Online":
        return "the agent is online, by a way of its own"
    raise SmProxyError(
        "bastion-offline",
        f"nothing leads from {subnet} to SSM: no route to a NAT or internet gateway, and "
        f"{vpc_id} has no endpoint for {', '.join(missing)}",
        f"Add the endpoints, or a NAT: https://{patient.aws.region}.console.aws.amazon.com/"
        f"vpcconsole/home?region={patient.aws.region}#Endpoints:",
    )


def endpoint_groups(patient: Patient) -> str:
    """The security groups of the VPC's endpoints let the bastion in on HTTPS.

    Where there is an endpoint, its name leads there even if there is a NAT as well.
    """
    instance = needed(patient.bastion, "the bastion")
    found = _endpoints(patient, needed(instance.get("VpcId"), "the bastion's VPC"))
    guarded = {name: found[name] for name in _ENDPOINTS if found.get(name)}
    if not guarded:
        raise SkipCheck("the VPC has no endpoints for SSM with security groups")
    rules = groups.described(patient, {group for ids in guarded.values() for group in ids})
    address = str(instance.get("PrivateIpAddress", ""))
    own = [str(item["GroupId"]) for item in instance.get("SecurityGroups", [])]
    closed = [
        name
        for name, ids in guarded.items()
        if not groups.lets_in(rules, ids, port=_HTTPS, address=address, peers=own)
    ]
    if not closed:
        return f"{', '.join(guarded)} let {address} in"
    if _information(patient, instance["InstanceId"]).get("PingStatus") == "Online":
        return "the agent is online, by a way of its own"
    group, source = (
        guarded[closed[0]][0],
        f"--source-group {own[0]}" if own else f"--cidr {address}/32",
    )
    raise SmProxyError(
        "bastion-offline",
        f"no ingress rule of {group}, a group of the endpoint for {closed[0]}, lets TCP from "
        f"{address} to port {_HTTPS} pass",
        f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp"
        f" --port {_HTTPS} {source} --region {patient.aws.region}",
    )


def _way_out(patient: Patient, instance: dict[str, Any]) -> bool:
    """A default route that works; an internet gateway serves public addresses only."""
    subnet, vpc_id = instance["SubnetId"], instance["VpcId"]
    public = bool(instance.get("PublicIpAddress"))
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
    tables = groups.looked(patient, "DescribeRouteTables", Filters=filters).get("RouteTables", [])
    own = [item for item in tables if any(a.get("SubnetId") == subnet for a in _joined(item))]
    main = [item for item in tables if any(a.get("Main") for a in _joined(item))]
    return any(
        route_.get("DestinationCidrBlock") == "0.0.0.0/0"
        and route_.get("State") != "blackhole"
        and (public or not str(route_.get("GatewayId", "")).startswith("igw-"))
        for table in (own or main)
        for route_ in table.get("Routes", [])
    )


def _joined(table: dict[str, Any]) -> list[dict[str, Any]]:
    return list(table.get("Associations", []))


def _endpoints(patient: Patient, vpc_id: str) -> dict[str, list[str]]:
    """The services for which the VPC has an endpoint that works, with its security groups."""
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
    found = groups.looked(patient, "DescribeVpcEndpoints", Filters=filters).get("VpcEndpoints", [])
    usable = [item for item in found if str(item.get("State", "")).lower() == "available"]
    return {
        str(item["ServiceName"]).rpartition(".")[2]: [
            str(group["GroupId"]) for group in item.get("Groups", [])
        ]
        for item in usable
    }


def _instances(patient: Patient, **asked: Any) -> list[dict[str, Any]]:
    try:
        answer = patient.aws.call("ec2", "DescribeInstances", **asked)
    except ServiceError as error:
        if error.error.startswith("InvalidInstanceID"):
            return []
        raise error.as_failure() from None
    except SmProxyError as error:
        if error.code != "access-denied" or not patient.settings.bastion:
            raise
        patient.bastion = {"InstanceId": patient.settings.bastion}
        raise SkipCheck("ec2:DescribeInstances is denied, and the bastion was named") from None
    return [item for group in answer.get("Reservations", []) for item in group["Instances"]]
