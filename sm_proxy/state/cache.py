"""Small JSON records in the cache folder, with a version and an expiry time.

A record that is damaged, expired or of another version is ignored and removed. A lost record costs
a few calls, never a connection, so nothing here raises. Files that another user could have written
are not read: a record names the address to connect to and the host keys to accept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, file_lock, output, paths, private_files

VERSION: Final = 1
_SIZE_LIMIT: Final = 1 << 20
_LOCK_LIFE_S: Final = 24 * 3600.0
PURPOSES: Final = (
    *("bastions", "completion", "connect-endpoints", "hosts", "jobs", "places", "prices", "routes"),
)
"""The folders of our cache folder that hold records."""


class Cache:
    """The records of one purpose, such as `jobs`.

    Args:
        purpose: names their folder.
        place: where that folder is; by default, the cache folder.
    """

    def __init__(self, purpose: str, place: Path | None = None) -> None:
        self._purpose = purpose
        self._folder = (place or paths.cache_dir()) / purpose
        self._patient = True

    def load(self, *key: str) -> dict[str, Any] | None:
        """The valid record of `key`, or None."""
        try:
            private_files.refuse_shared(self._folder)
            text = private_files.read_own(self._path(key), _SIZE_LIMIT)
        except FileNotFoundError:
            return None
        except OSError as error:
            debug_log.write("cache ignored", why=error)
            return None
        record = _read(text, _digest(key))
        if record is None:
            self.forget(*key)
        return record

    def save(self, *key: str, record: dict[str, Any], expires: float) -> None:
        """Keep `record` until `expires` (Unix seconds)."""
        if expires <= time.time():
            return
        # A digest: the key may contain an access key id, or an endpoint with a password.
        envelope = {
            "version": VERSION,
            "key": _digest(key),
            "expires": expires,
            "record": record,
        }
        with contextlib.suppress(OSError):
            private_files.ensure_own_dir(self._folder)
            private_files.write_private(self._path(key), json.dumps(envelope).encode())

    def forget(self, *key: str) -> None:
        """Remove the record of `key`."""
        with contextlib.suppress(OSError):
            self._path(key).unlink()

    def sweep(self) -> None:
        """Remove expired records and old locks; reads every file of the folder."""
        with contextlib.suppress(OSError):
            private_files.refuse_shared(self._folder)
            for path in self._folder.glob("*.json"):
                with contextlib.suppress(OSError):
                    if _read(private_files.read_own(path, _SIZE_LIMIT), None) is None:
                        path.unlink()
            # Removing a lock in use is harmless: two processes then ask AWS at once.
            for path in self._folder.glob("*.lock"):
                with contextlib.suppress(OSError):
                    if path.lstat().st_mtime < time.time() - _LOCK_LIFE_S:
                        path.unlink()

    @contextlib.contextmanager
    def alone(self, *key: str) -> Iterator[None]:
        """Hold the lock of `key`, so that one process asks AWS and the others read its answer.

        The process that holds it may be stopped, or may wait for a service that never answers. So
        after a moment the others ask as well, and this object waits for no further lock.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(
                    file_lock.locked(
                        _digest(key),
                        what=f"the cache of {self._purpose}",
                        wait=self._patient,
                        cache=self._folder,
                    )
                )
            except SmProxyError as error:  # without the lock, every process asks
                if error.code == "busy" and self._patient:
                    output.status(f"{error.message}: asking AWS as well")
                    self._patient = False
            yield

    def _path(self, key: tuple[str, ...]) -> Path:
        return self._folder / f"{_digest(key)}.json"


def sweep_all() -> None:
    """Sweep the records of every purpose."""
    for purpose in PURPOSES:
        Cache(purpose).sweep()


def _digest(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:32]


def _read(text: bytes, key: str | None) -> dict[str, Any] | None:
    try:
        envelope = json.loads(text)
        version, expires, record = (envelope[name] for name in ("version", "expires", "record"))
        good = version == VERSION and math.isfinite(expires) and expires > time.time()
        good = good and isinstance(record, dict) and key in (None, envelope["key"])
    except (ArithmeticError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if good else None
