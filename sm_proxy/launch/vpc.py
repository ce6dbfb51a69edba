"""The network of a job: which one the bastion reaches, and whether it reaches the job there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import security_rules, subnet_egress
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.subnets import Subnets, describe_subnets
from sm_proxy.launch import limits
from sm_proxy.launch.caller import Caller
from sm_proxy.routes import bastion_lookup
from sm_proxy.settings import sources
from sm_proxy.settings.schema import LaunchNetwork

_NETWORK: Final = "--subnets subnet-... --security-groups sg-..."
_GROUP_GONE: Final = "InvalidGroup.NotFound"
_NOT_THERE: Final = frozenset(
    {
        *("InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed"),
        *(_GROUP_GONE, "InvalidGroupId.Malformed"),
    }
)
_NAME_THEM: Final = (
    f"Reach a training job with --remote-debug, or name a network that has a bastion: {_NETWORK}"
)

IN_SETTINGS: Final = "[launch] in config.toml"


@dataclass(frozen=True)
class Place:
    """Where a job's containers are.

    Attributes:
        subnets: their ids.
        security_groups: their ids.
    """

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]


def of_bastion(aws: Caller, bastion: str | None, ports: Sequence[int]) -> Place:
    """Subnets of the bastion's VPC, and a security group that lets it in to one of `ports`.

    It is the bastion's own subnet if S3 can be reached from there. A bastion may be in a public
    subnet, whose internet gateway does not serve a job; then it is all subnets that reach S3.

    Args:
        aws: for the calls.
        bastion: the instance's id, from the settings; None to find it by its tag, in any VPC.
        ports: on which the job's SSH server may listen.

    Raises:
        SmProxyError: `no-vpc`, unless there is exactly one; the hint names the options.
    """
    try:
        hosts = _bastions(aws, bastion)
        vpcs = sorted({str(item["VpcId"]) for item in hosts if item.get("VpcId")})
        if len(vpcs) != 1:
            found = f"there are bastions in {', '.join(vpcs)}" if vpcs else "there is no bastion"
            raise _no_vpc(f"the job has no VPC, and {found} to choose one by")
        filters = [{"Name": "vpc-id", "Values": vpcs}]
        rules = _by_id(aws.call("ec2", "DescribeSecurityGroups", Filters=filters))
        group = _admitting(rules, hosts, ports, vpcs[0])
        return Place(_subnets(aws, vpcs[0], hosts), (group,))
    except ServiceError as error:
        raise _no_vpc(f"the job has no VPC, and {error}") from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        raise _no_vpc(f"the job has no VPC, and {error.message}") from None


def of_settings(aws: Caller, network: LaunchNetwork) -> Place:
    """The network of the settings, if it still exists; unchecked if the call is denied.

    Raises:
        SmProxyError: `no-vpc`, there is no such subnet or security group; or a call fails.
    """
    place = Place(network.subnets, network.security_groups)
    try:
        aws.call("ec2", "DescribeSubnets", SubnetIds=list(place.subnets))
        aws.call("ec2", "DescribeSecurityGroups", GroupIds=list(place.security_groups))
    except ServiceError as error:
        if error.error not in _NOT_THERE:
            raise error.as_failure() from None
        raise SmProxyError(
            "no-vpc",
            f"the network of [launch] in {sources.config_file()} does not exist: {error.message}",
            f"Run `sm-proxy infra deploy`, which writes it anew, or correct it, or use {_NETWORK}",
        ) from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
    return place


def _subnets(aws: Caller, vpc_id: str, hosts: list[dict[str, Any]]) -> tuple[str, ...]:
    near = sorted({str(item["SubnetId"]) for item in hosts})[: limits.SUBNETS]
    try:
        if has_way_to(aws, near, "s3"):
            return tuple(near)
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        return tuple(near)
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
    answer = aws.call("ec2", "DescribeSubnets", Filters=filters).get("Subnets", [])
    found = _reaching(aws, vpc_id, sorted(str(item["SubnetId"]) for item in answer), "s3")
    return tuple(found[: limits.SUBNETS] or near)


def _admitting(
    rules: dict[str, dict[str, Any]], hosts: list[dict[str, Any]], ports: Sequence[int], vpc: str
) -> str:
    """The only security group that lets the bastion in, or the only one that names its group.

    The bastion's own group, which often lets its members reach each other, comes after others.

    Raises:
        SmProxyError: `no-vpc`, there is none, or several.
    """
    host = hosts[0]
    ours, address = _groups(host), str(host.get("PrivateIpAddress", ""))

    def admits(group: str, address: str) -> bool:
        return any(
            security_rules.lets("in", rules, [group], port=port, address=address, peers=ours)
            for port in ports
        )

    named = [group for group in sorted(rules) if admits(group, "")]
    made_for_jobs = [group for group in named if group not in ours]
    found = made_for_jobs or named or [name for name in sorted(rules) if admits(name, address)]
    if len(found) == 1:
        return found[0]
    wanted = f"TCP port {' or '.join(map(str, ports))} from {host['InstanceId']}"
    if found:
        raise _no_vpc(f"the job has no VPC; in {vpc}, {', '.join(found)} each allow {wanted}")
    raise _no_vpc(f"the job has no VPC; in {vpc}, no security group allows {wanted}")


def doubts(
    aws: Caller, place: Place, bastion: str | None, ports: Sequence[int]
) -> list[SmProxyError]:
    """Reasons why ssh would not reach a job there.

    Args:
        aws: for the calls.
        place: of the job.
        bastion: the instance's id, from the settings; None to find it by its tag.
        ports: on which the job's SSH server may listen; one of them must be open.

    Raises:
        SmProxyError: `no-vpc`, there are no such subnets; or AWS refuses or fails a call.
        ServiceError: likewise.
    """
    try:
        subnets = _described(aws, place)
        target = bastion or bastion_lookup.find(aws, subnets.vpc_id)
        hosts = _bastions(aws, target)
        if not hosts:
            return []
        groups = {*place.security_groups, *_groups(hosts[0])}
        rules = _by_id(aws.call("ec2", "DescribeSecurityGroups", GroupIds=sorted(groups)))
    except SmProxyError as error:
        if error.code == "no-bastion":
            hint = f"{error.hint.removesuffix('.')}, or use a network that has one: {_NETWORK}"
            return [SmProxyError(error.code, error.message, hint)]
        if error.code in {"bastion-offline", "agent-too-old"}:
            return [error]
        raise
    except ServiceError as error:
        if error.error != _GROUP_GONE:
            raise
        return [_no_vpc(f"the job's security groups are gone: {error.message}")]
    elsewhere = _elsewhere(rules, place, subnets.vpc_id)
    return elsewhere or _closed_ways(aws, rules, hosts[0], place, subnets=subnets, ports=ports)


def _described(aws: Caller, place: Place) -> Subnets:
    try:
        return describe_subnets(aws, place.subnets)
    except SmProxyError as error:
        if error.code != "no-vpc":
            raise
        raise _no_vpc(error.message) from None


def _elsewhere(rules: dict[str, dict[str, Any]], place: Place, vpc_id: str) -> list[SmProxyError]:
    """Security groups of another VPC than the subnets': with these, the service refuses a job."""
    homes = {name: rules.get(name, {}).get("VpcId", vpc_id) for name in place.security_groups}
    return [
        _no_vpc(f"the security group {name} is in {home}, and the subnets are in {vpc_id}")
        for name, home in homes.items()
        if home != vpc_id
    ]


