from __future__ import annotations

import pytest

from sm_proxy.aws import security_rules


def rule(**changes: object) -> dict[str, object]:
    return {"IpProtocol": "tcp", "FromPort": 20, "ToPort": 30, **changes}


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        (rule(IpRanges=[{"CidrIp": "10.0.0.0/8"}]), True),
        (rule(IpRanges=[{"CidrIp": "10.1.0.0/16"}]), False),
        (rule(FromPort=23, ToPort=30, IpRanges=[{"CidrIp": "0.0.0.0/0"}]), False),
        (rule(IpProtocol="udp", IpRanges=[{"CidrIp": "0.0.0.0/0"}]), False),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-2"}]}, False),
        (rule(PrefixListIds=[{"PrefixListId": "pl-1"}]), True),
    ],
)
def test_a_rule_allows_its_ports_and_addresses(given: dict[str, object], passes: bool) -> None:
    assert security_rules.allows(given, 22, "10.0.0.5", ["sg-1"]) is passes
