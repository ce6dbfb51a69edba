"""Checkpoints of a repeated job: a copy, none, or the same ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import checkpoints
from sm_proxy.launch.changes import Draft
from sm_proxy.launch.checkpoints import Copy, Mode
from tests.fakes import Answers, FakeAws

MB = 1 << 20
DENIED = SmProxyError("access-denied", "s3:X is denied", "Allow it.")


class Bucket(FakeAws):
    """A bucket of objects that have only a size, which it copies."""

    def __init__(self, sizes: dict[str, int], page: int = 1000, **answers: Answers) -> None:
        self.sizes = dict(sizes)
        self._page = page
        self._parts: dict[str, list[int]] = {}
        own: dict[str, Answers] = {
            "ListObjectsV2": self._list,
            "CopyObject": self._copy,
            "CreateMultipartUpload": lambda **_: {"UploadId": "u"},
            "UploadPartCopy": self._copy_part,
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": lambda **_: {},
        }
        super().__init__(**{**own, **answers})

    def _list(self, Bucket: str, Prefix: str, ContinuationToken: str = "0") -> dict[str, Any]:  # noqa: N803
        assert Bucket == "b"
        start = int(ContinuationToken)
        found = sorted(key for key in self.sizes if key.startswith(Prefix))
        page = found[start : start + self._page]
        more = start + self._page < len(found)
        return {
            "Contents": [{"Key": key, "Size": self.sizes[key], "ETag": f'"{key}"'} for key in page],
            "IsTruncated": more,
            **({"NextContinuationToken": str(start + self._page)} if more else {}),
        }

    def _source(self, given: dict[str, Any]) -> str:
        key = str(given["CopySource"]["Key"])
        assert given["CopySource"]["Bucket"] == "b"
        assert given["CopySourceIfMatch"] == f'"{key}"', "a changed object must not be copied"
        return key

    def _copy(self, Key: str, **given: Any) -> dict[str, Any]:  # noqa: N803
        self.sizes[Key] = self.sizes[self._source(given)]
        return {"CopyObjectResult": {}}

    def _copy_part(self, Key: str, PartNumber: int, **given: Any) -> dict[str, Any]:  # noqa: N803
        first, last = map(int, re.findall(r"\d+", given["CopySourceRange"]))
        assert last < self.sizes[self._source(given)]
        parts = self._parts.setdefault(Key, [])
        assert first == sum(parts)
        assert len(parts) == PartNumber - 1
        parts.append(last - first + 1)
        return {"CopyPartResult": {"ETag": f"e{PartNumber}"}}

    def _complete(self, Key: str, MultipartUpload: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803
        tags = [part["ETag"] for part in MultipartUpload["Parts"]]
        assert tags == [f"e{number}" for number in range(1, len(tags) + 1)]
        self.sizes[Key] = sum(self._parts[Key])
        return {}


def moved(
    aws: FakeAws,
    mode: Mode = "copy",
    uri: str = "s3://b/ckpt/bert",
    on_status: Callable[[str], None] = print,
) -> tuple[Draft, Copy | None]:
    config = {"CheckpointConfig": {"S3Uri": uri, "LocalPath": "/ckpt"}}
    draft = Draft(config if uri else {})
    return draft, checkpoints.move(draft, mode, "bert-ssh-1a2b", aws, on_status)


def copied(aws: FakeAws, on_status: Callable[[str], None] = print) -> None:
    """Plan the copy, and copy."""
    _, plan = moved(aws, on_status=on_status)
    assert plan is not None
    checkpoints.copy(aws, plan, on_status)


def test_the_new_prefix_is_beside_the_old_one_and_no_longer_form_of_it() -> None:
    aws = Bucket({"ckpt/bert/1.pt": 5, "ckpt/bert/sub/2.pt": 6, "ckpt/bertha/3.pt": 7})
    draft, plan = moved(aws)
    assert draft.get(("CheckpointConfig", "S3Uri")) == "s3://b/ckpt/sm-proxy/bert-ssh-1a2b/"
    assert draft.get(("CheckpointConfig", "LocalPath")) == "/ckpt"
    assert plan is not None
    before = dict(aws.sizes)
    checkpoints.copy(aws, plan, print)
    new = {key: size for key, size in aws.sizes.items() if key not in before}
    folder = "ckpt/sm-proxy/bert-ssh-1a2b"
    assert new == {f"{folder}/1.pt": 5, f"{folder}/sub/2.pt": 6}
    assert str(plan) == f"2 checkpoint files (11 B) from s3://b/ckpt/bert/ to s3://b/{folder}/"


@pytest.mark.parametrize("uri", ["s3://b/ckpt", "s3://b/ckpt/"])
def test_a_prefix_at_the_top_of_its_bucket_is_moved_too(uri: str) -> None:
    draft, _ = moved(Bucket({}), uri=uri)
    assert draft.get(("CheckpointConfig", "S3Uri")) == "s3://b/sm-proxy/bert-ssh-1a2b/"


def test_many_objects_are_copied_page_by_page() -> None:
    aws = Bucket({f"ckpt/bert/{number}": number for number in range(25)}, page=10)
    _, plan = moved(aws)
    assert plan is not None
    assert aws.operations() == ["ListObjectsV2"] * 3
    checkpoints.copy(aws, plan, print)
    assert sum(aws.sizes.values()) == 2 * sum(range(25))


def test_a_large_object_is_copied_in_parts() -> None:
    size = 3 * 256 * MB + 1
    aws = Bucket({"ckpt/bert/big": size, "ckpt/bert/exact": 256 * MB})
    copied(aws)
    assert aws.sizes["ckpt/sm-proxy/bert-ssh-1a2b/big"] == size
    assert aws.operations().count("UploadPartCopy") == 4
    assert aws.operations().count("CopyObject") == 1


def test_the_largest_object_of_s3_fits_into_its_parts() -> None:
    size = 5 * 1024 * 1024 * MB
    aws = Bucket({"ckpt/bert/big": size})
    copied(aws)
    assert aws.operations().count("UploadPartCopy") <= 10_000
    assert aws.sizes["ckpt/sm-proxy/bert-ssh-1a2b/big"] == size


def test_a_copy_in_parts_that_fails_leaves_no_parts_behind() -> None:
    lost = ServiceError("PreconditionFailed", "it has changed", "s3:UploadPartCopy")
    aws = Bucket({"ckpt/bert/big": 300 * MB}, UploadPartCopy=lost)
    _, plan = moved(aws)
    assert plan is not None
    with pytest.raises(SmProxyError, match="s3://b/ckpt/bert/big cannot be copied: it has changed"):
        checkpoints.copy(aws, plan, print)
    assert "AbortMultipartUpload" in aws.operations()


@pytest.mark.parametrize(
    ("operation", "what"), [("ListObjectsV2", "cannot be listed"), ("CopyObject", "be copied")]
)
def test_a_denial_names_the_action_and_the_way_without_it(operation: str, what: str) -> None:
    answers: dict[str, Answers] = {operation: DENIED}
    aws = Bucket({"ckpt/bert/1": 1}, 10, **answers)
    with pytest.raises(SmProxyError, match=what) as caught:
        copied(aws)
    assert caught.value.code == "access-denied"
    assert caught.value.hint.startswith("Allow it. ")
    assert "--checkpoints none" in caught.value.hint


@pytest.mark.parametrize("uri", ["s3://b", "s3://b/", "https://b.s3.amazonaws.com/x"])
def test_checkpoints_without_a_prefix_of_their_own_are_not_copied(uri: str) -> None:
    with pytest.raises(SmProxyError, match="cannot be copied") as caught:
        moved(Bucket({}), uri=uri)
    assert "--checkpoints none" in caught.value.hint


def test_the_user_may_go_on_with_the_old_ones_or_without() -> None:
    aws = Bucket({"ckpt/bert/1": 1})
    assert moved(aws, "same")[0].changes == ()
    draft, plan = moved(aws, "none")
    assert (draft.request, plan) == ({}, None)
    assert moved(aws, uri="")[0].changes == ()
    assert aws.calls == []


def test_progress_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "_REPORT_S", 0.0)
    aws = Bucket({"ckpt/bert/1": 1500, "ckpt/bert/2": 1500}, page=1)
    lines: list[str] = []
    copied(aws, lines.append)
    assert lines[0] == "listing checkpoints: 1 files so far"
    assert lines[-1] == "copying checkpoints: 2 of 2 files, 3.0 KB of 3.0 KB"
