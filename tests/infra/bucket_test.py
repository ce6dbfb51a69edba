from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import bucket
from sm_proxy.settings.deadline import Deadline
from tests.fakes import FakeAws
from tests.infra.fake_cloudformation import Lines

GONE = ServiceError("NoSuchBucket", "no", "s3:ListObjectVersions")


def version(key: str, size: int = 1, number: str = "v1") -> dict[str, Any]:
    return {"Key": key, "Size": size, "VersionId": number}


PAGES: list[dict[str, Any]] = [
    {
        "Versions": [version("build/a.zip", 2_000_000), version("build/b.zip", 100_000)],
        "IsTruncated": True,
        "NextKeyMarker": "build/b.zip",
        "NextVersionIdMarker": "v1",
    },
    {
        "Versions": [version("sm-proxy/x/y", 5)],
        "DeleteMarkers": [{"Key": "sm-proxy/x/z", "VersionId": "v2"}],
    },
]


def test_contents_are_counted_by_prefix() -> None:
    aws = FakeAws(ListObjectVersions=list(PAGES))
    found = bucket.contents(aws, "b")
    assert found.words == "build/ (2 objects, 2.1 MB), sm-proxy/ (2 objects, 5 B)"
    assert found.others == ()
    assert aws.calls[1][1] == {
        "Bucket": "b",
        "KeyMarker": "build/b.zip",
        "VersionIdMarker": "v1",
    }
    bucket.refuse_data("b", found)


def test_a_bucket_with_files_of_the_user_is_refused_and_they_are_named() -> None:
    aws = FakeAws(
        ListObjectVersions={"Versions": [version("build/a"), version("models/m"), version("top")]}
    )
    with pytest.raises(SmProxyError) as caught:
        bucket.refuse_data("b", bucket.contents(aws, "b"))
    assert caught.value.code == "in-use"
    assert "models/ (1 object, 1 B), top (1 object, 1 B)" in caught.value.message
    assert "--with-data" in caught.value.hint


def test_a_bucket_that_is_gone_is_empty() -> None:
    assert bucket.contents(FakeAws(ListObjectVersions=GONE), "b").words == "empty"
    aws = FakeAws(ListObjectVersions=GONE)
    assert bucket.empty(aws, "b", Deadline(9), Lines(), with_data=False) == 0


def test_every_version_and_delete_marker_is_deleted() -> None:
    aws = FakeAws(ListObjectVersions=list(PAGES), DeleteObjects={})
    assert bucket.empty(aws, "b", Deadline(9), Lines(), with_data=False) == 4
    deleted = [given["Delete"] for name, given in aws.calls if name == "DeleteObjects"]
    assert deleted == [
        {
            "Objects": [
                {"Key": "build/a.zip", "VersionId": "v1"},
                {"Key": "build/b.zip", "VersionId": "v1"},
                {"Key": "sm-proxy/x/y", "VersionId": "v1"},
                {"Key": "sm-proxy/x/z", "VersionId": "v2"},
            ],
            "Quiet": True,
        }
    ]


def test_files_that_are_added_after_the_check_stay() -> None:
    versions = {"Versions": [version("build/a"), version("models/m")]}
    for with_data, keys in ((False, ["build/a"]), (True, ["build/a", "models/m"])):
        aws = FakeAws(ListObjectVersions=versions, DeleteObjects={})
        bucket.empty(aws, "b", Deadline(9), Lines(), with_data=with_data)
        (deleted,) = (given["Delete"] for name, given in aws.calls if name == "DeleteObjects")
        assert [item["Key"] for item in deleted["Objects"]] == keys


def test_a_full_bucket_is_emptied_in_batches_within_the_time() -> None:
    many = [version(f"build/{number}") for number in range(2001)]
    aws = FakeAws(ListObjectVersions={"Versions": many}, DeleteObjects={})
    said = Lines()
    assert bucket.empty(aws, "b", Deadline(60), said, with_data=False) == 2001
    assert said.dim == ["deleted 1000 objects of b", "deleted 2000 objects of b"]
    with pytest.raises(SmProxyError) as caught:
        bucket.empty(aws, "b", Deadline(0), said, with_data=False)
    assert caught.value.code == "wait-timeout"


def test_an_object_that_s3_keeps_is_an_error() -> None:
    kept = {"Errors": [{"Key": "build/a", "Code": "AccessDenied", "Message": "not yours"}]}
    aws = FakeAws(ListObjectVersions={"Versions": [version("build/a")]}, DeleteObjects=kept)
    with pytest.raises(SmProxyError, match="build/a: not yours") as caught:
        bucket.empty(aws, "b", Deadline(9), Lines(), with_data=False)
    assert caught.value.code == "access-denied"
