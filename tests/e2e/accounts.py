"""The lab's account: what it has, a stack's outputs, and people with one policy of ours."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, Final

from tests.e2e.labs import Lab
from tests.lab.aws.holdings import holdings

_HOLDINGS: Final = f"from __future__ import annotations\n{inspect.getsource(holdings)}"


def listed(lab: Lab) -> dict[str, list[str]]:
    """What the lab's account has: see `holdings`."""
    found: dict[str, list[str]] = lab.python(f"{_HOLDINGS}\nanswer = holdings(client)")
    return found


def outputs(lab: Lab, stack: str = "sm-proxy") -> dict[str, str]:
    """The outputs of a stack."""
    made: list[dict[str, Any]] = lab.python(
        f"answer = client('cloudformation').describe_stacks(StackName={stack!r})"
        "['Stacks'][0].get('Outputs', [])"
    )
    return {item["OutputKey"]: item["OutputValue"] for item in made}


_ASSUME: Final = """
iam, trust = client("iam"), {"AWS": "arn:aws:iam::123456789012:root"}
trust = {"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}
document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
role = iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=document)["Role"]["Arn"]
for name, text in POLICIES.items():
    iam.put_role_policy(RoleName=NAME, PolicyName=name, PolicyDocument=text)
keys = client("sts").assume_role(RoleArn=role, RoleSessionName="somebody")["Credentials"]
answer = {
    "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
    "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
    "AWS_SESSION_TOKEN": keys["SessionToken"],
}
"""


@contextlib.contextmanager
def role_with(lab: Lab, *policies: str, minimal: bool = False) -> Iterator[dict[str, str]]:
    """The variables of somebody whose role has only these policies of ours: see `infra policy`."""
    words = ("--account", "123456789012", *(["--minimal"] if minimal else []))
    documents = {
        policy: lab.sm_proxy("infra", "policy", policy, *words).stdout.decode()
        for policy in policies
    }
    name = "-".join(policies)
    yield lab.python(f"NAME, POLICIES = {name!r}, {documents!r}\n{_ASSUME}")
    lab.python(
        f"NAME, POLICIES = {name!r}, {documents!r}\n"
        "for name in POLICIES:\n"
        "    iam.delete_role_policy(RoleName=NAME, PolicyName=name)\n"
        "answer = iam.delete_role(RoleName=NAME) and None"
    )
