from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import s3
from sm_proxy.identity.identities import Identity
from tests.fakes import HOST_KEY, FakeAws

KEY = Identity(Path("k"), f"{HOST_KEY} sm-proxy")


def test_each_key_is_one_object() -> None:
    aws = FakeAws(PutObject={}, DeleteObject={})
    address = s3.push(aws, "s3://team-keys/some/keys/", KEY)
    assert address.startswith("s3://team-keys/some/keys/sm-proxy-")
    assert s3.remove(aws, "s3://team-keys/some/keys/", KEY) == address
    (_, put), (_, deleted) = aws.calls
    assert put["Body"] == f"{HOST_KEY} sm-proxy\n".encode()
    assert {name: put[name] for name in ("Bucket", "Key")} == deleted
    other = Identity(Path("k"), HOST_KEY.replace("JkD", "JkE"))
    assert s3.push(aws, "s3://team-keys/some/keys/", other) != address


def test_the_objects_name_does_not_depend_on_the_comment() -> None:
    bare = Identity(Path("k"), HOST_KEY)
    assert s3.object_location("s3://keys/", bare) == s3.object_location("s3://keys/", KEY)


@pytest.mark.parametrize(
    "url",
    ["", "keys/", "s3://", "s3:///keys/", "s3://keys", "s3://keys/one.pub", "s3://keys/a b/"],
)
def test_a_url_that_is_not_a_folder_is_refused(url: str) -> None:
    with pytest.raises(SmProxyError, match="is not an S3 folder") as caught:
        s3.push(FakeAws(), url, KEY)
    assert caught.value.code == "bad-setting"


def test_a_refusal_of_s3_is_reported() -> None:
    aws = FakeAws(PutObject=ServiceError("NoSuchBucket", "it is not there", "s3:PutObject"))
    with pytest.raises(SmProxyError, match="NoSuchBucket"):
        s3.push(aws, "s3://keys/", KEY)
