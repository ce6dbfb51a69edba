"""The checkpoints of a repeated job: those of the old run do not change unless the user wants it.

A job reads its checkpoints from `CheckpointConfig.S3Uri` when it starts, and writes new ones there
while it runs. Under the old prefix it would overwrite what the old run left behind.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import Draft, Path
from sm_proxy.local import sizes, threads, waits
from sm_proxy.local.waits import Wait

Mode = Literal["copy", "same", "none"]
MODES: Final[tuple[Mode, ...]] = ("copy", "same", "none")

_CONFIG: Final[Path] = ("CheckpointConfig",)
_URI: Final[Path] = (*_CONFIG, "S3Uri")
_FOLDER: Final = "sm-proxy"
"""Below the folder that holds the old prefix: no other job lists the new prefix as its own."""
_S3: Final = re.compile(r"s3://([^/]+)/?(.*)")
_AT_ONCE: Final = 8
_WHOLE: Final = 256 << 20
"""Bytes that one call copies within the time limit of calls; S3 itself takes 5 GB."""
_PARTS: Final = 10_000
"""The most parts of a multipart upload."""
_REPORT_S: Final = 5.0
_OTHERWISE: Final = "Start without them with --checkpoints none, or in their place with `same`."


@dataclass(frozen=True)
class Object:
    """An object in S3: its key, its size in bytes, and the tag of its content."""

    key: str
    size: int
    tag: str


@dataclass(frozen=True)
class Copy:
    """Checkpoints to copy inside their bucket before the job is made.

    Attributes:
        bucket: its name.
        source: the old prefix, with a slash at its end.
        target: the new prefix, with a slash at its end.
        objects: what is there to copy.
    """

    bucket: str
    source: str
    target: str
    objects: tuple[Object, ...]

    def __str__(self) -> str:
        """For the user: how much, and from where to where."""
        size = sizes.in_words(sum(item.size for item in self.objects))
        noun = "file" if len(self.objects) == 1 else "files"
        where = f"from s3://{self.bucket}/{self.source} to s3://{self.bucket}/{self.target}"
        return f"{len(self.objects)} checkpoint {noun} ({size}) {where}"


def move(
    draft: Draft, mode: Mode, name: str, aws: Caller, on_status: Callable[[str], None]
) -> Copy | None:
    """Choose where the new job keeps its checkpoints.

    Args:
        draft: the new request.
        mode: `copy` starts from a copy of the old run's, `none` without any, `same` in their place.
        name: of the new job.
        aws: lists the old checkpoints.
        on_status: takes a line every few seconds.

    Returns:
        What to copy before the job is made; None if nothing.

    Raises:
        SmProxyError: the prefix cannot be moved or listed.
    """
    uri = draft.get(_URI)
    if not uri or mode == "same":
        return None
    if mode == "none":
        draft.set(_CONFIG, None, "you asked for a start without checkpoints")
        return None
    bucket, source = _parsed(str(uri))
    above, _, _ = source.rstrip("/").rpartition("/")
    target = "/".join(filter(None, (above, _FOLDER, name))) + "/"
    objects = tuple(_listed(aws, bucket, source, on_status))
    why = "the job starts from a copy, so that it does not overwrite the old run's checkpoints"
    draft.set(_URI, f"s3://{bucket}/{target}", why)
    return Copy(bucket, source, target, objects)


def copy(aws: Caller, plan: Copy, on_status: Callable[[str], None]) -> None:
    """Copy the checkpoints; S3 does it without sending them through this machine.

    Args:
        aws: for the calls.
        plan: what to copy.
        on_status: takes a line every few seconds.

    Raises:
        SmProxyError: a call is denied or failed; the new prefix then holds a part of them.
    """
    progress = _Progress(plan, on_status)

    def one(item: Object) -> None:
        target = f"{plan.target}{item.key.removeprefix(plan.source)}"
        with _explained(f"the checkpoint s3://{plan.bucket}/{item.key} cannot be copied"):
            _copy_object(aws, plan.bucket, item, target)
        progress.add(item.size)

    with waits.waiting("copying checkpoints", covers=True) as progress.wait:
        threads.map_concurrently(one, plan.objects, _AT_ONCE)


def _parsed(uri: str) -> tuple[str, str]:
    """The bucket, and the prefix with a slash at its end."""
    found = _S3.fullmatch(uri)
    prefix = found[2].rstrip("/") if found else ""
    if found is None or not prefix:
        raise SmProxyError(
            "unsupported",
            f"the checkpoints in {uri} cannot be copied: they have no prefix of their own",
            _OTHERWISE,
        )
    return found[1], f"{prefix}/"


def _listed(
    aws: Caller, bucket: str, prefix: str, on_status: Callable[[str], None]
) -> list[Object]:
    found: list[Object] = []
    more: dict[str, Any] = {}
    pace = _Pace()
    while True:
        with _explained(f"the checkpoints in s3://{bucket}/{prefix} cannot be listed"):
            page = aws.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, **more)
        found += [
            Object(item["Key"], int(item["Size"]), str(item["ETag"]))
            for item in page.get("Contents", ())
        ]
        if not page.get("IsTruncated"):
            return found
        more = {"ContinuationToken": page["NextContinuationToken"]}
        if pace.is_due():
            on_status(f"listing checkpoints: {len(found)} files so far")


def _copy_object(aws: Caller, bucket: str, item: Object, target: str) -> None:
    there = {"Bucket": bucket, "Key": target}
    # If-Match: a job that still runs may write a checkpoint while it is copied.
    source = {
        "CopySource": {"Bucket": bucket, "Key": item.key},
        "CopySourceIfMatch": item.tag,
    }
    if item.size <= _WHOLE:
        # To copy the tags too would need two more permissions.
        aws.call("s3", "CopyObject", **there, **source, TaggingDirective="REPLACE")
        return
    upload = {**there, "UploadId": aws.call("s3", "CreateMultipartUpload", **there)["UploadId"]}
    try:
        parts = []
        length = max(_WHOLE, -(-item.size // _PARTS))
        for number, start in enumerate(range(0, item.size, length), 1):
            bytes_ = f"bytes={start}-{min(start + length, item.size) - 1}"
            part = {"PartNumber": number, "CopySourceRange": bytes_}
            answer = aws.call("s3", "UploadPartCopy", **upload, **source, **part)
            parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        listed = {"MultipartUpload": {"Parts": parts}}
        aws.call("s3", "CompleteMultipartUpload", **upload, **listed)
    except BaseException:
        with contextlib.suppress(SmProxyError, ServiceError):  # its parts would be billed
            aws.call("s3", "AbortMultipartUpload", **upload)
        raise


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except ServiceError as error:
        raise SmProxyError("aws-error", f"{what}: {error.message}", _OTHERWISE) from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        hint = f"{error.hint} {_OTHERWISE}"
        raise SmProxyError(error.code, f"{what}: {error.message}", hint) from None


class _Pace:
    """Lets a line through every few seconds."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _REPORT_S

    def is_due(self) -> bool:
        """Whether it is time for the next line."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _REPORT_S
        return True


class _Progress:
    """Reports how much has been copied."""

    def __init__(self, plan: Copy, on_status: Callable[[str], None]) -> None:
        self._count, self._size = 0, 0
        self._total = len(plan.objects)
        self._whole = sizes.in_words(sum(item.size for item in plan.objects))
        self._on_status = on_status
        self._lock = threading.Lock()
        self._pace = _Pace()
        self.wait = Wait("")

    def add(self, size: int) -> None:
        """One more object of this size is there."""
        with self._lock:
            self._count += 1
            self._size += size
            if self._pace.is_due():
                done = f"{self._count} of {self._total} files"
                of = f"{sizes.in_words(self._size)} of {self._whole}"
                self.wait.tell(f"copying checkpoints: {done}, {of}", self._on_status)
