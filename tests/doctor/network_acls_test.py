from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy.doctor import network_acls
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from sm_proxy.settings import Settings
from tests import fakes

BASTION = {"InstanceId": "i-1", "SubnetId": "near", "PrivateIpAddress": "10.0.0.9"}
FAR = {"Subnets": [{"SubnetId": "far", "CidrBlock": "10.0.1.0/24"}]}


def entry(number: int, action: str, *ports: int, egress: bool, block: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {
        "RuleNumber": number,
        "RuleAction": action,
        "Egress": egress,
        "Protocol": "6" if ports else "-1",
        "CidrBlock": block or "0.0.0.0/0",
    }
    if ports:
        found["PortRange"] = {"From": ports[0], "To": ports[-1]}
    return found


def acl(subnet: str, *first: dict[str, Any]) -> dict[str, Any]:
    """A network ACL with these entries, then one that allows everything."""
    usual = [entry(100, "allow", egress=way) for way in (True, False)]
    last = [entry(32767, "deny", egress=way) for way in (True, False)]
    return {
        "NetworkAclId": f"acl-{subnet}",
        "Associations": [{"SubnetId": subnet}],
        "Entries": [*usual, *last, *first],  # deliberately out of order
    }


def running() -> Job:
    now = datetime.now(timezone.utc)
    return Job(
        name="my-job", kind="training", status="Training", phase="running", created=now,
        noun="job", log_group="g", status_since=now, subnets=("far", "farther"),
    )  # fmt: skip


def context(near: dict[str, Any], far: dict[str, Any], **answers: Any) -> Context:
    given = {
        "DescribeSubnets": FAR,
        "DescribeNetworkAcls": {"NetworkAcls": [near, far]},
        **answers,
    }
    found = fakes.container(address="10.0.1.5", port=22)
    return Context(
        Settings(),
        "sm-my-job",
        fakes.FakeAws(**given),
        job=running(),
        hop=BASTION,
        container=found,
    )


def failure(examined: Context) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        network_acls.path(examined)
    return caught.value


def test_open_acls_pass() -> None:
    assert network_acls.path(context(acl("near"), acl("far"))) == "near to far, port 22, and back"


@pytest.mark.parametrize(
    ("near", "far", "words"),
    [
        ([(22, 22, True)], [], "subnet near, allows no TCP out to 10.0.1.5, port 22"),
        ([], [(20, 25, False)], "subnet far, allows no TCP in from 10.0.0.9, port 22"),
        ([], [(60000, 65535, True)], "far, allows no TCP out to 10.0.0.9, ports 32768 to 60999"),
        ([(1024, 40000, False)], [], "near, allows no TCP in from 10.0.1.5, ports 32768 to 60999"),
    ],
)
def test_an_acl_closed_in_either_direction_fails(
    near: list[tuple[int, int, bool]], far: list[tuple[int, int, bool]], words: str
) -> None:
    def denied(ways: list[tuple[int, int, bool]]) -> list[dict[str, Any]]:
        return [entry(50, "deny", first, last, egress=way) for first, last, way in ways]

    error = failure(context(acl("near", *denied(near)), acl("far", *denied(far))))
    assert error.code == "sshd-silent"
    assert words.removeprefix("subnet ") in error.message
    assert "--rule-number 49 --protocol tcp" in error.hint


def test_the_first_matching_entry_decides() -> None:
    for other in (
        entry(101, "deny", 22, egress=False),
        entry(50, "deny", 22, egress=False, block="192.0.2.0/24"),
        {**entry(50, "deny", 22, egress=False), "Protocol": "17"},
        {**entry(50, "deny", egress=False), "CidrBlock": None, "Ipv6CidrBlock": "::/0"},
    ):
        assert network_acls.path(context(acl("near"), acl("far", other)))


def test_within_one_subnet_no_acl_applies() -> None:
    together = {"Subnets": [{"SubnetId": "near", "CidrBlock": "10.0.1.0/24"}]}
    examined = context(acl("near", entry(1, "deny", 22, egress=False)), acl("far"))
    examined.aws = fakes.FakeAws(DescribeSubnets=together)
    assert "both in near" in network_acls.path(examined)


def test_denied_calls_are_skipped() -> None:
    denied = SmProxyError("access-denied", "no")
    with pytest.raises(SkipCheck, match="ec2:DescribeNetworkAcls is denied"):
        network_acls.path(context(acl("near"), acl("far"), DescribeNetworkAcls=denied))
    with pytest.raises(SkipCheck, match="the network ACL of far is not known"):
        network_acls.path(context(acl("near"), acl("elsewhere")))


def test_the_subnets_of_the_job_are_described() -> None:
    examined = context(acl("near"), acl("far"))
    network_acls.path(examined)
    assert isinstance(examined.aws, fakes.FakeAws)
    assert examined.aws.calls[0] == ("DescribeSubnets", {"SubnetIds": ["far", "farther"]})
