"""Download objects by s3transfer, verify them, and put them at their targets.

A download goes to a temporary folder beside its target, which only its owner can enter: nobody
else reads what the file's mode will forbid. There is no resume: at S3's speed the part to keep is a
matter of seconds.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sm_proxy.aws import errors
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.s3.objects import Object

_READ: Final = 1 << 20


@dataclass(frozen=True)
class Download:
    """A file that was downloaded to a temporary name, or why it was not.

    Attributes:
        entry: what is copied.
        item: its object.
        part: the temporary file, alone in a folder; it is gone if there is an error.
        error: why it could not be downloaded.
    """

    entry: Entry
    item: Object
    part: Path
    error: SmProxyError | None = None

    def land(self) -> SmProxyError | None:
        """Give the file its mode, its times and its name; the error if that fails."""
        try:
            self.part.chmod(self.entry.mode & 0o777)
            os.utime(self.part, (self.entry.accessed, self.entry.modified))
            self.part.replace(self.entry.target)
        except OSError as error:
            return disk_failure(self.entry.target, error)
        finally:
            self.drop()
        return None

    def drop(self) -> None:
        """Delete the temporary file."""
        shutil.rmtree(self.part.parent, ignore_errors=True)


def fetch(
    aws: Aws, wanted: Sequence[tuple[Entry, Object]], on_moved: Callable[[int], None]
) -> list[Download]:
    """Download objects to temporary names beside their targets, several at a time.

    Args:
        aws: for the calls, in the bucket's region.
        wanted: each entry with its object; folders of targets are made.
        on_moved: takes numbers of bytes, from several threads; negative if a part comes again.

    Raises:
        SmProxyError: AWS cannot be called at all.
    """
    from s3transfer.manager import TransferManager  # noqa: PLC0415 - slow

    found: list[Download] = []
    with aws.client("s3") as client, TransferManager(client) as manager:
        begun = []
        try:
            for entry, item in wanted:
                download = Download(entry, item, _temporary(entry.target))
                moved: list[int] = []
                begun.append((download, _begin(manager, download, _both(moved, on_moved)), moved))
            for download, future, moved in begun:
                found.append(_finished(aws, download, future))
                if found[-1].error is not None:
                    on_moved(-sum(moved))
        except BaseException:
            for download, _, _ in begun:
                download.drop()
            raise
    return found


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(_READ):
            digest.update(content)
    return digest.hexdigest()


def disk_failure(path: str, error: OSError) -> SmProxyError:
    """The error for a file that cannot be written here."""
    return SmProxyError(
        "copy-failed",
        f"{path} cannot be written: {error.strerror or error}",
        "Make room or change its permissions, then copy again.",
    )


def _temporary(target: str) -> Path:
    return Path(target).parent / f".sm-proxy-{secrets.token_hex(8)}" / "part"


def _both(moved: list[int], on_moved: Callable[[int], None]) -> Callable[[int], None]:
    """Counts for one file, too: of one that fails, the bytes do not count."""

    def tell(size: int) -> None:
        moved.append(size)
        on_moved(size)

    return tell


def _begin(manager: Any, download: Download, on_moved: Callable[[int], None]) -> Any:
    """The future of a download; the OSError that prevents it."""
    item, part = download.item, download.part
    try:
        part.parent.parent.mkdir(parents=True, exist_ok=True)
        part.parent.mkdir(mode=0o700)
        watchers = [_watcher(item.size, on_moved)]
        return manager.download(item.bucket, item.key, str(part), subscribers=watchers)
    except OSError as error:
        return error


def _watcher(size: int, on_moved: Callable[[int], None]) -> Any:
    from s3transfer.subscribers import BaseSubscriber  # noqa: PLC0415 - slow

    class Watcher(BaseSubscriber):  # type: ignore[misc] # s3transfer has no types
        """Tells s3transfer the size, which we know, and passes on how much has come."""

        def on_queued(self, future: Any, **_: Any) -> None:
            future.meta.provide_transfer_size(size)

        def on_progress(self, bytes_transferred: int, **_: Any) -> None:
            on_moved(bytes_transferred)

    return Watcher()


def _finished(aws: Aws, download: Download, future: Any) -> Download:
    """Wait for a download."""
    entry, item, part = download.entry, download.item, download.part
    if isinstance(future, OSError):
        return Download(entry, item, part, disk_failure(entry.target, future))
    try:
        future.result()
    except OSError as error:
        failure = disk_failure(entry.target, error)
    except Exception as error:  # noqa: BLE001 - botocore's, and s3transfer's own
        failure = failed(aws, error, f"s3://{item.bucket}/{item.key} cannot be downloaded")
    else:
        return download
    download.drop()
    return Download(entry, item, part, failure)


def failed(aws: Aws, error: Exception, what: str) -> SmProxyError:
    """The error for a transfer of s3transfer that failed: what could not be done, and why."""
    try:
        with aws.client("s3"):  # it translates botocore's errors
            raise getattr(error, "last_exception", error)
    except errors.ServiceError as refusal:
        return SmProxyError("aws-error", f"{what}: {refusal}", "Copy again, or with --via ssh.")
    except SmProxyError as known:
        return SmProxyError(known.code, f"{what}: {known.message}", known.hint)
