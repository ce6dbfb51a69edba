"""What came of a copy, summed up over its ways and its containers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.large.large_files import Copied
from sm_proxy.transfer.model import Entry, Outcome, Problem
from sm_proxy.transfer.s3 import Result
from sm_proxy.transfer.small.batches import Settled

_SAME: Final = "Run the same command again: it resumes where it stopped."


@dataclass
class Tally:
    """Adds up what each way has copied.

    Attributes:
        files: at their targets.
        bytes: the sum of their sizes.
        verified: whether the checksums of all agree.
        by_ssh: whether anything was left for ssh.
        by_s3: whether anything came by S3.
        sessions: the most that were open at once.
        problems: what could not be copied.
    """

    files: int = 0
    bytes: int = 0
    verified: bool = True
    by_ssh: bool = False
    by_s3: bool = False
    sessions: int = 0
    problems: tuple[Problem, ...] = ()

    def add_small(self, settled: Settled) -> None:
        """Add the small files that came over ssh."""
        self._add(settled.files)
        self.verified &= not settled.unverified
        self.problems += settled.problems

    def add_large(self, copied: Copied) -> None:
        """Add the large files that came over ssh; the engine has told their problems."""
        self.files += copied.files
        self.bytes += copied.bytes
        self.verified &= copied.verified

    def add_s3(self, result: Result) -> None:
        """Add the files that came by S3."""
        self._add((*result.done, *result.unverified))
        self.by_s3 |= bool(result.done or result.unverified)
        self.verified &= not result.unverified
        self.problems += result.problems

    def outcome(self, seconds: float) -> Outcome:
        """All of it."""
        via = "both" if self.by_ssh and self.by_s3 else "s3" if self.by_s3 else "ssh"
        return Outcome(
            files=self.files,
            bytes=self.bytes,
            seconds=seconds,
            sessions=self.sessions if self.by_ssh else 0,
            via=via,  # type: ignore[arg-type]
            verified=self.verified,
            problems=self.problems,
        )

    def _add(self, files: Sequence[Entry]) -> None:
        self.files += len(files)
        self.bytes += sum(file.size for file in files)


def merged(outcomes: Sequence[Outcome], seconds: float) -> Outcome:
    """What came of copies that ran at the same time."""
    ways = {each.via for each in outcomes if each.files}
    return Outcome(
        files=sum(each.files for each in outcomes),
        bytes=sum(each.bytes for each in outcomes),
        seconds=seconds,
        sessions=sum(each.sessions for each in outcomes),
        via=next(iter(ways)) if len(ways) == 1 else "both" if ways else "ssh",
        verified=all(each.verified for each in outcomes),
        problems=tuple(problem for each in outcomes for problem in each.problems),
    )


def failure(outcome: Outcome, *, verify: bool = True) -> SmProxyError | None:
    """Why a copy is not complete; None if every file is at its target and verified.

    Args:
        outcome: of the copy.
        verify: whether unverified files are a failure.
    """
    problems = outcome.problems
    if len(problems) == 1:
        error = problems[0].error
        return SmProxyError(error.code, describe(problems[0]), error.hint)
    if problems:
        copied = "1 file was" if outcome.files == 1 else f"{outcome.files} files were"
        codes = {problem.error.code for problem in problems}
        return SmProxyError(
            codes.pop() if len(codes) == 1 else "copy-failed",
            f"{len(problems)} files or folders were not copied, {copied}: {describe(problems[0])}",
            _SAME,
        )
    if verify and not outcome.verified:
        return SmProxyError(
            "not-verified",
            "all files are copied, but some were compared by size only: the container cannot "
            "compute SHA-256, or S3 has no checksum of them",
            "Install coreutils or Python there, or copy with --no-verify.",
        )
    return None


def describe(problem: Problem) -> str:
    """A problem in one clause, with its path."""
    message = problem.error.message
    return message if problem.path in message else f"{problem.path}: {message}"
