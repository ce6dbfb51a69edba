"""The instance types that EC2 knows, and where it offers them."""

from __future__ import annotations

from tests.lab.aws.harness import Lab, refusal


def test_a_type_is_described(lab: Lab) -> None:
    ec2 = lab.client("ec2")
    (found,) = ec2.describe_instance_types(InstanceTypes=["t4g.nano"])["InstanceTypes"]
    assert found["ProcessorInfo"]["SupportedArchitectures"] == ["arm64"]
    assert len(ec2.describe_instance_types()["InstanceTypes"]) > 500
    code, _, _ = refusal(ec2.describe_instance_types, InstanceTypes=["t4g.none"])
    assert code == "InvalidInstanceType"


def test_the_offers_of_each_kind_of_location_name_it(lab: Lab) -> None:
    only = [{"Name": "instance-type", "Values": ["t4g.nano"]}]
    for location, one in (
        ("region", "us-east-1"),
        ("availability-zone", "us-east-1a"),
        ("availability-zone-id", "use1-az1"),
    ):
        offers = lab.client("ec2").describe_instance_type_offerings(
            LocationType=location, Filters=only
        )["InstanceTypeOfferings"]
        assert {offer["InstanceType"] for offer in offers} == {"t4g.nano"}
        assert {offer["LocationType"] for offer in offers} == {location}
        assert one in {offer["Location"] for offer in offers}


def test_a_region_that_moto_does_not_know_offers_nothing(lab: Lab) -> None:
    found = lab.client("ec2", "us-nowhere-1").describe_instance_type_offerings()
    assert found["InstanceTypeOfferings"] == []
