"""What a hand-over puts into the bucket, and deletes again whatever ends it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.s3.store import Store


class InBucket:
    """What must not stay in the bucket. Its methods may be called from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._keys: set[str] = set()
        self._uploads: dict[str, str] = {}
        self._is_over = False

    def begin(self, key: str) -> None:
        """Begin an upload in parts; nothing of it can be seen until `complete`."""
        upload = str(self._store.call("CreateMultipartUpload", Key=key)["UploadId"])
        with self._lock:
            self._uploads[key] = upload
            is_late = self._is_over
        if is_late:
            self._store.clear((), {key: upload})

    def upload_of(self, key: str) -> str:
        """The UploadId of an upload that has begun."""
        return self._uploads[key]

    def complete(self, key: str, tags: Mapping[int, str]) -> SmProxyError | None:
        """Make an object of the parts; the error if that fails."""
        self.expect(key)
        try:
            self._store.complete(key, self._uploads[key], tags)
        except SmProxyError as error:
            return error
        with self._lock:
            del self._uploads[key]
        return None

    def expect(self, *keys: str) -> None:
        """There may be objects with these keys from now on."""
        with self._lock:
            self._keys.update(keys)

    def clear(self) -> str:
        """Delete all of it; why something is left, empty if nothing is."""
        with self._lock:
            self._is_over = True
            keys, uploads = set(self._keys), dict(self._uploads)
        return self._store.clear(keys, uploads)


@contextlib.contextmanager
def cleared(store: Store, on_status: Callable[[str], None]) -> Iterator[InBucket]:
    """Nothing is left in the bucket after the body, whatever ends it; or it is said what is."""
    found = InBucket(store)
    try:
        yield found
    finally:
        if left := found.clear():
            on_status(left)
