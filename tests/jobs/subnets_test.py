from __future__ import annotations

import ipaddress

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.subnets import (
    Subnets,
    address_refused,
    describe_if_allowed,
    describe_subnets,
    first_inside,
)
from tests.fakes import SUBNETS, FakeAws


def subnets(*blocks: str) -> Subnets:
    return Subnets("vpc-1", tuple(map(ipaddress.ip_network, blocks)))


def chosen(*addresses: str, among: Subnets, allow_loopback: bool = False) -> str | None:
    return first_inside(addresses, among, allow_loopback=allow_loopback)


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("10.0.1.5",), "10.0.1.5"),
        (("127.0.0.1", "172.17.0.1", "10.0.17.1", "10.0.15.255"), "10.0.15.255"),
        (("::1", "fe80::1", "2001:db8:0:1::5"), "2001:db8:0:1::5"),
        (("10.1.0.9", "10.0.0.4"), "10.1.0.9"),
    ],
)
def test_the_first_address_in_the_subnets_is_chosen(
    addresses: tuple[str, ...], expected: str
) -> None:
    among = subnets("10.0.0.0/20", "10.1.0.0/24", "2001:db8:0:1::/64")
    assert chosen(*addresses, among=among) == expected


@pytest.mark.parametrize(
    "address",
    [
        "10.0.16.1",
        "192.168.1.1",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "224.0.0.1",
        "0.0.0.0",  # noqa: S104 - refused
        "::",
        "::ffff:10.0.1.5",
        "::ffff:127.0.0.1",
        "2001:db8:0:2::5",
    ],
)
def test_an_address_outside_of_the_subnets_is_refused(address: str) -> None:
    among = subnets("10.0.0.0/20", "2001:db8:0:1::/64")
    assert chosen(address, among=among) is None
    error = address_refused([address], among)
    assert error.code == "address-refused"
    assert str(ipaddress.ip_address(address)) in error.message
    assert "10.0.0.0/20" in error.message


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "::1", "fe80::1"])
def test_special_addresses_are_refused_in_any_subnet(address: str) -> None:
    assert chosen(address, among=subnets("0.0.0.0/0", "::/0")) is None


def test_loopback_needs_its_setting() -> None:
    among = subnets("10.0.0.0/20")
    assert chosen("127.0.1.1", among=among, allow_loopback=True) == "127.0.1.1"
    assert chosen("169.254.169.254", among=among, allow_loopback=True) is None


def test_a_long_list_of_claims_is_shown_in_part() -> None:
    claimed = [f"192.168.0.{number}" for number in range(1, 33)]
    error = address_refused(claimed, subnets("10.0.0.0/20"))
    assert "192.168.0.4" in error.message
    assert "192.168.0.5" not in error.message


def test_all_associated_ranges_of_the_subnets_are_used() -> None:
    answer = {
        "Subnets": [
            {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/20"},
            {
                "VpcId": "vpc-1",
                "CidrBlock": "10.0.16.0/20",
                "Ipv6CidrBlockAssociationSet": [
                    {
                        "Ipv6CidrBlock": "2001:db8::/64",
                        "Ipv6CidrBlockState": {"State": "associated"},
                    },
                    {
                        "Ipv6CidrBlock": "2001:db8:1::/64",
                        "Ipv6CidrBlockState": {"State": "disassociated"},
                    },
                ],
            },
        ]
    }
    aws = FakeAws(DescribeSubnets=answer)
    assert describe_subnets(aws, ("subnet-1", "subnet-2")) == subnets(
        "10.0.0.0/20", "10.0.16.0/20", "2001:db8::/64"
    )
    assert aws.calls == [("DescribeSubnets", {"SubnetIds": ["subnet-1", "subnet-2"]})]
    assert describe_subnets(FakeAws(DescribeSubnets=SUBNETS), ["subnet-1"]).vpc_id == "vpc-1"


@pytest.mark.parametrize(
    "answer",
    [
        {"Subnets": []},
        ServiceError("InvalidSubnetID.NotFound", "no subnet-1", "ec2:DescribeSubnets"),
    ],
)
def test_missing_subnets_are_reported(answer: ServiceError | dict[str, object]) -> None:
    with pytest.raises(SmProxyError, match="gone") as caught:
        describe_subnets(FakeAws(DescribeSubnets=answer), ["subnet-1"])
    assert caught.value.code == "no-vpc"
    assert "subnet-1" in caught.value.message
    assert caught.value.hint.startswith("Submit the job again with subnets that exist")


def test_another_error_is_passed_on() -> None:
    aws = FakeAws(DescribeSubnets=ServiceError("InternalError", "oops", "ec2:DescribeSubnets"))
    with pytest.raises(SmProxyError, match="ec2:DescribeSubnets: InternalError: oops") as caught:
        describe_subnets(aws, ["subnet-1"])
    assert caught.value.code == "aws-error"


@pytest.mark.parametrize(
    "answer",
    [{"Subnets": []}, SmProxyError("access-denied", "no ec2:DescribeSubnets", "ask")],
)
def test_optional_unknown_subnets_give_none(answer: SmProxyError | dict[str, object]) -> None:
    assert describe_if_allowed(FakeAws(DescribeSubnets=answer), ["subnet-1"]) is None


def test_a_job_without_subnets_takes_no_call() -> None:
    aws = FakeAws()
    assert describe_if_allowed(aws, ()) is None
    assert aws.calls == []


def test_a_failed_call_is_no_unknown_subnet() -> None:
    aws = FakeAws(DescribeSubnets=SmProxyError("throttled", "slow", "later"))
    with pytest.raises(SmProxyError, match="slow"):
        describe_if_allowed(aws, ["subnet-1"])
