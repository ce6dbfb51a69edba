"""The zip is uploaded once, to a bucket of the project's account."""

from __future__ import annotations

import io
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.image import upload
from sm_proxy.image.archive import Archive
from tests.fakes import FakeAws
from tests.image.account import ACCOUNT, PROJECT, account

MADE = Archive("ab" * 32, 3)


def ensured(aws: FakeAws, made: Archive = MADE) -> bool:
    return upload.ensure(aws, PROJECT, made, io.BytesIO(b"zip"), print)


def test_a_new_one_is_uploaded_with_its_checksum() -> None:
    bodies: list[bytes] = []

    def put(**given: Any) -> dict[str, Any]:
        bodies.append(given.pop("Body").read())
        assert given == {
            "Bucket": "the-bucket",
            "Key": f"build/{'ab' * 32}.zip",
            "ExpectedBucketOwner": ACCOUNT,
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": MADE.checksum,
        }
        return {}

    assert ensured(account(PutObject=put))
    assert bodies == [b"zip"]


def test_an_uploaded_archive_is_not_uploaded_again() -> None:
    aws = account(HeadObject={"ChecksumSHA256": MADE.checksum})
    assert not ensured(aws)
    assert aws.calls[0][1]["ExpectedBucketOwner"] == ACCOUNT
    assert aws.operations() == ["HeadObject"]


@pytest.mark.parametrize(
    "head", [{}, {"ChecksumSHA256": "other"}, SmProxyError("access-denied", "denied")]
)
def test_a_file_that_may_differ_is_replaced(head: Any) -> None:
    assert ensured(account(HeadObject=head))


def test_a_missing_bucket_is_named() -> None:
    absent = ServiceError("NoSuchBucket", "none", "s3:PutObject")
    with pytest.raises(SmProxyError, match=r"bucket the-bucket .* does not exist") as caught:
        ensured(account(PutObject=absent))
    assert "infra deploy" in caught.value.hint


def test_an_archive_above_the_limit_of_s3_is_refused_at_once() -> None:
    aws = account()
    with pytest.raises(SmProxyError, match=r"6\.0 GB"):
        ensured(aws, Archive("ab" * 32, 6_000_000_000))
    assert aws.calls == []


def test_a_long_upload_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_EVERY_S", 0.0)
    told: list[str] = []

    def put(**given: Any) -> dict[str, Any]:
        assert given["Body"].tell() == 0
        given["Body"].read(2_000_000)
        given["Body"].seek(0)  # as botocore does before it tries again
        given["Body"].read()
        return {}

    file = io.BytesIO(bytes(4_000_000))
    made = Archive("ab" * 32, 4_000_000)
    upload.ensure(account(PutObject=put), PROJECT, made, file, told.append)
    assert [line.rpartition(": ")[2] for line in told] == [
        "2.0 MB of 4.0 MB",
        "4.0 MB of 4.0 MB",
    ]
