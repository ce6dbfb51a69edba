"""The channel's folder: its name in S3, its upload, and the file with a long command."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import channel
from sm_proxy.launch.channel import Channel
from tests.fakes import Answers, FakeAws

FILES = {"entrypoint.sh": b"#!/bin/sh\n", "wheels/a.whl": b"\0\1"}
CHANNEL = Channel("s3://bucket/sm-proxy/channel", FILES)


def said(_: str) -> None:
    """Drop a status line."""


class Bucket(FakeAws):
    """An S3 bucket that remembers its objects; with `kms`, their ETags tell nothing."""

    def __init__(self, *, kms: bool = False, **denied: Exception) -> None:
        self.objects: dict[str, bytes] = {}
        self._kms = kms
        answers: dict[str, Answers] = {
            "ListObjectsV2": self._list,
            "PutObject": self._put,
            "HeadObject": self._head,
        }
        super().__init__(**{**answers, **denied})

    def _list(self, **asked: str) -> dict[str, Any]:
        names = sorted(name for name in self.objects if name.startswith(asked["Prefix"]))
        page = [name for name in names if name > asked.get("ContinuationToken", "")][:2]
        more = {"NextContinuationToken": page[-1]} if page and page[-1] != names[-1] else {}
        return {"Contents": [self._told(name) for name in page], **more}

    def _told(self, name: str) -> dict[str, Any]:
        content = self.objects[name]
        tag = hashlib.md5(b"kms" * self._kms + content, usedforsecurity=False).hexdigest()
        return {"Key": name, "Size": len(content), "ETag": f'"{tag}"'}

    def _head(self, **asked: Any) -> dict[str, Any]:
        assert asked["ChecksumMode"] == "ENABLED"
        digest = hashlib.sha256(self.objects[asked["Key"]]).digest()
        return {"ChecksumSHA256": base64.b64encode(digest).decode()}

    def _put(self, **given: Any) -> dict[str, Any]:
        checksum = base64.b64decode(given["ChecksumSHA256"])
        assert checksum == hashlib.sha256(given["Body"]).digest()
        self.objects[given["Key"]] = given["Body"]
        return {}


def test_the_prefix_is_the_same_on_every_machine() -> None:
    assert CHANNEL.uri == "s3://bucket/sm-proxy/channel/6b2e30e0e80620a7760b566b2e2b4863/"
    backwards = Channel("s3://bucket/sm-proxy/channel/", dict(reversed(FILES.items())))
    assert backwards.uri == CHANNEL.uri


@pytest.mark.parametrize(
    "other",
    [
        {"entrypoint.sh": b"#!/bin/sh\n", "wheels/a.whl": b"\0\2"},
        {"entrypoint.sh": b"#!/bin/sh\n", "wheels/b.whl": b"\0\1"},
        {"entrypoint.sh": b"#!/bin/sh\n"},
        {"entrypoint.shw": b"#!/bin/sh\n", "heels/a.whl": b"\0\1"},
    ],
)
def test_another_content_has_another_prefix(other: dict[str, bytes]) -> None:
    assert Channel(CHANNEL.root, other).uri != CHANNEL.uri


def test_a_file_more_changes_the_prefix_and_not_the_channel_itself() -> None:
    more = CHANNEL.with_file("argv", b"set --")
    assert more.files == {**FILES, "argv": b"set --"}
    assert more.uri != CHANNEL.uri
    assert CHANNEL.files == FILES


def test_the_channel_has_the_container_files_and_the_wheels() -> None:
    made = channel.container_channel("s3://bucket/a/", {"x.whl": b"1"})
    assert {"entrypoint.sh", "serve.sh", "server.py", "sshd_config", "wheels/x.whl"} <= set(
        made.files
    )
    assert "README.md" not in made.files
    assert not [name for name in made.files if name.startswith("examples/")]
    assert made.uri.startswith("s3://bucket/a/")


def test_a_root_that_is_no_folder_in_s3_is_refused() -> None:
    for root in ("bucket/a", "s3://B/a", "s3://bucket/a b", "s3://bucket//a"):
        with pytest.raises(SmProxyError) as caught:
            channel.container_channel(root, {})
        assert caught.value.code == "bad-setting"


def test_the_channel_is_uploaded_once() -> None:
    aws = Bucket()
    lines: list[str] = []
    channel.upload(aws, CHANNEL, lines.append)
    assert {name.rpartition("/")[2] for name in aws.objects} == {"entrypoint.sh", "a.whl"}
    assert lines == [f"uploading the ssh server's files to {CHANNEL.uri} (0.0 MB)"]
    aws.calls.clear()
    channel.upload(aws, CHANNEL, lines.append)
    assert aws.operations() == ["ListObjectsV2"]
    assert len(lines) == 1


def test_an_upload_that_was_killed_is_continued() -> None:
    aws = Bucket()
    many = Channel("s3://bucket", {f"file{number}": b"x" * number for number in range(1, 8)})
    channel.upload(aws, many, said)
    whole = dict(aws.objects)
    prefix = many.uri.removeprefix("s3://bucket/")
    del aws.objects[f"{prefix}file3"]
    aws.objects[f"{prefix}file5"] = b"half"
    aws.calls.clear()
    channel.upload(aws, many, said)
    assert aws.objects == whole
    put = sorted(p["Key"] for name, p in aws.calls if name == "PutObject")
    assert put == [f"{prefix}file3", f"{prefix}file5"]


@pytest.mark.parametrize("kms", [False, True])
def test_a_changed_file_is_replaced(kms: bool) -> None:
    aws = Bucket(kms=kms)
    channel.upload(aws, CHANNEL, said)
    whole = dict(aws.objects)
    key = next(name for name in whole if name.endswith("entrypoint.sh"))
    aws.objects[key] = b"#!/bin/SH\n"
    aws.calls.clear()
    channel.upload(aws, CHANNEL, said)
    assert aws.objects == whole
    assert aws.operations().count("PutObject") == 1
    aws.calls.clear()
    channel.upload(aws, CHANNEL, said)
    assert "PutObject" not in aws.operations()


def test_a_folder_with_a_strangers_file_is_refused() -> None:
    aws = Bucket()
    prefix = CHANNEL.uri.removeprefix("s3://bucket/")
    aws.objects |= {prefix: b"", f"{prefix}wheels/": b""}  # as consoles make them
    channel.upload(aws, CHANNEL, said)
    aws.objects[f"{prefix}json.py"] = b"import os"
    with pytest.raises(SmProxyError, match=r"other files .* json\.py") as caught:
        channel.upload(aws, CHANNEL, said)
    assert "SM_PROXY_LAUNCH_S3=" in caught.value.hint


def test_a_file_whose_content_is_unknown_is_uploaded_again() -> None:
    denied = SmProxyError("access-denied", "s3:GetObject")
    aws = Bucket(kms=True, HeadObject=denied)
    channel.upload(aws, CHANNEL, said)
    aws.calls.clear()
    channel.upload(aws, CHANNEL, said)
    assert aws.operations().count("PutObject") == 2


@pytest.mark.parametrize("kms", [False, True])
def test_requests_to_s3_name_the_expected_bucket_owner(kms: bool) -> None:
    aws = Bucket(kms=kms)
    owned = Channel(CHANNEL.root, FILES, "111122223333")
    channel.upload(aws, owned, said)
    channel.upload(aws, owned, said)
    assert {asked.get("ExpectedBucketOwner") for _, asked in aws.calls} == {"111122223333"}
    assert ("HeadObject" in aws.operations()) is kms


def test_the_channel_is_uploaded_if_listing_is_denied() -> None:
    aws = Bucket(ListObjectsV2=SmProxyError("access-denied", "s3:ListBucket"))
    channel.upload(aws, CHANNEL, said)
    assert len(aws.objects) == 2


@pytest.mark.parametrize(
    ("operation", "error", "code"),
    [
        ("PutObject", SmProxyError("access-denied", "s3:PutObject"), "access-denied"),
        ("ListObjectsV2", SmProxyError("network", "no way"), "network"),
        (
            "ListObjectsV2",
            ServiceError("NoSuchBucket", "", "s3:ListObjectsV2"),
            "bucket-unreadable",
        ),
        ("PutObject", ServiceError("BadDigest", "", "s3:PutObject"), "aws-error"),
    ],
)
def test_a_failed_upload_says_why(operation: str, error: Exception, code: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        channel.upload(Bucket(kms=False, **{operation: error}), CHANNEL, said)
    assert caught.value.code == code
    another_place_helps = code in {"access-denied", "bucket-unreadable"}
    assert ("SM_PROXY_LAUNCH_S3=" in caught.value.hint) is another_place_helps


@pytest.mark.parametrize("run", [["sh"], ["bash"], ["busybox", "sh"]], ids=lambda run: run[0])
def test_sh_reads_every_word_of_a_command_as_it_was(run: list[str], tmp_path: Path) -> None:
    if sys.platform == "win32" or not shutil.which(run[0]):
        pytest.skip(f"needs {run[0]}")
    words = [
        "python",
        "",
        "a b",
        "it's",
        'say "x"',
        "$HOME `id` \\",
        "two\nlines\n",
        "\u00fc\u2713",
    ]
    words += ["-", "--", "*", "#", "=", "~", "!", "\t", "a\\\nb", "x" * 5000, *map(str, range(200))]
    (tmp_path / "argv").write_bytes(channel.argv_file(words))
    script = '. "$0"; printf "%s\\0" "$@"'
    done = subprocess.run(
        [*run, "-c", script, str(tmp_path / "argv")], check=True, capture_output=True
    )
    assert done.stdout == b"".join(word.encode() + b"\0" for word in words)
