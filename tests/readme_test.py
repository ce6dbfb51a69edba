"""The README names what a user needs to know: permissions, error codes, editors."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from sm_proxy.aws.models import OPERATIONS
from sm_proxy.errors import Code
from sm_proxy.settings.route_names import ROUTE_NAMES
from sm_proxy.settings.schema import FLAGS, Settings

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


NOT_CALLED = {"iam:PassRole", "sagemaker:AddTags"}
"""AWS checks these when a job is created, for its role and for its tags."""
OF_INFRA = {"cloudformation", "autoscaling", "codebuild"}
FOR_INFRA = {
    *("ec2:DescribeAvailabilityZones", "ec2:DescribeVpcAttribute"),
    *("ec2:DescribeVpcEndpointServices", "ec2:DescribeVpcs"),
    *("ecr:CreateRepository", "ecr:DeleteRepository", "ecr:DescribeRepositories"),
    "ecr:ListTagsForResource",
}
"""Calls of `infra` and `image`, which `sm-proxy infra policy` is to name."""


def test_the_permissions_allow_every_call() -> None:
    policies = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    assert len(policies) == 2
    actions = {
        word
        for policy in policies
        for item in json.loads(policy)["Statement"]
        for word in _words(item["Action"])
    }
    rest = README.partition("```json")[2].partition("```")[2].partition("\n### ")[0]
    optional = set(re.findall(r"`([\w-]+:\w+)`", rest))
    called = {f"{service}:{name}" for service, names in OPERATIONS.items() for name in names}
    called = {name for name in called - FOR_INFRA if name.split(":")[0] not in OF_INFRA}
    assert called - actions - optional == set()
    assert {name for name in actions if not name.startswith("s3:")} - called == NOT_CALLED


def test_the_table_has_every_error_code() -> None:
    lines = README.partition("\n| code | meaning |\n")[2].partition("\n\n")[0]
    table = re.findall(r"^\| (`[a-z-]+`(?: `[a-z-]+`)*) \|", lines, re.MULTILINE)
    codes = re.findall(r"`([a-z-]+)`", " ".join(table))
    assert sorted(codes) == sorted(set(get_args(Code)) - {"bug", "usage"})


def test_the_table_has_every_route_in_the_order_in_which_they_are_tried() -> None:
    lines = README.partition("\n| route | it serves |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([a-z-]+)` \|", lines, re.MULTILINE)
    assert [name for name in named if name in ROUTE_NAMES] == list(ROUTE_NAMES)


def test_the_table_has_every_setting_that_a_variable_can_set() -> None:
    lines = README.partition("\n| setting | default |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]*) \|", lines, re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(named) == sorted({item.name for item in fields(Settings)} - {"hosts"})
    flags = named[: named.index("daemon_idle") + 1]
    assert sorted(flags) == sorted(FLAGS)  # as the sentence below the table says


def _words(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
