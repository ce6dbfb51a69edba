"""The files of a job that has ended, as far as SageMaker copied them to S3 while it ran.

They are listed as an SFTP server would list the container's, so that globs, `-r` and the rules for
targets are the same.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import Any

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.job import Job
from sm_proxy.transfer.s3 import objects, synced

_FILE: int = stat.S_IFREG | 0o644
_FOLDER: int = stat.S_IFDIR | 0o755


class Files:
    """Lists what is left of a job: those methods of `SftpLike` that read no content.

    S3 keeps no modes: all files have 0644. Their times are when they were copied to S3.

    Args:
        aws: for the calls, in the job's region.
        job: which has ended.

    Raises:
        SmProxyError: `job-ended`, the job kept nothing in S3; or a call failed.
    """

    def __init__(self, aws: Aws, job: Job) -> None:
        self._aws = aws
        self._job = job
        self._folders = synced.folders(aws, job.kind, job.name)
        if not self._folders:
            raise SmProxyError(
                "job-ended",
                f"the {job.noun} {job.name} has ended and kept no checkpoints in S3",
                "Its results are where its output configuration says.",
            )

    def normalize(self, path: str) -> str:
        """The absolute path; a relative one begins at the root, as there is no home folder."""
        return posixpath.normpath(posixpath.join("/", path))

    def readlink(self, path: str) -> str | None:
        """There are no links.

        Raises:
            OSError: always.
        """
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def stat(self, path: str) -> Any:
        """The attributes of a file or folder.

        Raises:
            FileNotFoundError: there is none.
            SmProxyError: it is outside the folders that SageMaker copied; or a call failed.
        """
        path = self.normalize(path)
        bucket, key = self._place(path)
        found = objects.head(self._aws, bucket, key) if not key.endswith("/") and key else None
        if found is not None:
            return _attributes(posixpath.basename(path), _FILE, found.size, found.modified)
        below = f"{key.rstrip('/')}/" if key else ""
        if next(objects.listed(self._aws, bucket, below, most=1), None) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return _attributes(posixpath.basename(path), _FOLDER, 0, 0)

    def lstat(self, path: str) -> Any:
        """As `stat`."""
        return self.stat(path)

    def listdir_attr(self, path: str = "/") -> list[Any]:
        """The entries of a folder.

        Raises:
            SmProxyError: as `stat`.
        """
        bucket, key = self._place(self.normalize(path))
        below = f"{key.rstrip('/')}/" if key else ""
        return list(self._entries(bucket, below))

    def _entries(self, bucket: str, prefix: str) -> Iterator[Any]:
        more: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
        while True:
            try:
                page = self._aws.call("s3", "ListObjectsV2", **more)
            except ServiceError as error:
                raise error.as_failure() from None
            for item in page.get("CommonPrefixes", ()):
                if name := item["Prefix"][len(prefix) : -1]:
                    yield _attributes(name, _FOLDER, 0, 0)
            for item in page.get("Contents", ()):
                if name := item["Key"][len(prefix) :]:
                    modified = int(item["LastModified"].timestamp())
                    yield _attributes(name, _FILE, int(item["Size"]), modified)
            if not page.get("NextContinuationToken"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def _place(self, path: str) -> tuple[str, str]:
        """The bucket, and the key of a file or the prefix of a folder."""
        for folder in self._folders:
            if path == folder.path:
                return folder.bucket, folder.prefix
        if (found := synced.containing(self._folders, path)) is not None:
            return found[0].bucket, found[1]
        left = " and ".join(folder.path for folder in self._folders)
        raise SmProxyError(
            "job-ended",
            f"the {self._job.noun} {self._job.name} has ended: of its files, only {left} is in S3",
            f"Copy from {left}.",
        )


def _attributes(name: str, mode: int, size: int, modified: int) -> Any:
    from paramiko import SFTPAttributes  # noqa: PLC0415 - slow

    found = SFTPAttributes()
    found.filename, found.st_mode, found.st_size = name, mode, size
    found.st_atime = found.st_mtime = modified
    found.st_uid = found.st_gid = 0
    return found
