"""Check whether a bastion and jobs can run in the subnets of an existing VPC.

Both have private addresses only. The bastion must reach Session Manager, and jobs must reach S3.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import asking, security_rules, stack_names, subnet_egress
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import partition
from sm_proxy.infra.partition import SMALLEST
from sm_proxy.infra.plan import Existing
from sm_proxy.infra.stack import TAG

_MOST: Final = 16
"""Subnets of a job (SageMaker's service model)."""
_HTTPS: Final = 443
_DNS: Final = {"EnableDnsSupport": "dns-support", "EnableDnsHostnames": "dns-hostnames"}
_SHOWN: Final = 4


@dataclass(frozen=True)
class _Problem:
    """What prevents the deployment, and the command or the words that fix it."""

    what: str
    fix: str


def check(
    aws: Aws,
    vpc_id: str,
    subnets: Sequence[str] = (),
    made: Collection[str] = (),
    *,
    stack: str = stack_names.DEFAULT,
) -> Existing:
    """The subnets to use, after a look at what they can reach.

    Args:
        aws: for the calls; its region counts.
        vpc_id: of the VPC.
        subnets: their ids; none for all private subnets that have no problem.
        made: the names of the endpoints that the stack will make, such as `ssm`.
        stack: its name. Endpoints that it has made already count as if they were not there.

    Raises:
        SmProxyError: `no-vpc`, there is no such VPC or subnet, or it has a problem: the message
            names it for each subnet, and the hint fixes it; or a call fails.
    """
    vpc = _look(aws, vpc_id, stack)
    if strangers := [name for name in subnets if name not in vpc.subnets]:
        what = f"there is no {', '.join(strangers)} in {vpc_id}"
        known = ", ".join(sorted(vpc.subnets)) or "no subnet"
        raise SmProxyError("no-vpc", what, f"There is {known}.")
    asked = list(subnets) or [name for name in sorted(vpc.subnets) if not vpc.is_public(name)]
    if not asked:
        what = f"{vpc_id} has no private subnet"
        hint = "An internet gateway serves public addresses only: add subnets with a NAT gateway."
        raise SmProxyError("no-vpc", what, hint)
    found = {name: list(_of_subnet(vpc, name, made)) for name in asked}
    free = [name for name in asked if not found[name]]
    of_all = list(_of_vpc(vpc, made))
    if of_all or not free or (subnets and len(free) < len(asked)):
        raise _error(vpc_id, {vpc_id: of_all, **found})
    return Existing(vpc_id, tuple(free if subnets else free[:_MOST]))


@dataclass(frozen=True)
class _Vpc:
    """A VPC as EC2 describes it.

    Attributes:
        aws: for more calls.
        vpc_id: its id.
        subnets: by id.
        tables: its route tables.
        endpoints: those that are not of our stack.
        rules: the endpoints' security groups, by id, without those that we may not see.
    """

    aws: Aws
    vpc_id: str
    subnets: dict[str, dict[str, Any]]
    tables: list[dict[str, Any]]
    endpoints: list[dict[str, Any]]
    rules: dict[str, dict[str, Any]]

    def tables_of(self, subnet: str) -> list[dict[str, Any]]:
        """The route table of a subnet."""
        return subnet_egress.tables_of(self.tables, subnet)

    def leads_out(self, subnet: str) -> bool:
        """Whether a NAT gateway or the like serves a subnet."""
        return any(map(subnet_egress.leads_out, self.tables_of(subnet)))

    def is_public(self, subnet: str) -> bool:
        """Whether an internet gateway serves a subnet, and nothing else."""
        tables = self.tables_of(subnet)
        serves_public = any(subnet_egress.leads_out(table, public=True) for table in tables)
        return serves_public and not self.leads_out(subnet)

    def interfaces(self, service: str) -> list[dict[str, Any]]:
        """The interface endpoints that take over the name of a service."""
        found = subnet_egress.endpoints_for(self.endpoints, service, "Interface")
        return [item for item in found if item.get("PrivateDnsEnabled", True)]


def _look(aws: Aws, vpc_id: str, stack: str) -> _Vpc:
    try:
        vpcs = aws.call("ec2", "DescribeVpcs", VpcIds=[vpc_id]).get("Vpcs", [])
    except ServiceError as error:
        if error.error != "InvalidVpcID.NotFound":
            raise error.as_failure() from None
        vpcs = []
    if not vpcs:
        what = f"there is no {vpc_id} in {aws.region}"
        raise SmProxyError("no-vpc", what, "Name another --vpc, or another --region.")
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}]
    subnets = _ask(aws, "DescribeSubnets", Filters=filters).get("Subnets", [])
    tables = _ask(aws, "DescribeRouteTables", Filters=filters).get("RouteTables", [])
    endpoints = _ask(aws, "DescribeVpcEndpoints", Filters=filters).get("VpcEndpoints", [])
    rules = _rules(aws, subnet_egress.groups_of(endpoints))

    def is_ours(endpoint: dict[str, Any]) -> bool:
        groups = (rules.get(name, {}) for name in subnet_egress.groups_of([endpoint]))
        return any(_is_of(stack, item) for item in (endpoint, *groups))

    return _Vpc(
        aws,
        vpc_id,
        {str(item["SubnetId"]): item for item in subnets},
        tables,
        [item for item in endpoints if not is_ours(item)],
        rules,
    )


