"""Roles with a policy, and botocore clients with their sessions."""

from __future__ import annotations

import json
import uuid
from typing import Any

import botocore.config
import botocore.session

from sm_proxy_lab import account
from tests.lab.aws.harness import REGION, Lab

ADMINISTRATOR = {
    "aws_access_key_id": account.ACCESS_KEY,
    "aws_secret_access_key": account.SECRET_KEY,
}
"""Keys whose signatures S3 accepts."""
ROOT = {"AWS": "arn:aws:iam::123456789012:root"}


def make_role(lab: Lab, *statements: dict[str, Any], trust: Any = None) -> str:
    """A new role with one inline policy; return its ARN."""
    iam = lab.client("iam")
    name = f"role-{uuid.uuid4().hex[:8]}"
    assume = trust or {"Effect": "Allow", "Principal": ROOT, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(assume))
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*statements))
    return str(made["Role"]["Arn"])


def document(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: str | list[str], resource: str = "*", **condition: Any) -> dict[str, Any]:
    """A statement that allows actions."""
    more = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def session(lab: Lab, role: str, name: str = "me", **more: Any) -> dict[str, str]:
    """The keys of a new session of a role, as arguments of a client."""
    assumed = lab.client("sts").assume_role(RoleArn=role, RoleSessionName=name, **more)
    keys = assumed["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }


def client(lab: Lab, service: str, keys: dict[str, Any], region: str = REGION) -> Any:
    """A botocore client that never retries."""
    return botocore.session.Session().create_client(
        service,
        region_name=region,
        endpoint_url=lab.endpoint,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
        **keys,
    )
