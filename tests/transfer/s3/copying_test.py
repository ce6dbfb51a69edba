"""Checkpoints from S3: the right bytes at their targets, or back to ssh."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.transfer import s3 as by_s3
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.s3 import integrity, objects
from sm_proxy.transfer.s3.choice import Plan
from sm_proxy.transfer.ssh.connection import Answer
from tests.lab.aws.harness import Lab
from tests.transfer.s3.conftest import BUCKET, MakeEntry

MB = 1 << 20

pytestmark = pytest.mark.xdist_group("transfer-s3")


class Digesting:
    """A container that says which SHA-256 its checkpoints have."""

    def __init__(self, **contents: bytes) -> None:
        self._contents = {f"/opt/ml/checkpoints/{name}": contents[name] for name in contents}

    def script(self, text: str, timeout: float) -> Answer:
        assert timeout > 0
        found = [
            hashlib.sha256(content).hexdigest()
            for path, content in self._contents.items()
            if path in text
        ]
        lines = [f"{number} {digest}" for number, digest in enumerate(found)]
        return Answer(0, "\n".join([*lines, "end\n"]))


class Bare:
    """A container that cannot compute checksums."""

    def script(self, text: str, timeout: float) -> Answer:
        assert text
        assert timeout > 0
        return Answer(0, "unverifiable\n")


@pytest.fixture
def chosen(s3: Any, aws: Aws, entry: MakeEntry) -> Callable[..., Plan]:
    """Puts objects, and plans to copy them from S3."""

    def make(**contents: bytes) -> Plan:
        prefix = uuid.uuid4().hex
        found = []
        for name, content in contents.items():
            key = f"{prefix}/{name}"
            s3.put_object(Bucket=BUCKET, Key=key, Body=content)
            item = objects.head(aws, BUCKET, key)
            assert item is not None
            found.append((entry(name, len(content)), item))
        return Plan(tuple(found), (), (), "")

    return make


def files(plan: Plan) -> list[Path]:
    return [Path(entry.target) for entry, _ in plan.from_s3]


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert not list(tmp_path.rglob(".sm-proxy*"))


def test_files_arrive_with_mode_and_times(aws: Aws, chosen: Callable[..., Plan]) -> None:
    contents = {"big": os.urandom(20 * MB), "small": b"x", "empty": b""}
    plan = chosen(**contents)
    moved: list[int] = []
    result = by_s3.run(plan, aws, Digesting(**contents), moved.append)
    assert result == by_s3.Result(done=plan.by_s3)
    about = files(plan)[0].stat()
    assert [file.read_bytes() for file in files(plan)] == list(contents.values())
    assert sum(moved) == 20 * MB + 1
    first = plan.by_s3[0]
    assert stat.S_IMODE(about.st_mode) == first.mode
    assert (about.st_mtime, about.st_atime) == (first.modified, first.accessed)


def test_an_object_that_was_replaced_comes_by_ssh(
    s3: Any, aws: Aws, chosen: Callable[..., Plan]
) -> None:
    plan = chosen(a=b"old", b=b"same")
    s3.put_object(Bucket=BUCKET, Key=plan.from_s3[0][1].key, Body=b"new")
    moved: list[int] = []
    result = by_s3.run(plan, aws, Digesting(a=b"old", b=b"same"), moved.append)
    assert (result.again, result.done) == (plan.by_s3[:1], plan.by_s3[1:])
    assert sum(moved) == len("same")
    assert not files(plan)[0].exists()


def test_a_replaced_object_of_an_ended_job_is_a_problem(
    s3: Any, aws: Aws, chosen: Callable[..., Plan]
) -> None:
    plan = chosen(a=b"old")
    s3.put_object(Bucket=BUCKET, Key=plan.from_s3[0][1].key, Body=b"new")
    result = by_s3.run(plan, aws, None)
    assert [(one.path, one.error.code) for one in result.problems] == [
        ("/opt/ml/checkpoints/a", "not-verified")
    ]


def test_a_denied_object_comes_by_ssh(lab: Lab, aws: Aws, chosen: Callable[..., Plan]) -> None:
    plan = chosen(a=b"x")
    lab.control.faults(deny=["s3:GetObject"])
    assert by_s3.run(plan, aws, Digesting(a=b"x")).again == plan.by_s3
    (problem,) = by_s3.run(plan, aws, None).problems
    assert problem.error.code == "access-denied"


def test_a_file_that_cannot_be_written_is_a_problem(
    aws: Aws, chosen: Callable[..., Plan], tmp_path: Path
) -> None:
    plan = chosen(a=b"x", b=b"y")
    (tmp_path / "file").touch()
    blocked = replace(plan.by_s3[0], target=str(tmp_path / "file" / "a"))
    plan = replace(plan, from_s3=((blocked, plan.from_s3[0][1]), plan.from_s3[1]))
    result = by_s3.run(plan, aws, Digesting(a=b"x", b=b"y"))
    assert [one.error.code for one in result.problems] == ["copy-failed"]
    assert result.done == plan.by_s3[1:]


def test_no_other_user_can_read_a_file_during_the_copy(
    aws: Aws, chosen: Callable[..., Plan], tmp_path: Path
) -> None:
    seen: list[int] = []

    def look(_: int) -> None:
        seen.extend(folder.stat().st_mode & 0o077 for folder in tmp_path.glob("here/.sm-proxy-*"))

    by_s3.run(chosen(a=b"secret"), aws, Digesting(a=b"secret"), look)
    assert seen
    assert not any(seen)


@pytest.fixture
def in_parts(s3: Any, aws: Aws) -> Callable[[list[bytes]], objects.Object]:
    """Uploads an object in parts."""

    def upload(parts: list[bytes]) -> objects.Object:
        place = {"Bucket": BUCKET, "Key": uuid.uuid4().hex}
        upload = {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]}
        sent = [
            {
                "PartNumber": number,
                "ETag": s3.upload_part(**upload, PartNumber=number, Body=part)["ETag"],
            }
            for number, part in enumerate(parts, 1)
        ]
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
        item = objects.head(aws, **{name.lower(): value for name, value in place.items()})
        assert item is not None
        return item

    return upload


def test_an_upload_in_parts_is_verified_by_its_parts(
    aws: Aws, in_parts: Callable[[list[bytes]], objects.Object], tmp_path: Path
) -> None:
    parts = [os.urandom(5 * MB), os.urandom(5 * MB), b"end"]
    item = in_parts(parts)
    file = tmp_path / "f"
    file.write_bytes(b"".join(parts))
    assert item.tag.endswith('-3"')
    assert integrity.agrees(aws, item, file) is True
    file.write_bytes(b"".join(parts[::-1]))
    assert integrity.agrees(aws, item, file) is None
    file.write_bytes(b"shorter")
    assert integrity.agrees(aws, item, file) is False


@pytest.mark.parametrize("checksum", ["ChecksumSHA256", "ChecksumCRC32"])
def test_a_checksum_of_the_object_is_compared(
    s3: Any, aws: Aws, tmp_path: Path, checksum: str
) -> None:
    key, file = uuid.uuid4().hex, tmp_path / "f"
    name = checksum.removeprefix("Checksum")
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"content", ChecksumAlgorithm=name)
    item = objects.head(aws, BUCKET, key)
    assert item is not None
    file.write_bytes(b"content")
    assert integrity.agrees(aws, item, file) is True
    file.write_bytes(b"CONTENT")
    assert integrity.agrees(aws, item, file) is False
    assert hashlib.sha256(b"CONTENT").hexdigest() != hashlib.sha256(b"content").hexdigest()


def test_a_copy_without_a_checksum_in_s3_is_unverified(
    s3: Any, aws: Aws, entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "agrees", lambda *_: None)
    key = uuid.uuid4().hex
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    item = objects.head(aws, BUCKET, key)
    assert item is not None
    entries: list[tuple[Entry, objects.Object]] = [(entry("a", 1), item)]
    assert by_s3.run(Plan(tuple(entries), (), (), ""), aws, None).unverified == (entries[0][0],)


def test_an_older_file_that_was_renamed_is_not_its_copy(
    aws: Aws, chosen: Callable[..., Plan]
) -> None:
    # Its time of modification is from before the copy of the file that it replaced.
    plan = chosen(a=b"mine", b=b"his")
    mine, other = plan.by_s3
    moved: list[int] = []
    result = by_s3.run(plan, aws, Digesting(a=b"mine", b=b"her"), moved.append)
    assert (result.done, result.again) == ((mine,), (other,))
    assert sum(moved) == len("mine")


def test_without_checksums_of_the_container_a_copy_is_unverified(
    aws: Aws, chosen: Callable[..., Plan]
) -> None:
    plan = chosen(a=b"mine", b=b"his")
    plan = replace(plan, unsure=frozenset(plan.by_s3[1:]))
    result = by_s3.run(plan, aws, Bare())
    assert (result.unverified, result.again) == (plan.by_s3[:1], plan.by_s3[1:])