def _rules(aws: Aws, groups: Sequence[str]) -> dict[str, dict[str, Any]]:
    if not groups:
        return {}
    # A filter leaves out groups of the owner of a shared VPC; their ids would be an error.
    filters = [{"Name": "group-id", "Values": sorted(set(groups))}]
    answer = _ask(aws, "DescribeSecurityGroups", Filters=filters)
    return {str(item["GroupId"]): item for item in answer.get("SecurityGroups", [])}


def _is_of(stack: str, resource: dict[str, Any]) -> bool:
    return {"Key": TAG, "Value": stack} in resource.get("Tags", [])


def _of_vpc(vpc: _Vpc, made: Collection[str]) -> Iterator[_Problem]:
    """Problems of the whole VPC: the names of endpoints do not resolve."""
    for service in sorted(made):
        if vpc.interfaces(service):
            what = f"there is an endpoint for {service} already, and a second one has no use"
            yield _Problem(what, f"Leave {service} out of --endpoints")
    if not made and not any(map(vpc.interfaces, SMALLEST)):
        return
    for attribute, option in _DNS.items():
        name = f"{attribute[:1].lower()}{attribute[1:]}"
        answer = _ask(vpc.aws, "DescribeVpcAttribute", VpcId=vpc.vpc_id, Attribute=name)
        if not answer.get(attribute, {}).get("Value", True):
            yield _Problem(
                f"{name} is off, so the names of services do not lead to the endpoints",
                f"aws ec2 modify-vpc-attribute --vpc-id {vpc.vpc_id} --enable-{option}"
                f" --region {vpc.aws.region}",
            )


def _of_subnet(vpc: _Vpc, subnet: str, made: Collection[str]) -> Iterator[_Problem]:
    zone = str(vpc.subnets[subnet].get("AvailabilityZone") or "")
    if zone and zone[:-1] != vpc.aws.region:
        what = f"it is in {zone}, and jobs run in availability zones of the region only"
        yield _Problem(what, "Leave it out of --subnets")
        return
    guarded = {name: vpc.interfaces(name) for name in SMALLEST if name not in made}
    if not vpc.leads_out(subnet):
        yield from _closed_in(vpc, subnet, [name for name, found in guarded.items() if not found])
    yield from _not_admitted(vpc, subnet, guarded)