def _closed_ways(
    aws: Caller,
    rules: dict[str, dict[str, Any]],
    host: dict[str, Any],
    place: Place,
    *,
    subnets: Subnets,
    ports: Sequence[int],
) -> list[SmProxyError]:
    ours, theirs, port = _groups(host), place.security_groups, ports[0]
    address = str(host.get("PrivateIpAddress", ""))
    if not ours or not address:
        return []
    into = any(
        security_rules.lets("in", rules, theirs, port=number, address=address, peers=ours)
        for number in ports
    )
    out = any(
        security_rules.lets(
            "out", rules, ours, port=number, address=str(block.network_address), peers=theirs
        )
        for number in ports
        for block in subnets.networks
    )
    closed = [("ingress", theirs[0], ours[0])] if not into else []
    closed += [("egress", ours[0], theirs[0])] if not out else []
    return [
        SmProxyError(
            "sshd-silent",
            f"no {way} rule of {group} lets the bastion {host['InstanceId']} reach TCP port"
            f" {' or '.join(map(str, ports))} of the job",
            f"aws ec2 authorize-security-group-{way} --group-id {group} --protocol tcp"
            f" --port {port} --source-group {peer} --region {aws.region}",
        )
        for way, group, peer in closed
    ]


def has_way_to(aws: Caller, subnet_ids: Sequence[str], service: str) -> bool:
    """Whether a service of AWS can be reached from each of the subnets.

    The containers of a job in a VPC have no public address: an internet gateway does not serve
    them.

    Args:
        aws: for the calls.
        subnet_ids: of one VPC.
        service: as the names of its VPC endpoints end, such as `s3`.

    Raises:
        SmProxyError: AWS refuses or fails a call.
        ServiceError: likewise.
    """
    vpc_id = describe_subnets(aws, subnet_ids).vpc_id
    return set(_reaching(aws, vpc_id, subnet_ids, service)) == set(subnet_ids)


def _reaching(aws: Caller, vpc_id: str, subnet_ids: Sequence[str], service: str) -> list[str]:
    """Those of the subnets of a VPC from which a service can be reached."""
    vpc = [{"Name": "vpc-id", "Values": [vpc_id]}]
    tables = aws.call("ec2", "DescribeRouteTables", Filters=vpc).get("RouteTables", [])
    of_subnet = {subnet: subnet_egress.tables_of(tables, subnet) for subnet in subnet_ids}
    if all(any(map(subnet_egress.leads_out, found)) for found in of_subnet.values()):
        return list(subnet_ids)
    answer = aws.call("ec2", "DescribeVpcEndpoints", Filters=vpc).get("VpcEndpoints", [])
    if subnet_egress.endpoints_for(answer, service, "Interface"):
        return list(subnet_ids)
    gateways = subnet_egress.endpoints_for(answer, service)
    return [
        subnet
        for subnet, found in of_subnet.items()
        if any(map(subnet_egress.leads_out, found)) or subnet_egress.is_served(found, gateways)
    ]


def _bastions(aws: Caller, bastion: str | None) -> list[dict[str, Any]]:
    if bastion is None:
        running = {"Name": "instance-state-name", "Values": ["running"]}
        filters = [bastion_lookup.TAG_FILTER, running]
        return bastion_lookup.instances(aws.call("ec2", "DescribeInstances", Filters=filters))
    if not bastion.startswith("i-"):
        return []  # a machine outside EC2
    return bastion_lookup.instances(aws.call("ec2", "DescribeInstances", InstanceIds=[bastion]))


def _groups(instance: dict[str, Any]) -> list[str]:
    return [str(item["GroupId"]) for item in instance.get("SecurityGroups", [])]


def _by_id(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(item["GroupId"]): item for item in answer.get("SecurityGroups", [])}


def _no_vpc(what: str) -> SmProxyError:
    return SmProxyError("no-vpc", what, _NAME_THEM)
