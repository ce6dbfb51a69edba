"""Upload a file of this machine to the user's bucket by s3transfer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.s3 import downloads
from sm_proxy.transfer.s3.store import Store, denied


def put(
    store: Store, number: int, entry: Entry, on_moved: Callable[[int], None]
) -> str | SmProxyError:
    """Upload a file.

    Args:
        store: of this copy.
        number: of the file.
        entry: the file.
        on_moved: takes numbers of bytes, from several threads; fewer than 0 if they come again.

    Returns:
        Its SHA-256 before the upload, or why it could not be read or uploaded.

    Raises:
        SmProxyError: the bucket refuses it.
    """
    from s3transfer.manager import TransferManager  # noqa: PLC0415 - slow
    from s3transfer.subscribers import BaseSubscriber  # noqa: PLC0415 - slow

    class Watcher(BaseSubscriber):  # type: ignore[misc] # s3transfer has no types
        """Passes on how much has gone."""

        def on_progress(self, bytes_transferred: int, **_: Any) -> None:
            on_moved(bytes_transferred)

    key = store.key(number)
    try:
        digest = downloads.sha256(Path(entry.source))
        with store.aws.client("s3") as client, TransferManager(client) as manager:
            manager.upload(entry.source, store.bucket, key, subscribers=[Watcher()]).result()
    except OSError as error:
        what = f"{entry.source} cannot be read: {error.strerror or error}"
        return SmProxyError("copy-failed", what, "Change its permissions, then copy again.")
    except SmProxyError as error:
        if error.code == "access-denied":
            raise denied(error.message) from None
        raise
    return digest
