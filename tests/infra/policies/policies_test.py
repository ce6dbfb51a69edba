"""Each piece allows what the code calls and the services need, and nothing more."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import botocore.session
import pytest

import sm_proxy
from sm_proxy.aws.models import OPERATIONS
from sm_proxy.infra import policies, template
from sm_proxy.infra.parts import resource
from sm_proxy.infra.policies import Scope
from sm_proxy.routes import bastion_lookup
from sm_proxy_lab.aws.iam import roles
from tests.infra.plans import plan

LARGEST: Final = {"managed": 6144, "inline": 10_240}
"""Characters without white space (IAM User Guide, IAM and AWS STS quotas)."""
SCOPES: Final = (
    Scope("aws", "*", "111122223333"),
    Scope("aws-cn", "cn-northwest-1", "111122223333", "a" * 35),
    Scope("aws-us-gov", "us-gov-west-1", "111122223333", "a" * 35),
    Scope("aws", "ap-southeast-1", "111122223333", "a" * 35),
)
S3: Final = {
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "CopyObject": {"s3:GetObject", "s3:PutObject"},
    "CreateMultipartUpload": {"s3:PutObject"},
    "DeleteObject": {"s3:DeleteObject"},
    "DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "GetObject": {"s3:GetObject"},
    "HeadBucket": {"s3:ListBucket"},
    "HeadObject": {"s3:GetObject"},
    "ListObjectVersions": {"s3:ListBucketVersions"},
    "ListObjectsV2": {"s3:ListBucket"},
    "PutObject": {"s3:PutObject"},
    "UploadPart": {"s3:PutObject"},
    "UploadPartCopy": {"s3:GetObject", "s3:PutObject"},
}
"""The actions of S3's operations (Amazon S3 User Guide, Required permissions for S3 API)."""
CONTAINER: Final = Path(__file__).parents[3] / "container"
KMS: Final = {"kms:GenerateDataKey"}
ON_INSTANCES: Final = {"ssm", "ec2-instance-connect"}
"""Services whose actions concern instances of EC2."""


def actions(*names: str, minimal: bool = False) -> set[str]:
    return {
        action
        for name in names or policies.PIECES
        for item in policies.statements(name, SCOPES[0], minimal=minimal)
        for action in item.actions
    }


