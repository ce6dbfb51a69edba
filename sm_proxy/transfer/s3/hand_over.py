"""Hand files over in the user's bucket: one side uploads, the other downloads, and we delete.

Files go in groups, so that no more than a group is in the bucket at once. The container does its
half by presigned URLs, in parts of which we make the object. The SHA-256 of each file is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads
from sm_proxy.transfer import checksums
from sm_proxy.transfer.checksums import Scripts
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.s3 import downloads, in_container, objects
from sm_proxy.transfer.s3.in_container import Get, Put
from sm_proxy.transfer.s3.leftovers import InBucket, cleared
from sm_proxy.transfer.s3.store import Store

GROUP: Final = 2 << 30
"""Bytes that are in the bucket at once, unless one file is larger."""
_FILES: Final = 64
"""How many files a group has at most: each needs a URL of 1 to 2 KB in a script."""
PART: Final = 64 << 20
"""Bytes of a part; larger ones where S3's 10,000 parts would not be enough."""
_MOST_PARTS: Final = 10_000
_SCRIPT: Final = 64
"""How many parts one script uploads."""
_CALLS_AT_ONCE: Final = 8

Verdict: TypeAlias = SmProxyError | bool
"""What came of a file: whether it is verified, or why it is not there."""


def download(
    store: Store,
    connections: Scripts,
    entries: Sequence[Entry],
    on_moved: Callable[[int], None],
    on_status: Callable[[str], None],
) -> Generator[tuple[Entry, Verdict], None, None]:
    """Copy files from the container.

    Args:
        store: of this copy.
        connections: to the container.
        entries: files.
        on_moved: takes numbers of bytes.
        on_status: takes a line for the user, if something stays in the bucket.

    Yields:
        Each file, once it is at its target or has failed.

    Raises:
        SmProxyError: the container or the bucket cannot be used at all.
    """
    for group in _groups(entries):
        with cleared(store, on_status) as there:
            failed = _upload(store, connections, group, there)
            sent = [(number, entry) for number, entry in group if number not in failed]
            yield from ((entry, failed[number]) for number, entry in group if number in failed)
            yield from _download(store, connections, sent, on_moved)


def upload(
    store: Store,
    connections: Scripts,
    entries: Sequence[Entry],
    on_moved: Callable[[int], None],
    on_status: Callable[[str], None],
) -> Generator[tuple[Entry, Verdict], None, None]:
    """Copy files to the container; as `down`."""
    from sm_proxy.transfer.s3 import uploads  # noqa: PLC0415 - half of the copies need it

    for group in _groups(entries):
        with cleared(store, on_status) as there:
            there.expect(*(store.key(number) for number, _ in group))
            sent, failed = [], {}
            for number, entry in group:
                digest = uploads.put(store, number, entry, on_moved)
                if isinstance(digest, SmProxyError):
                    failed[number] = digest
                else:
                    sent.append((number, entry, digest))
            yield from ((entry, failed[number]) for number, entry in group if number in failed)
            yield from _fetched(store, connections, sent)


def _groups(entries: Sequence[Entry]) -> Iterator[list[tuple[int, Entry]]]:
    """The files with their numbers, as many at once as may be in the bucket."""
    group: list[tuple[int, Entry]] = []
    size = 0
    for number, entry in enumerate(entries):
        if group and (size + entry.size > GROUP or len(group) == _FILES):
            yield group
            group, size = [], 0
        group.append((number, entry))
        size += entry.size
    if group:
        yield group


@dataclass(frozen=True)
class _Part:
    """A part of a file: `part` is its number in the upload, from 1 on."""

    number: int
    entry: Entry
    part: int
    start: int
    size: int


