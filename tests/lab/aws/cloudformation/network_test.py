"""The template of `sm-proxy infra` in the lab: all of it is made, and nothing of it is left."""

from __future__ import annotations

import itertools

import pytest

from sm_proxy.infra import template
from sm_proxy.infra.plan import Existing, Plan
from tests.lab.aws.cloudformation.helpers import Stack, account, body, network
from tests.lab.aws.harness import REGION, Lab
from tests.soak import cases

NATS = ("one", "per-zone", "none", "existing")
ABROAD = ("cn-north-1", "us-gov-west-1")
FULL = [
    *itertools.product((2, 3, 6), NATS, (REGION,)),
    *itertools.product((2,), NATS, ABROAD),
]
QUICK = [
    (2, "one", "cn-north-1"),
    (6, "per-zone", REGION),
    (2, "none", "us-gov-west-1"),
    (2, "existing", REGION),
]


def existing(lab: Lab, region: str, zones: int) -> Existing:
    """A VPC of the user's."""
    ec2 = lab.client("ec2", region)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24")["Subnet"]["SubnetId"]
        for number in range(zones)
    ]
    return Existing(vpc, tuple(subnets))


@pytest.mark.parametrize(("zones", "nat", "region"), cases(FULL, QUICK))
def test_a_network_is_made_and_nothing_of_it_is_left(
    lab: Lab, zones: int, nat: str, region: str
) -> None:
    if nat == "existing":
        wanted = Plan(region=region, existing=existing(lab, region, zones), stack="a-stack")
    else:
        wanted = network(zones, nat, region, stack="a-stack")
    lab.control.faults(quotas={"elastic-ip": zones})  # six need more than a new account has
    stack, before = Stack(lab, region), account(lab, region)
    stack.name = "a-stack"
    made = stack.create(body(wanted))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    resources = stack.client.describe_stack_resources(StackName=made)["StackResources"]
    rendered = template.render(wanted)["Resources"]
    assert {item["LogicalResourceId"] for item in resources} == set(rendered)
    assert {item["ResourceStatus"] for item in resources} == {"CREATE_COMPLETE"}
    assert all(item["PhysicalResourceId"] for item in resources)
    assert account(lab, region) != before
    assert stack.delete(made)["StackStatus"] == "DELETE_COMPLETE", stack.reasons(made)
    assert account(lab, region) == before


def test_a_subnet_has_one_route_table_after_another_plan(lab: Lab) -> None:
    stack = Stack(lab, REGION)
    made = stack.create(body(network(2, "one", stack=stack.name)))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    stack.update(body(network(2, "per-zone", stack=stack.name)))
    assert stack.ended()["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    resources = stack.client.describe_stack_resources(StackName=made)["StackResources"]
    ids = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in resources}
    ec2 = lab.client("ec2")
    for number in (1, 2):
        inside = [{"Name": "association.subnet-id", "Values": [ids[f"PrivateSubnet{number}"]]}]
        (table,) = ec2.describe_route_tables(Filters=inside)["RouteTables"]
        assert table["RouteTableId"] == ids[f"PrivateRoutes{number}"]
    stack.delete(made)