def of_s3() -> set[str]:
    """S3 operations that some module of ours names, as the actions that they need."""
    known = set(botocore.session.get_session().get_service_model("s3").operation_names)
    root = Path(sm_proxy.__file__).parent
    named = {
        node.value
        for path in root.rglob("*.py")
        if '"s3"' in (text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {action for operation in named & known for action in S3[operation]}


def called() -> set[str]:
    ours = {f"{service}:{name}" for service, names in OPERATIONS.items() for name in names}
    return ours | of_s3() | KMS


def test_some_piece_allows_each_call() -> None:
    assert called() - actions("user", "launcher", "admin") == set()


def test_no_policy_allows_an_action_that_is_not_needed() -> None:
    assert actions() - called() - set(policies.OWN) == set()


def test_each_action_of_a_service_is_in_a_piece_and_has_a_source() -> None:
    assert set(policies.OWN) - actions() == set()
    assert all(" " in source for source in policies.OWN.values())


@pytest.mark.parametrize("name", policies.PIECES)
@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: f"{scope.partition} {scope.region}")
def test_a_document_is_small_and_of_its_partition(name: str, scope: Scope) -> None:
    text = json.dumps(policies.document(name, scope), separators=(",", ":"))
    assert len(text) <= LARGEST["managed"]
    assert {found[1] for found in re.finditer(r'"arn:([^:]+):', text)} <= {scope.partition}
    assert "${AWS::" not in text


@pytest.mark.parametrize("name", policies.PIECES)
def test_statements_are_well_formed(name: str) -> None:
    rows = policies.statements(name, SCOPES[0])
    assert len({row.sid for row in rows}) == len(rows)
    grants = [
        (action, resource, str(row.conditions))
        for row in rows
        for action in row.actions
        for resource in row.resources
    ]
    assert len(set(grants)) == len(grants)  # nothing is allowed twice
    for row in rows:
        assert re.fullmatch(r"[A-Za-z0-9]+", row.sid)
        assert row.why
        assert row.actions
        assert len(set(row.actions)) == len(row.actions)
        services = {action.partition(":")[0] for action in row.actions}
        assert all(re.fullmatch(r"[a-z0-9-]+:[A-Za-z*]+", action) for action in row.actions)
        services |= {"ec2"} if services & ON_INSTANCES else set()
        services |= {"ssm"} if "ssmmessages" in services else set()  # its sessions
        services |= {"sagemaker"} if "ssm" in services else set()  # nodes of HyperPod clusters
        for arn in row.resources:
            assert arn == "*" or arn.split(":")[2] in services


@pytest.mark.parametrize("name", policies.PIECES)
def test_nothing_allows_everything_of_a_service(name: str) -> None:
    for row in policies.statements(name, SCOPES[0]):
        assert not [action for action in row.actions if action.endswith(":*")]
        if row.actions[0] == "iam:PassRole":
            assert "*" not in row.resources
            assert "iam:PassedToService" in row.conditions["StringEquals"]


def test_without_optional_statements_ssh_still_has_its_way() -> None:
    least = actions("user", minimal=True)
    assert {"ssm:StartSession", "logs:GetLogEvents", "sagemaker:DescribeTrainingJob"} <= least
    assert least < actions("user")


def test_users_may_open_sessions_to_the_bastions_that_connect_looks_for() -> None:
    conditions = [item.conditions for item in policies.statements("user", SCOPES[0])]
    assert {"StringEquals": {f"ssm:resourceTag/{bastion_lookup.TAG}": "bastion"}} in conditions


def test_agents_are_allowed_what_they_call_and_nothing_else() -> None:
    """The lab's agents ask for what the guides say; it has a list of its own."""
    of_bastions = {"ssm:UpdateInstanceInformation", *roles.AGENT_ACTIONS}
    assert actions("bastion") == of_bastions
    optional = [row for row in policies.statements("job", SCOPES[0]) if row.optional]
    assert [set(row.actions) for row in optional] == [set(roles.AGENT_ACTIONS)]
    assert set(roles.NETWORK_ACTIONS) <= actions("job", minimal=True)


def test_the_files_of_a_container_may_be_read_and_written() -> None:
    """Our programs in an image call S3 with the role of the job."""
    called_there = set(re.findall(r"\bs3\.([a-z0-9_]+)\(", (CONTAINER / "s3.py").read_text()))
    operations = {"".join(map(str.capitalize, name.split("_"))) for name in called_there}
    assert operations == {"GetObject", "ListObjectsV2", "PutObject"}
    assert set().union(*(S3[name] for name in operations)) <= actions("job", minimal=True)


def listed(words: str | list[str]) -> list[str]:
    """One word or several, as in a policy."""
    return [words] if isinstance(words, str) else words


def policies_in(node: Any) -> Iterator[dict[str, Any]]:
    """The policy documents of a template."""
    if isinstance(node, dict):
        if "Version" in node and "Statement" in node:
            yield node
        for item in node.values():
            yield from policies_in(item)
    elif isinstance(node, list):
        for item in node:
            yield from policies_in(item)


def substituted(node: Any) -> Any:
    """What CloudFormation makes of `Fn::Sub` in us-east-1."""
    if isinstance(node, dict):
        if set(node) == {"Fn::Sub"}:
            text = node["Fn::Sub"]
            for name, value in (
                *(("Partition", "aws"), ("Region", "us-east-1"), ("AccountId", "111122223333")),
                ("StackName", "sm-proxy"),
            ):
                text = text.replace(f"${{AWS::{name}}}", value)
            return text.replace("${!", "${")
        return {key: substituted(value) for key, value in node.items()}
    return [substituted(item) for item in node] if isinstance(node, list) else node


def test_the_template_has_the_same_documents() -> None:
    found = [substituted(item) for item in policies_in(template.render(plan())["Resources"])]
    scope = Scope("aws", "us-east-1", "111122223333")
    for name in ("user", "job", "bastion", "build", "launcher"):
        assert policies.document_of_stack(name, scope) in found


def test_the_stacks_user_policy_opens_no_space_and_no_node() -> None:
    rows = policies.document_of_stack("user", SCOPES[0])["Statement"]
    allowed = {
        (action, arn)
        for row in rows
        for action in listed(row["Action"])
        for arn in listed(row["Resource"])
    }
    assert not [action for action, _ in allowed if action == "sagemaker:StartSession"]
    assert not [arn for action, arn in allowed if action == "ssm:StartSession" and "cluster" in arn]


def test_a_variable_of_iam_stays_one_in_the_template() -> None:
    mixed = resource.substituted(["${AWS::StackName}/${aws:username}", "${aws:userid}"])
    assert mixed == [{"Fn::Sub": "${AWS::StackName}/${!aws:username}"}, "${aws:userid}"]
