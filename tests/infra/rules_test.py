"""Rules of security for our templates, in the language of AWS CloudFormation Guard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from cfn_guard_rs.api import run_checks

from sm_proxy.infra import partition, template
from sm_proxy.infra.plan import Plan
from tests.infra.plans import VARIED, plan

HERE: Final = Path(__file__).parent
RULES: Final = (HERE / "rules.guard").read_text(encoding="utf-8")
ARTICLE: Final[dict[str, Any]] = json.loads((HERE / "article.json").read_text(encoding="utf-8"))
NAMES: Final = set(re.findall(r"^rule (\w+)", RULES, re.MULTILINE))


def broken(made: dict[str, Any]) -> set[str]:
    report = run_checks(made, RULES)
    return {item.Rule.name for item in report.not_compliant if item.Rule is not None}


@pytest.mark.parametrize("made", VARIED.values(), ids=VARIED)
def test_our_templates_keep_each_rule(made: Plan) -> None:
    report = run_checks(template.render(made), RULES)
    assert report.not_compliant == []
    applies = NAMES - {"no_public_address_of_subnets"} if made.existing else NAMES
    assert set(report.compliant) >= applies - {"no_ingress_in_groups_from_a_block"}


def test_the_articles_template_breaks_the_rules_that_concern_it() -> None:
    assert broken(ARTICLE) == {
        "no_ingress_in_groups_from_a_block",
        "no_public_address_of_subnets",
    }


def launch(made: dict[str, Any]) -> dict[str, Any]:
    """The data of the bastion's launch template."""
    data: dict[str, Any] = properties(made, "BastionTemplate")["LaunchTemplateData"]
    return data


def properties(made: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = made["Resources"][name]["Properties"]
    return found


MUTATIONS: Final[tuple[tuple[str, Callable[[dict[str, Any]], object]], ...]] = (
    (
        "no_ingress_in_groups_from_a_block",
        lambda made: properties(made, "EndpointGroup")["SecurityGroupIngress"].append(
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.0.0.0/16"}
        ),
    ),
    (
        "no_ingress_in_groups_from_a_block",
        lambda made: properties(made, "BastionGroup").update(
            SecurityGroupIngress=[{"IpProtocol": "-1", "CidrIpv6": "::/0"}]
        ),
    ),
    (
        "no_ingress_rule_from_a_block",
        lambda made: properties(made, "JobIngress22").update(CidrIp="0.0.0.0/0"),
    ),
    (
        "no_ingress_rule_from_a_block",
        lambda made: properties(made, "JobIngressSelf").update(SourcePrefixListId="pl-1"),
    ),
    ("metadata_needs_a_token", lambda made: launch(made)["MetadataOptions"].pop("HttpTokens")),
    ("metadata_needs_a_token", lambda made: launch(made).pop("MetadataOptions")),
    (
        "metadata_needs_a_token",
        lambda made: launch(made)["MetadataOptions"].update(HttpPutResponseHopLimit=2),
    ),
    ("no_key", lambda made: launch(made).update(KeyName="mine")),
    (
        "no_public_address_of_instances",
        lambda made: launch(made)["NetworkInterfaces"][0].pop("AssociatePublicIpAddress"),
    ),
    (
        "no_public_address_of_instances",
        lambda made: launch(made)["NetworkInterfaces"][0].update(AssociatePublicIpAddress=True),
    ),
    (
        "no_public_address_of_subnets",
        lambda made: properties(made, "PublicSubnet2").update(MapPublicIpOnLaunch=True),
    ),
    (
        "no_public_address_of_subnets",
        lambda made: properties(made, "PrivateSubnet1").pop("MapPublicIpOnLaunch"),
    ),
    (
        "encrypted_disks",
        lambda made: launch(made)["BlockDeviceMappings"][0]["Ebs"].pop("Encrypted"),
    ),
    (
        "encrypted_disks",
        lambda made: launch(made)["BlockDeviceMappings"].append(
            {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 8}}
        ),
    ),
    ("encrypted_disks", lambda made: launch(made).pop("BlockDeviceMappings")),
    ("private_buckets", lambda made: properties(made, "Bucket").pop("BucketEncryption")),
    (
        "private_buckets",
        lambda made: properties(made, "Bucket")["PublicAccessBlockConfiguration"].update(
            IgnorePublicAcls=False
        ),
    ),
)


@pytest.mark.parametrize(("rule", "mutate"), MUTATIONS)
def test_a_template_that_breaks_one_rule_is_found(
    rule: str, mutate: Callable[[dict[str, Any]], object]
) -> None:
    made = template.render(plan(2, partition.SMALLEST))
    assert broken(made) == set()
    mutate(made)
    assert broken(made) == {rule}


def test_each_rule_has_a_template_that_breaks_it() -> None:
    assert {rule for rule, _ in MUTATIONS} == NAMES
