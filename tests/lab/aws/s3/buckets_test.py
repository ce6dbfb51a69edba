"""Buckets and objects, for the caller and for containers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from sm_proxy_lab import account
from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import Lab, refusal

BUCKET = "sm-proxy-lab"
POLICY = {"RoleName": "sm-proxy-lab", "PolicyName": "sm-proxy-lab"}

Client = Callable[..., Any]


@pytest.fixture(scope="module")
def s3(lab_process: Lab) -> Client:
    """Makes a client of S3 with the keys of the user or of a job's container."""
    sessions: dict[str, Any] = {}

    def make(who: str = "user", region: str = "us-east-1") -> Any:
        keys = account if who == "user" else role_credentials
        session = sessions.setdefault(who, botocore.session.Session())
        return session.create_client(
            "s3",
            region_name=region,
            endpoint_url=lab_process.endpoint,
            aws_access_key_id=keys.ACCESS_KEY,
            aws_secret_access_key=keys.SECRET_KEY,
            aws_session_token=getattr(keys, "TOKEN", None),
            config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}),
        )

    return make


@pytest.fixture
def policy(lab: Lab) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Replaces the policy of the jobs' role for one test."""
    iam = lab.client("iam")
    before = iam.get_role_policy(**POLICY)["PolicyDocument"]

    def put(statements: list[dict[str, Any]]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(**POLICY, PolicyDocument=document)

    yield put
    put(before["Statement"])


@pytest.mark.parametrize("who", ["user", "container"])
def test_objects_are_written_listed_copied_and_read(s3: Client, who: str) -> None:
    client, prefix = s3(who), f"{uuid.uuid4().hex}/"
    content = bytes(range(256)) * 40
    client.put_object(Bucket=BUCKET, Key=f"{prefix}a b+c", Body=content)
    source = {"Bucket": BUCKET, "Key": f"{prefix}a b+c"}
    client.copy_object(Bucket=BUCKET, Key=f"{prefix}copy", CopySource=source)
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert [item["Key"] for item in listed] == [f"{prefix}a b+c", f"{prefix}copy"]
    assert client.get_object(Bucket=BUCKET, Key=f"{prefix}copy")["Body"].read() == content
    assert client.head_object(Bucket=BUCKET, Key=f"{prefix}copy")["ContentLength"] == len(content)


def test_a_missing_object_is_reported(s3: Client) -> None:
    place = {"Bucket": BUCKET, "Key": f"{uuid.uuid4().hex}/nope"}
    assert refusal(s3().head_object, **place)[2] == 404
    assert refusal(s3().get_object, **place)[0] == "NoSuchKey"


def test_large_objects_are_copied_in_parts(s3: Client) -> None:
    client, prefix = s3(), uuid.uuid4().hex
    part = bytes(5 << 20)
    client.put_object(Bucket=BUCKET, Key=f"{prefix}/a", Body=part + b"end")
    place = {"Bucket": BUCKET, "Key": f"{prefix}/b"}
    upload = {**place, "UploadId": client.create_multipart_upload(**place)["UploadId"]}
    parts = []
    for number, (first, last) in enumerate([(0, len(part) - 1), (len(part), len(part) + 2)], 1):
        answer = client.upload_part_copy(
            **upload,
            PartNumber=number,
            CopySource=f"{BUCKET}/{prefix}/a",
            CopySourceRange=f"bytes={first}-{last}",
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert client.head_object(**place)["ContentLength"] == len(part) + 3
    for operation in (client.upload_part, client.complete_multipart_upload):
        more = {"PartNumber": 1} if operation == client.upload_part else {}
        assert refusal(operation, **upload, **more)[0] == "NoSuchUpload"


def test_the_sdks_default_bucket_is_there_in_each_region(s3: Client) -> None:
    name = "sagemaker-eu-west-1-123456789012"
    client = s3(region="eu-west-1")
    client.head_bucket(Bucket=name)
    assert client.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert refusal(client.list_objects_v2, Bucket="nope-bucket")[0] == "NoSuchBucket"


def test_a_bucket_of_another_region_is_named_with_its_region(lab: Lab, s3: Client) -> None:
    name = f"west-{uuid.uuid4().hex[:12]}"
    west = s3(region="eu-west-1")
    west.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    # botocore reads the region from the refusal and asks again.
    s3().put_object(Bucket=name, Key="k", Body=b"x")
    regions = [call["region"] for call in lab.calls() if call["service"] == "s3"]
    assert regions[-1] == "eu-west-1"
    assert "us-east-1" in regions[-3:]
    assert west.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


def test_a_container_may_only_what_its_role_may(
    lab: Lab, s3: Client, policy: Callable[[list[dict[str, Any]]], None]
) -> None:
    place = {"Bucket": BUCKET, "Key": f"{uuid.uuid4().hex} ü+"}
    s3().put_object(**place, Body=b"x")
    inside = s3("container")
    inside.get_object(**place)
    deny = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
    writing = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}
    policy([listing, deny, writing])
    code, words, status = refusal(inside.get_object, **place)
    assert (code, status) == ("AccessDenied", 403)
    assert words == (
        "User: arn:aws:sts::123456789012:assumed-role/sm-proxy-lab/SageMaker is not authorized to "
        f'perform: s3:GetObject on resource: "arn:aws:s3:::{BUCKET}/{place["Key"]}" with an '
        "explicit deny in an identity-based policy"
    )
    source = dict(place)
    assert refusal(inside.copy_object, Bucket=BUCKET, Key="b", CopySource=source)[2] == 403
    inside.list_objects_v2(Bucket=BUCKET)
    policy([writing])
    assert refusal(inside.list_objects_v2, Bucket=BUCKET)[0] == "AccessDenied"
    s3().get_object(**place)  # the user's own permissions are others


def test_a_bucket_of_an_unexpected_owner_is_refused(s3: Client) -> None:
    place = {"Bucket": BUCKET, "Key": f"{uuid.uuid4().hex}/a"}
    stranger = {**place, "ExpectedBucketOwner": "999999999999"}
    assert refusal(s3().put_object, **stranger, Body=b"x")[0] == "AccessDenied"
    s3().put_object(**place, ExpectedBucketOwner="123456789012", Body=b"x")


def test_a_presigned_url_works_for_what_it_was_signed_for(s3: Client, lab: Lab) -> None:
    client, key = s3(region="us-east-1"), uuid.uuid4().hex
    where = {"Bucket": BUCKET, "Key": key}

    def sign(operation: str, seconds: int = 60) -> str:
        return str(client.generate_presigned_url(operation, where, ExpiresIn=seconds))

    assert sent("PUT", sign("put_object"), b"content") == (200, b"")
    assert sent("GET", sign("get_object")) == (200, b"content")
    assert b"SignatureDoesNotMatch" in sent("GET", sign("put_object"))[1]
    assert b"SignatureDoesNotMatch" in sent("GET", sign("get_object").replace(key, key[1:]))[1]
    assert b"Request has expired" in sent("GET", sign("get_object", 0))[1]
    unknown = sign("get_object").replace(account.ACCESS_KEY, "AKIAUNKNOWNUNKNOWN00")
    assert b"InvalidAccessKeyId" in sent("GET", unknown)[1]


def sent(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """The status and the body of an answer."""
    kind = {"Content-Type": "binary/octet-stream"}  # moto takes urllib's own for a form
    request = urllib.request.Request(url, body, kind, method=method)  # noqa: S310 - the lab's
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