def _closed_in(vpc: _Vpc, subnet: str, missing: list[str]) -> Iterator[_Problem]:
    """Without a NAT gateway: which services the subnet does not reach."""
    why = "its internet gateway serves public addresses only" if vpc.is_public(subnet) else "no NAT"
    region = vpc.aws.region
    if missing:
        nameless = [
            item
            for name in missing
            for item in subnet_egress.endpoints_for(vpc.endpoints, name, "Interface")
        ]
        what = f"no way to {', '.join(missing)} ({why}, and no endpoint with private DNS)"
        if nameless:
            fix = (
                f"aws ec2 modify-vpc-endpoint --vpc-endpoint-id {nameless[0]['VpcEndpointId']}"
                f" --private-dns-enabled --region {region}"
            )
        else:
            fix = f"Add --endpoints {','.join(missing)}, or a NAT gateway to the VPC"
        yield _Problem(what, fix)
    tables = vpc.tables_of(subnet)
    gateways = subnet_egress.endpoints_for(vpc.endpoints, partition.S3, "Gateway")
    if not (subnet_egress.is_served(tables, gateways) or vpc.interfaces(partition.S3)):
        name = partition.service_names(region, (partition.S3,))[partition.S3]
        ids = " ".join(str(table.get("RouteTableId")) for table in tables)
        yield _Problem(
            f"no way to S3, where the data of jobs is ({why}, and no endpoint)",
            f"aws ec2 create-vpc-endpoint --vpc-id {vpc.vpc_id} --vpc-endpoint-type Gateway"
            f" --service-name {name} --route-table-ids {ids} --region {region}",
        )


def _not_admitted(
    vpc: _Vpc, subnet: str, guarded: Mapping[str, Sequence[dict[str, Any]]]
) -> Iterator[_Problem]:
    """An endpoint takes over the service's name, so it must admit the bastion even with a NAT.

    The bastion's security group does not exist yet: only its address can be allowed.
    """
    block = str(vpc.subnets[subnet].get("CidrBlock", ""))
    closed: dict[str, list[str]] = {}
    for service, endpoints in guarded.items():
        groups = [name for name in subnet_egress.groups_of(endpoints) if name in vpc.rules]
        if groups and block and not _admits(vpc, groups, block):
            closed.setdefault(groups[0], []).append(service)
    for group, services in closed.items():
        yield _Problem(
            f"no ingress rule of {group}, a group of the endpoint for {' and '.join(services)},"
            f" allows TCP from {block} to port {_HTTPS}",
            f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp"
            f" --port {_HTTPS} --cidr {block} --region {vpc.aws.region}",
        )


def _admits(vpc: _Vpc, groups: Sequence[str], block: str) -> bool:
    """Whether the groups let all addresses of a block in."""
    network = ipaddress.ip_network(block)
    return all(
        security_rules.lets("in", vpc.rules, groups, port=_HTTPS, address=str(address), peers=())
        for address in (network[0], network[-1])
    )


def _error(vpc_id: str, found: dict[str, list[_Problem]]) -> SmProxyError:
    """One error for all problems; a problem that subnets share is named once."""
    where: dict[_Problem, list[str]] = {}
    for place, problems in found.items():
        for problem in problems:
            where.setdefault(problem, []).append(place)
    told = [f"{', '.join(places)}: {problem.what}" for problem, places in where.items()]
    fixes = list(dict.fromkeys(problem.fix for problem in where))
    more = [f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
    return SmProxyError(
        "no-vpc",
        f"{vpc_id} cannot have the bastion and jobs: {'; '.join([*told[:_SHOWN], *more])}",
        _hint(fixes[:_SHOWN]),
    )


def _hint(fixes: list[str]) -> str:
    """The words, each a sentence; then the commands, as one line for a shell."""
    words = [fix for fix in fixes if not fix.startswith("aws ")]
    commands = " ; ".join(fix for fix in fixes if fix not in words)
    return ". ".join([*words, *([f"Run: {commands}"] if commands else [])])


def _ask(aws: Aws, operation: str, **parameters: Any) -> dict[str, Any]:
    return asking.ask(aws, "ec2", operation, **parameters)
