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
role = iam.create_role(RoleName="Wrong", AssumeRolePolicyDocument=document)["Role"]["Arn"]
iam.put_role_policy(RoleName="Wrong", PolicyName="wrong", PolicyDocument=POLICY)
keys = client("sts").assume_role(RoleArn=role, RoleSessionName="somebody")["Credentials"]
answer = {
    "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
    "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
    "AWS_SESSION_TOKEN": keys["SessionToken"],
}
"""


@contextlib.contextmanager
def role_with(lab: Lab, policy: str) -> Iterator[dict[str, str]]:
    """The variables of somebody whose role has only one of our policies: see `infra policy`."""
    document = lab.sm_proxy("infra", "policy", policy, "--account", "123456789012").stdout.decode()
    yield lab.python(f"POLICY = {document!r}\n{_ASSUME}")
    lab.python(
        "iam.delete_role_policy(RoleName='Wrong', PolicyName='wrong')\n"
        "answer = iam.delete_role(RoleName='Wrong') and None"
    )
