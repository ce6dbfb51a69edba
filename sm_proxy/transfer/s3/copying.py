"""Copy by S3 what a plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads
from sm_proxy.transfer.connection import Answer
from sm_proxy.transfer.model import Entry, Problem
from sm_proxy.transfer.s3 import downloads, integrity
from sm_proxy.transfer.s3.choice import Plan
from sm_proxy.transfer.s3.downloads import Download

_AT_ONCE: Final = 4
"""How many files are verified at once."""
_BATCH: Final = 500
"""How many files have temporary names at once."""
_Verdict: TypeAlias = Literal["done", "unverified", "again"]


class Scripted(Protocol):
    """What a copy by S3 needs of `Connections`."""

    def script(self, text: str, timeout: float) -> Answer:
        """Run a POSIX sh script in the container: see `Connections.script`."""


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
    connections: Scripted | None,
    on_moved: Callable[[int], None] = lambda _: None,
) -> Result:
    """Copy by S3 what the plan says; blocks until it is done.

    Args:
        chosen: by `plan`.
        aws: as there.
        connections: to the container, for hand-overs and checksums; None if the job has ended.
        on_moved: takes numbers of bytes, from several threads; fewer than 0 if they come again.

    Raises:
        SmProxyError: nothing could be copied, for one reason.
        KeyboardInterrupt: everything is cancelled, and what was in the bucket is deleted.
    """
    verdicts: list[tuple[Entry, _Verdict | SmProxyError]] = []
    for start in range(0, len(chosen.from_s3), _BATCH):
        batch = chosen.from_s3[start : start + _BATCH]
        verdicts += _finish(
            aws, downloads.fetch(aws, batch, on_moved), live=connections is not None
        )
    for entry, verdict in verdicts:
        if verdict == "again":
            on_moved(-entry.size)
    return _sorted(verdicts)


def _finish(
    aws: Aws, fetched: Iterable[Download], *, live: bool
) -> list[tuple[Entry, _Verdict | SmProxyError]]:
    """Verify what was downloaded, and give the files their names."""

    def one(download: Download) -> tuple[Entry, _Verdict | SmProxyError]:
        return download.entry, _verdict(aws, download, live=live)

    return threads.map_concurrently(one, fetched, _AT_ONCE)


def _verdict(aws: Aws, download: Download, *, live: bool) -> _Verdict | SmProxyError:
    if download.error is not None:
        is_of_s3 = download.error.code != "copy-failed"
        return "again" if live and is_of_s3 else download.error
    try:
        agrees = integrity.agrees(aws, download.item, download.part)
    except OSError as error:
        download.drop()
        return downloads.disk_failure(download.entry.target, error)
    except SmProxyError as error:
        download.drop()
        return "again" if live else error
    if agrees is False or (agrees is None and live):
        download.drop()
        return "again" if live else _differs(download)
    return download.land() or ("done" if agrees else "unverified")


def _differs(download: Download) -> SmProxyError:
    where = f"s3://{download.item.bucket}/{download.item.key}"
    return SmProxyError(
        "not-verified",
        f"what came of {where} does not have the checksum that S3 has of it",
        "It may have changed meanwhile: copy it again.",
    )


def _sorted(verdicts: Iterable[tuple[Entry, _Verdict | SmProxyError]]) -> Result:
    by: dict[str, list[Entry]] = {"done": [], "unverified": [], "again": []}
    problems = []
    for entry, verdict in verdicts:
        if isinstance(verdict, SmProxyError):
            problems.append(Problem(entry.source, verdict))
        else:
            by[verdict].append(entry)
    kept = {name: tuple(entries) for name, entries in by.items()}
    return Result(**kept, problems=tuple(problems))
