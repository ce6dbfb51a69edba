"""Copy by S3 what a plan says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads
from sm_proxy.transfer import checksums
from sm_proxy.transfer.checksums import Scripts
from sm_proxy.transfer.model import Entry, Problem
from sm_proxy.transfer.s3 import downloads, hand_over, in_container, integrity
from sm_proxy.transfer.s3.choice import Plan
from sm_proxy.transfer.s3.downloads import Download
from sm_proxy.transfer.s3.store import open_store

_AT_ONCE: Final = 4
"""How many files are verified at once."""
_BATCH: Final = 500
"""How many files have temporary names at once."""
_HERE: Final = frozenset({"copy-failed"})
"""Failures of this machine's disk: ssh would meet them, too."""
_Verdict: TypeAlias = Literal["done", "unverified", "again"] | SmProxyError


@dataclass(frozen=True)
class Result:
    """What came of the part of a copy that went by S3.

    Attributes:
        done: at their targets, complete and verified.
        unverified: at their targets, but neither S3 nor the container has a checksum of them.
        again: to copy by ssh: what is in S3 is not, or no longer, the file in the container.
        problems: what could not be copied.
    """

    done: tuple[Entry, ...] = ()
    unverified: tuple[Entry, ...] = ()
    again: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()


def run(
    chosen: Plan,
    aws: Aws,
    connections: Scripts | None,
    on_moved: Callable[[int], None] = lambda _: None,
    on_status: Callable[[str], None] = lambda _: None,
) -> Result:
    """Copy by S3 what the plan says; blocks until it is done.

    Args:
        chosen: by `plan`.
        aws: as there.
        connections: to the container, for hand-overs and checksums; None if the job has ended.
        on_moved: takes numbers of bytes, from several threads; fewer than 0 if they come again.
        on_status: takes a line for the user, if something stays in the bucket.

    Raises:
        SmProxyError: nothing could be copied, for one reason.
        KeyboardInterrupt: everything is cancelled, and what was in the bucket is deleted.
    """
    verdicts: list[tuple[Entry, _Verdict]] = []
    for start in range(0, len(chosen.from_s3), _BATCH):
        fetched = downloads.fetch(aws, chosen.from_s3[start : start + _BATCH], on_moved)
        try:
            verdicts += _finished(aws, connections, fetched, chosen.unsure, on_moved)
        finally:
            for download in fetched:
                download.drop()
    if chosen.handed_over and connections is not None:
        verdicts += _handed_over(chosen, aws, connections, on_moved, on_status)
    return _sorted(verdicts)


def _handed_over(
    chosen: Plan,
    aws: Aws,
    connections: Scripts,
    on_moved: Callable[[int], None],
    on_status: Callable[[str], None],
) -> Iterator[tuple[Entry, _Verdict]]:
    store = open_store(aws, chosen.bucket, in_container.endpoint(connections))
    move = hand_over.up if chosen.direction == "up" else hand_over.down
    work = move(store, connections, chosen.handed_over, on_moved, on_status)
    with contextlib.closing(work) as moved:  # whatever ends this, nothing stays in the bucket
        for entry, verdict in moved:
            if isinstance(verdict, SmProxyError):
                yield entry, verdict
            else:
                yield entry, "done" if verdict else "unverified"


def _finished(
    aws: Aws,
    connections: Scripts | None,
    fetched: Sequence[Download],
    unsure: Collection[Entry],
    on_moved: Callable[[int], None],
) -> list[tuple[Entry, _Verdict]]:
    """Verify what was downloaded, and give the files their names."""
    judged = threads.map_concurrently(lambda one: _judged(aws, one), fetched, _AT_ONCE)
    known = {
        # A copy may be as S3 says and still be another file's.
        download: None if agrees is True and download.entry in unsure else agrees
        for download, agrees in zip(fetched, judged, strict=True)
    }
    agreements = _asked(connections, known)
    verdicts: list[tuple[Entry, _Verdict]] = []
    for download, agrees in agreements.items():
        if agrees is True or (agrees is None and connections is None):
            verdict: _Verdict = download.land() or ("done" if agrees else "unverified")
        elif isinstance(agrees, SmProxyError) and (connections is None or agrees.code in _HERE):
            verdict = agrees
        elif connections is None:
            verdict = _differs(download)
        else:
            verdict = "again"
            if download.error is None:
                on_moved(-download.entry.size)
        verdicts.append((download.entry, verdict))
    return verdicts


def _judged(aws: Aws, download: Download) -> bool | SmProxyError | None:
    """Whether S3 says that a download is right; None if it cannot tell."""
    if download.error is not None:
        return download.error
    try:
        return integrity.agrees(aws, download.item, download.part)
    except OSError as error:
        return downloads.disk_failure(download.entry.target, error)
    except SmProxyError as error:
        return error


def _asked(
    connections: Scripts | None, judged: dict[Download, bool | SmProxyError | None]
) -> dict[Download, bool | SmProxyError | None]:
    """Ask the container about those that S3 cannot tell."""
    unknown = [download for download, agrees in judged.items() if agrees is None]
    if connections is None or not unknown:
        return judged
    try:
        digests = checksums.of(connections, {one.entry.source: one.entry.size for one in unknown})
        return judged | {
            download: digests[download.entry.source] == downloads.sha256(download.part)
            for download in unknown
        }
    except (OSError, SmProxyError):  # ssh copies them, or says why not
        return judged | dict.fromkeys(unknown, False)


def _differs(download: Download) -> SmProxyError:
    where = f"s3://{download.item.bucket}/{download.item.key}"
    return SmProxyError(
        "not-verified",
        f"what came of {where} does not have the checksum that S3 has of it",
        "It may have changed meanwhile: copy it again.",
    )


def _sorted(verdicts: Iterable[tuple[Entry, _Verdict]]) -> Result:
    by: dict[str, list[Entry]] = {"done": [], "unverified": [], "again": []}
    problems = []
    for entry, verdict in verdicts:
        if isinstance(verdict, SmProxyError):
            problems.append(Problem(entry.source, verdict))
        else:
            by[verdict].append(entry)
    kept = {name: tuple(entries) for name, entries in by.items()}
    return Result(**kept, problems=tuple(problems))
