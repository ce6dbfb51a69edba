"""`sm-proxy infra template`."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sm_proxy import cli
from sm_proxy.aws import clients
from sm_proxy.aws.clients import Aws

NAMED = ("infra", "template", "--region", "cn-north-1", "--zones", "cn-north-1a,b")


@pytest.fixture
def no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a call to AWS")

    monkeypatch.setattr(clients.Aws, "__init__", refuse)


@pytest.mark.usefixtures("no_calls")
def test_no_call_is_made_if_region_and_zones_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*NAMED, "--nat", "none", "--endpoints", "ssm,ssmmessages,ecr.api"]) == 0
    made = json.loads(capsys.readouterr().out)["Resources"]
    services = {
        name: item["Properties"]["ServiceName"]
        for name, item in made.items()
        if name.endswith("Endpoint")
    }
    assert services == {
        "S3Endpoint": "com.amazonaws.cn-north-1.s3",
        "SsmEndpoint": "com.amazonaws.cn-north-1.ssm",
        "SsmmessagesEndpoint": "com.amazonaws.cn-north-1.ssmmessages",
        "EcrApiEndpoint": "cn.com.amazonaws.cn-north-1.ecr.api",
    }


@pytest.mark.usefixtures("no_calls")
def test_without_a_nat_gateway_the_smallest_set_of_endpoints_is_the_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([*NAMED, "--nat", "none", "--cidr", "172.16.0.0/16"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert {"SsmEndpoint", "SsmmessagesEndpoint"} <= set(made["Resources"])
    assert made["Parameters"]["Prefix"]["Default"] == "172.16"


@pytest.mark.usefixtures("no_calls")
def test_yaml_says_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*NAMED]) == 0
    made = json.loads(capsys.readouterr().out)
    assert cli.main([*NAMED, "--yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == made


@pytest.mark.usefixtures("no_calls")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--zones", "a"), "from 2 to 6"),
        (("--zones", "a,us-east-1b"), "not in the region"),
        (("--cidr", "10.0.0.0/8"), "10.0.0.0/16"),
        (("--cidr", "8.8.0.0/16"), "private range"),
        (("--endpoints", "moon"), "'moon' is not an endpoint"),
        (("--nat", "none", "--endpoints", "logs"), "--endpoints ssm,ssmmessages"),
        (("--subnets", "subnet-0a1b2c3d"), "--vpc"),
        (("--vpc", "vpc-0a1b2c3d", "--subnets", "subnet-0a1b2c3d", "--endpoints", "s3"), "route"),
        (("--bastion-days", "1"), "7 to 365"),
    ],
)
def test_a_wrong_option_is_named(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = cli.main([*NAMED, *words])
    except SystemExit as error:
        status = int(error.code or 0)
    printed = capsys.readouterr()
    assert status in {1, 2}
    assert printed.err.splitlines()[-1].startswith("sm-proxy: usage: ")
    assert says in printed.err
    assert not printed.out


def test_names_come_from_aws_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(aws: Aws, service: str, operation: str, **_: Any) -> dict[str, Any]:
        assert (service, aws.region) == ("ec2", "cn-north-1")
        if operation == "DescribeAvailabilityZones":
            return {"AvailabilityZones": [{"ZoneName": f"cn-north-1{c}"} for c in "dab"]}
        kind = {"ServiceType": [{"ServiceType": "Gateway"}]}
        return {"ServiceDetails": [{"ServiceName": "odd.cn-north-1.s3", **kind}]}

    monkeypatch.setattr(clients.Aws, "call", call)
    assert cli.main(["infra", "template", "--region", "cn-north-1", "--zones", "2"]) == 0
    made = json.loads(capsys.readouterr().out)["Resources"]
    assert made["PrivateSubnet2"]["Properties"]["AvailabilityZone"] == "cn-north-1b"
    assert made["S3Endpoint"]["Properties"]["ServiceName"] == "odd.cn-north-1.s3"
