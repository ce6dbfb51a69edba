"""What a region offers for a VPC."""

from __future__ import annotations

import pytest

from tests.lab.aws.harness import Lab, refusal


@pytest.mark.parametrize(
    ("region", "count"), [("us-east-1", 6), ("cn-north-1", 2), ("us-gov-west-1", 3)]
)
def test_zones_are_those_of_the_region(lab: Lab, region: str, count: int) -> None:
    zones = lab.client("ec2", region).describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == [f"{region}{x}" for x in "abcdef"[:count]]
    assert {zone["OptInStatus"] for zone in zones} == {"opt-in-not-required"}
    assert {zone["ZoneType"] for zone in zones} == {"availability-zone"}


def test_services_have_the_names_of_their_partition(lab: Lab) -> None:
    here = lab.client("ec2").describe_vpc_endpoint_services()
    assert "com.amazonaws.us-east-1.ecr.api" in here["ServiceNames"]
    kinds = [
        item["ServiceType"][0]["ServiceType"]
        for item in here["ServiceDetails"]
        if item["ServiceName"] == "com.amazonaws.us-east-1.s3"
    ]
    assert sorted(kinds) == ["Gateway", "Interface"]
    china = lab.client("ec2", "cn-north-1").describe_vpc_endpoint_services()
    names = {item["ServiceName"]: item["AvailabilityZones"] for item in china["ServiceDetails"]}
    for name in ("com.amazonaws.cn-north-1.ssm", "cn.com.amazonaws.cn-north-1.ecr.api"):
        assert names[name] == ["cn-north-1a", "cn-north-1b"]
    assert "com.amazonaws.cn-north-1.ecr.api" not in names


def test_services_come_in_pages_and_by_filter(lab: Lab) -> None:
    ec2 = lab.client("ec2")
    whole = ec2.describe_vpc_endpoint_services()["ServiceDetails"]
    first = ec2.describe_vpc_endpoint_services(MaxResults=5)
    rest = ec2.describe_vpc_endpoint_services(NextToken=first["NextToken"])
    assert [*first["ServiceDetails"], *rest["ServiceDetails"]] == whole
    only = [{"Name": "service-type", "Values": ["Gateway"]}]
    gateways = ec2.describe_vpc_endpoint_services(Filters=only)["ServiceNames"]
    assert gateways == ["com.amazonaws.us-east-1.dynamodb", "com.amazonaws.us-east-1.s3"]
    wrong = ["com.amazonaws.us-east-1.nothing"]
    assert (
        refusal(ec2.describe_vpc_endpoint_services, ServiceNames=wrong)[0] == "InvalidServiceName"
    )


@pytest.mark.parametrize(
    ("region", "name", "kind"),
    [
        ("us-east-1", "com.amazonaws.us-west-2.ssm", "Interface"),
        ("us-east-1", "com.amazonaws.us-east-1.ssm", "Gateway"),
        ("cn-north-1", "com.amazonaws.cn-north-1.ecr.api", "Interface"),
    ],
)
def test_an_endpoint_leads_to_a_service_of_the_region(
    lab: Lab, region: str, name: str, kind: str
) -> None:
    ec2 = lab.client("ec2", region)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    wrong = {"VpcId": vpc, "ServiceName": name, "VpcEndpointType": kind}
    assert refusal(ec2.create_vpc_endpoint, **wrong)[0] == "InvalidServiceName"
    ec2.delete_vpc(VpcId=vpc)
