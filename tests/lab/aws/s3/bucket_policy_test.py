"""A bucket's policy: its denials count, with their conditions."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.iam.identities import ADMINISTRATOR, allow, client, make_role, session


@pytest.fixture
def bucket(lab: Lab) -> str:
    name = f"b-{uuid.uuid4().hex[:8]}"
    client(lab, "s3", ADMINISTRATOR).create_bucket(Bucket=name)
    return name


def deny(lab: Lab, bucket: str, **more: Any) -> None:
    """Deny to read objects, to everybody unless `more` says otherwise."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        **more,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client(lab, "s3", ADMINISTRATOR).put_bucket_policy(Bucket=bucket, Policy=document)


def test_a_denial_counts_for_the_administrator_too(lab: Lab, bucket: str) -> None:
    s3 = client(lab, "s3", ADMINISTRATOR)
    s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    deny(lab, bucket)
    code, words, _ = refusal(s3.get_object, Bucket=bucket, Key="k")
    assert code == "AccessDenied"
    assert "explicit deny in a resource-based policy" in words
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")


def test_a_bucket_that_refuses_http_is_reached(lab: Lab, bucket: str) -> None:
    """The lab's endpoint stands for one with TLS."""
    deny(lab, bucket, Action="s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    client(lab, "s3", ADMINISTRATOR).put_object(Bucket=bucket, Key="k", Body=b"1")


def test_a_denial_is_for_its_principals(lab: Lab, bucket: str) -> None:
    role, other = (make_role(lab, allow("s3:*")) for _ in range(2))
    client(lab, "s3", ADMINISTRATOR).put_object(Bucket=bucket, Key="k", Body=b"1")
    deny(lab, bucket, Principal={"AWS": role})
    client(lab, "s3", session(lab, other)).get_object(Bucket=bucket, Key="k")
    theirs = client(lab, "s3", session(lab, role))
    assert refusal(theirs.get_object, Bucket=bucket, Key="k")[0] == "AccessDenied"
