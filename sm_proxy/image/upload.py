"""Upload a build's source to S3, unless it is there already."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import IO, Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.image.archive import Archive
from sm_proxy.image.project import Project
from sm_proxy.local import sizes

LIMIT: Final = 5 << 30
"""What S3 takes in one request, in bytes; a multipart upload has no SHA-256 of the whole."""
_EVERY_S: Final = 2.0


def key_of(archive: Archive) -> str:
    """The key of the zip in the bucket: the SHA-256 of its content."""
    return f"{stack_names.CONTEXTS}{archive.sha256}.zip"


def ensure(
    aws: Aws, project: Project, archive: Archive, file: IO[bytes], on_status: Callable[[str], None]
) -> bool:
    """Upload a zip.

    Args:
        aws: for the calls.
        project: whose bucket it goes to.
        archive: about the zip.
        file: with it, at its start.
        on_status: takes a line for people while it takes long.

    Returns:
        Whether it had to be uploaded.

    Raises:
        SmProxyError: `unsupported`, it is too large; or a call failed.
    """
    if archive.size > LIMIT:
        raise SmProxyError(
            "unsupported",
            f"the build context has {sizes.in_words(archive.size)} when compressed; S3 takes"
            f" {sizes.in_words(LIMIT)} in one request",
            "Leave out what the image does not need with .dockerignore.",
        )
    # A stranger's bucket of this name would get the code, and could change it.
    place = {
        "Bucket": project.bucket,
        "Key": key_of(archive),
        "ExpectedBucketOwner": project.account,
    }
    there = aws.call_if_allowed("s3", "HeadObject", ChecksumMode="ENABLED", **place)
    if there is not None and there.get("ChecksumSHA256") == archive.checksum:
        return False
    body = _Reported(file, progress("uploading", archive.size, on_status))
    try:
        checksum = {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": archive.checksum}
        aws.call("s3", "PutObject", **place, **checksum, Body=body)
    except ServiceError as error:
        if error.error != "NoSuchBucket":
            raise error.as_failure() from None
        raise SmProxyError(
            "bad-setting",
            f"the bucket {project.bucket} of the CodeBuild project {project.name} does not exist",
            "`sm-proxy infra status` shows what the stack has; `sm-proxy infra deploy` repairs it.",
        ) from None
    return True


def progress(doing: str, size: int, on_status: Callable[[str], None]) -> Callable[[int], None]:
    """A callback that takes the number of bytes done, and prints progress every few seconds."""
    due = time.monotonic() + _EVERY_S

    def report(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _EVERY_S
            shown = f"{sizes.in_words(done)} of {sizes.in_words(size)}"
            on_status(f"{doing} the build context: {shown}")

    return report


class _Reported:
    """A file that reports how much of it was read."""

    def __init__(self, file: IO[bytes], report: Callable[[int], None]) -> None:
        self._file, self._report = file, report

    def read(self, size: int = -1) -> bytes:
        """As the file's."""
        content = self._file.read(size)
        self._report(self._file.tell())
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