def _upload(
    store: Store, connections: Scripts, group: Sequence[tuple[int, Entry]], there: InBucket
) -> dict[int, SmProxyError]:
    """Let the container upload files; those that failed, by their numbers.

    Small files, too, are uploads in parts. If we are interrupted, a request of the container may
    still arrive: after the upload was aborted, it leaves nothing in the bucket.
    """
    keys = {number: store.key(number) for number, _ in group}
    threads.map_concurrently(there.begin, keys.values(), _CALLS_AT_ONCE)
    failed: dict[int, SmProxyError] = {}
    tags: dict[int, dict[int, str]] = {}
    for some in _scripts([part for number, entry in group for part in _parts(number, entry)]):
        wanted = [part for part in some if part.number not in failed]

        def works(seconds: int, wanted: Sequence[_Part] = wanted) -> list[Put]:
            return [_put(store, part, there, seconds) for part in wanted]

        size = sum(part.size for part in wanted)
        outcomes = in_container.run(connections, size, works)
        for part, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, SmProxyError):
                failed.setdefault(part.number, outcome)
            else:
                tags.setdefault(part.number, {})[part.part] = outcome

    def complete(number: int) -> tuple[int, SmProxyError | None]:
        return number, there.complete(keys[number], tags[number])

    sent = [number for number in keys if number not in failed]
    ends = threads.map_concurrently(complete, sent, _CALLS_AT_ONCE)
    return failed | {number: error for number, error in ends if error is not None}


def _parts(number: int, entry: Entry) -> Iterator[_Part]:
    length = max(PART, -(-entry.size // _MOST_PARTS))
    for part, start in enumerate(range(0, max(1, entry.size), length), 1):
        yield _Part(number, entry, part, start, min(length, entry.size - start))


def _scripts(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """As many parts at once as one script uploads within the time that its URLs are valid."""
    some: list[_Part] = []
    for part in parts:
        if some and (len(some) == _SCRIPT or sum(one.size for one in some) + part.size > GROUP):
            yield some
            some = []
        some.append(part)
    if some:
        yield some


def _put(store: Store, part: _Part, there: InBucket, seconds: int) -> Put:
    key = store.key(part.number)
    place: dict[str, Any] = {
        "Key": key,
        "UploadId": there.upload_of(key),
        "PartNumber": part.part,
    }
    url = store.url("upload_part", seconds, **place)
    return Put(part.entry.source, part.start, part.size, url)


def _download(
    store: Store,
    connections: Scripts,
    sent: Sequence[tuple[int, Entry]],
    on_moved: Callable[[int], None],
) -> Iterator[tuple[Entry, Verdict]]:
    """Download what the container has uploaded, and compare it with what it has."""
    wanted = []
    for number, entry in sent:
        item = objects.head(store.aws, store.bucket, store.key(number))
        if item is not None and item.size == entry.size:
            wanted.append((entry, item))
        else:
            yield entry, _changed(entry)
    if not wanted:
        return
    fetched = downloads.fetch(store.aws, wanted, on_moved)
    try:
        digests = _digests(connections, [entry for entry, _ in wanted])
        for download in fetched:
            yield download.entry, _verdict(download, digests)
    finally:
        for download in fetched:
            download.drop()


def _digests(connections: Scripts, entries: Sequence[Entry]) -> dict[str, str | None]:
    """The SHA-256 of files in the container; empty if it cannot compute them."""
    try:
        return checksums.of(connections, {entry.source: entry.size for entry in entries})
    except SmProxyError as error:
        if error.code != "unsupported":
            raise
        return {}


def _verdict(download: downloads.Download, digests: dict[str, str | None]) -> Verdict:
    """Compare a file, and give it its name."""
    if download.error is not None:
        return download.error
    entry = download.entry
    try:
        same = not digests or digests.get(entry.source) == downloads.sha256(download.part)
    except OSError as error:
        return downloads.disk_failure(entry.target, error)
    if not same:
        return _changed(entry)
    return download.land() or bool(digests)


def _changed(entry: Entry) -> SmProxyError:
    what = f"{entry.source} changed while it was copied"
    return SmProxyError("source-changed", what, "Copy it again.")


def _fetched(
    store: Store, connections: Scripts, sent: Sequence[tuple[int, Entry, str]]
) -> Iterator[tuple[Entry, Verdict]]:
    """Let the container download files, which it compares with their SHA-256."""
    if not sent:
        return

    def works(seconds: int) -> list[Get]:
        return [
            Get(
                entry.target,
                entry.size,
                store.url("get_object", seconds, Key=store.key(number)),
                digest,
                entry.mode,
                entry.modified,
                entry.accessed,
            )
            for number, entry, digest in sent
        ]

    outcomes = in_container.run(connections, sum(entry.size for _, entry, _ in sent), works)
    for (_, entry, _), outcome in zip(sent, outcomes, strict=True):
        yield entry, outcome if isinstance(outcome, SmProxyError) else True
