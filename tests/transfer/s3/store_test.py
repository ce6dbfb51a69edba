"""The URLs of a hand-over: for the bucket's own region, and with a signature that KMS accepts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.s3 import integrity, objects, store
from sm_proxy.transfer.s3.store import Store
from sm_proxy_lab.aws.http.call import ACCOUNT
from tests.lab.aws.harness import Lab
from tests.transfer.s3.conftest import BUCKET

pytestmark = pytest.mark.xdist_group("transfer-s3")


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "s3.amazonaws.com"),
        ("eu-central-1", "s3.eu-central-1.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_a_url_is_of_the_partition_and_signed_by_version_4(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    place = Store(Aws(region=region), "buc", "p/")
    url = urlsplit(place.url("put_object", 900, Key=place.key(1)))
    query = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert (url.hostname, url.path) == (host, f"/buc/{place.key(1)}")
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == "900"
    assert f"/{region}/s3/" in query["X-Amz-Credential"]
    inside = urlsplit(replace(place, endpoint="http://10.0.0.1").url("get_object", 9, Key="p/1"))
    assert (inside.hostname, inside.path) == ("10.0.0.1", "/buc/p/1")


def test_a_copy_has_a_folder_of_its_own(aws: Aws) -> None:
    one, other = (store.open_store(aws, f"{BUCKET}/mine", None) for _ in range(2))
    assert one.folder != other.folder
    assert one.key(7).startswith("mine/sm-proxy/copy/")


def test_a_bucket_may_be_in_another_region(aws: Aws) -> None:
    place = store.open_store(aws, f"sagemaker-eu-west-1-{ACCOUNT}", None)
    place.call("PutObject", Key=place.key(1), Body=b"x")
    assert place.aws.region == "eu-west-1"
    assert objects.head(place.aws, place.bucket, place.key(1)) is not None
    place.clear([place.key(1)], {})
    assert objects.head(place.aws, place.bucket, place.key(1)) is None


def test_a_bucket_of_an_unknown_region_counts_as_one_of_this_region(lab: Lab, aws: Aws) -> None:
    lab.control.faults(deny=["s3:ListBucket"])
    assert store.open_store(aws, BUCKET, None).aws.region == aws.region


def test_a_refusal_names_what_a_copy_needs(lab: Lab, aws: Aws) -> None:
    place = store.open_store(aws, BUCKET, None)
    lab.control.faults(deny=["s3:PutObject"])
    with pytest.raises(SmProxyError) as caught:
        place.call("CreateMultipartUpload", Key=place.key(1))
    assert caught.value.code == "access-denied"
    assert "s3:AbortMultipartUpload" in caught.value.hint
    place.clear([place.key(1)], {place.key(1): "no-such-upload"})  # as far as that is possible


def test_s3_has_no_md5_of_an_encrypted_object(s3: Any, aws: Aws, tmp_path: Path) -> None:
    s3.put_object(
        Bucket=BUCKET,
        Key="encrypted",
        Body=b"x",
        ServerSideEncryption="aws:kms",
        ChecksumAlgorithm="SHA1",
    )
    item = objects.head(aws, BUCKET, "encrypted")
    assert item is not None
    (tmp_path / "f").write_bytes(b"x")
    assert integrity.agrees(aws, item, tmp_path / "f") is None
