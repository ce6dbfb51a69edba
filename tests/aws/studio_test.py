"""The metadata file of Studio and notebooks leads to a VPC, or says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws import studio
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from tests.fakes import SUBNETS, Answers, FakeAws

NOTEBOOK = {
    "ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:notebook-instance/mine",
    "ResourceName": "mine",
}
STUDIO = {"AppType": "JupyterLab", "DomainId": "d-abc123", "ResourceArn": "arn:aws:sagemaker:x"}
VPC_ONLY = {"AppNetworkAccessType": "VpcOnly", "VpcId": "vpc-1"}
NOT_FOUND = ServiceError("ResourceNotFound", "no", "sagemaker:DescribeDomain")
DENIED = SmProxyError("access-denied", "no", "ask")


def own_vpc(tmp_path: Path, content: Any, **answers: Answers) -> studio.OwnVpc:
    path = tmp_path / "resource-metadata.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return studio.own_vpc(FakeAws(**answers), path)


def test_a_notebook_is_in_the_vpc_of_its_subnet(tmp_path: Path) -> None:
    found = own_vpc(
        tmp_path,
        NOTEBOOK,
        DescribeNotebookInstance={"SubnetId": "subnet-1"},
        DescribeSubnets=SUBNETS,
    )
    assert found == ("vpc-1", "the notebook instance mine")


def test_a_studio_app_is_in_the_vpc_of_its_domain(tmp_path: Path) -> None:
    found = own_vpc(tmp_path, STUDIO, DescribeDomain=VPC_ONLY)
    assert found == ("vpc-1", "the domain d-abc123")


@pytest.mark.parametrize(
    ("content", "answers", "why"),
    [
        (
            STUDIO,
            {"DescribeDomain": {**VPC_ONLY, "AppNetworkAccessType": "PublicInternetOnly"}},
            "PublicInternetOnly",
        ),
        (STUDIO, {"DescribeDomain": DENIED}, "sagemaker:DescribeDomain is denied"),
        (
            STUDIO,
            {"DescribeDomain": ServiceError("ResourceNotFound", "no", "sagemaker:DescribeDomain")},
            "denied",
        ),
        (NOTEBOOK, {"DescribeNotebookInstance": DENIED}, "DescribeNotebookInstance is denied"),
        (NOTEBOOK, {"DescribeNotebookInstance": {}}, "in no VPC"),
        (
            NOTEBOOK,
            {"DescribeNotebookInstance": {"SubnetId": "s"}, "DescribeSubnets": DENIED},
            "unknown",
        ),
        (
            {"ResourceArn": NOTEBOOK["ResourceArn"].replace("eu-west-1", "us-east-1")},
            {},
            "us-east-1",
        ),
        ({}, {}, "names no domain"),
        ([], {}, "names no domain"),
        ("[" * 100_000, {}, "names no domain"),
        ({"DomainId": "d-x/../y"}, {}, "names no domain"),
        ({"DomainId": 5, "ResourceArn": None}, {}, "names no domain"),
    ],
)
def test_otherwise_the_vpc_is_unknown(
    tmp_path: Path, content: Any, answers: dict[str, Answers], why: str
) -> None:
    found = own_vpc(tmp_path, content, **answers)
    assert found.vpc_id is None
    assert why in found.how


def test_a_file_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert studio.own_vpc(FakeAws(), tmp_path / "none").vpc_id is None


def test_a_terminal_in_studio_knows_its_domain(tmp_path: Path) -> None:
    path = tmp_path / "resource-metadata.json"
    assert studio.own_domain(path) == ""
    for content, domain in ((STUDIO, "d-abc123"), (NOTEBOOK, ""), ({"DomainId": "d-/x"}, "")):
        path.write_text(json.dumps(content))
        assert studio.own_domain(path) == domain
