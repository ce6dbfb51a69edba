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
from sm_proxy.transfer.s3.objects import Object
from sm_proxy.transfer.s3.store import open_store

_AT_ONCE: Final = 4
"""How many files are verified at once."""
_BATCH: Final = 500
"""How many files have temporary names at once."""
_HERE: Final = frozenset({"copy-failed"})
"""Failures of this machine's disk: ssh would meet them, too."""
_Verdict: TypeAlias = Literal["done", "unverified", "again"] | SmProxyError
_Judgement: TypeAlias = bool | SmProxyError | None
"""Whether a download is right, why it failed, or None: nobody knows."""
_Digests: TypeAlias = dict[str, str | None] | None
"""The SHA-256 of files in the container; None if it cannot compute them, or is gone."""


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
        wanted = chosen.from_s3[start : start + _BATCH]
        fetched, digests = _fetched(aws, connections, wanted, on_moved)

        def judged(one: Download, digests: _Digests = digests) -> _Judgement:
            return _judged(aws, one, digests, chosen.unsure)

        try:
            for download, agrees in zip(
                fetched, threads.map_concurrently(judged, fetched, _AT_ONCE), strict=True
            ):
                verdict = _landed(
                    download, agrees, can_ask=digests is not None, is_live=connections is not None
                )
                verdicts.append((download.entry, verdict))
                if verdict == "again" and download.error is None:
                    on_moved(-download.entry.size)
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
    move = hand_over.upload if chosen.direction == "up" else hand_over.download
    work = move(store, connections, chosen.handed_over, on_moved, on_status)
    with contextlib.closing(work) as moved:  # whatever ends this, nothing stays in the bucket
        for entry, verdict in moved:
            if isinstance(verdict, SmProxyError):
                yield entry, verdict
            else:
                yield entry, "done" if verdict else "unverified"


def _fetched(
    aws: Aws,
    connections: Scripts | None,
    wanted: Sequence[tuple[Entry, Object]],
    on_moved: Callable[[int], None],
) -> tuple[list[Download], _Digests]:
    """Download files, while the container computes their SHA-256."""
    sizes = {entry.source: entry.size for entry, _ in wanted}

    def digests() -> _Digests:
        if connections is None:
            return None
        try:
            return checksums.of(connections, sizes)
        except SmProxyError as error:  # ssh copies them, or says why not
            return None if error.code == "unsupported" else {}

    computing = threads.Background(digests)
    fetched = downloads.fetch(aws, wanted, on_moved)
    try:
        return fetched, computing.result()
    except BaseException:
        for download in fetched:
            download.drop()
        raise


def _landed(download: Download, agrees: _Judgement, *, can_ask: bool, is_live: bool) -> _Verdict:
    """Give a file its name, unless it is the wrong one.

    Args:
        download: of the file.
        agrees: whether it is right; why it failed; or None, nobody knows.
        can_ask: whether the container has told its SHA-256.
        is_live: whether there is a container.
    """
    if agrees is True:
        # What S3 says is of its copy only.
        return download.land() or ("done" if can_ask or not is_live else "unverified")
    if not is_live:
        return (download.land() or "unverified") if agrees is None else agrees or _differs(download)
    return agrees if isinstance(agrees, SmProxyError) and agrees.code in _HERE else "again"


def _judged(
    aws: Aws, download: Download, digests: _Digests, unsure: Collection[Entry]
) -> _Judgement:
    """Whether a download is right: it is the container's file, or else as S3 has it."""
    if download.error is not None:
        return download.error
    try:
        if digests is not None:
            return digests.get(download.entry.source) == downloads.sha256(download.part)
        return download.entry not in unsure and integrity.agrees(aws, download.item, download.part)
    except OSError as error:
        return downloads.disk_failure(download.entry.target, error)
    except SmProxyError as error:
        return error


def _differs(download: Download) -> SmProxyError:
    where = f"s3://{download.item.bucket}/{download.item.key}"
    return SmProxyError(
        "not-verified",
        f"the copy of {where} differs from the checksum that S3 has of it",
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
