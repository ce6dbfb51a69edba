"""cfn-lint, the linter of CloudFormation's makers, has nothing to say about our templates."""

from __future__ import annotations

import pytest

from sm_proxy.infra import partition, template
from tests.infra.plans import REGIONS, VARIED, ZONES, plan
from tests.soak import cases, only_in_soak

# The linter's import costs a second in each process.
pytestmark = pytest.mark.xdist_group("cfnlint")

QUICK = ["China, all endpoints", "an existing VPC"]
"""Each plan costs a second. The plan with errors below has one NAT gateway."""


def findings(text: str, region: str) -> list[str]:
    # Imported here: it takes a second, and every worker imports all test modules.
    from cfnlint.api import lint

    return [f"{item.rule.id} {item.message}" for item in lint(text, regions=[region])]


@pytest.mark.parametrize("name", cases(VARIED, QUICK))
def test_nothing_is_found(name: str) -> None:
    made = VARIED[name]
    assert findings(template.as_json(template.render(made)), made.region) == []


@only_in_soak
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("zones", ZONES)
@pytest.mark.parametrize("nat", ["one", "per-zone", "none"])
def test_nothing_is_found_in_any_combination(region: str, zones: int, nat: str) -> None:
    made = plan(zones, partition.SMALLEST, region, nat=nat)
    assert findings(template.as_yaml(template.render(made)), region) == []


def test_the_linter_reports_errors_and_warnings() -> None:
    made = template.render(plan())
    made["Metadata"].pop("cfn-lint")
    made["Resources"]["Vpc"]["Properties"]["CidrBlok"] = "10.0.0.0/16"
    found = {item.split()[0] for item in findings(template.as_json(made), "eu-west-1")}
    assert found == {"W3010", "E3002"}
