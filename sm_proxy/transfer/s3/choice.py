"""Decide which files are copied by S3, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.job import Job
from sm_proxy.transfer.model import Direction, Entry, Via
from sm_proxy.transfer.s3 import candidates, synced
from sm_proxy.transfer.s3.candidates import Candidates
from sm_proxy.transfer.s3.objects import Object

WORTH_IT: Final = 4 << 20
"""With fewer bytes in all, `auto` does not ask S3: the calls would take longer than the copy."""


@dataclass(frozen=True)
class Plan:
    """How each file and folder is copied.

    Attributes:
        from_s3: each with its object. What `run` finds changed comes back for ssh.
        handed_over: through `bucket`, by the container itself.
        by_ssh: the rest, and all folders if there is a container.
        reason: one line for the user; empty if S3 was no choice.
        direction: of the copy.
        bucket: `BUCKET` or `BUCKET/PREFIX` for what is handed over; empty without.
        unsure: those from S3 that may not be the container's, if it cannot tell their SHA-256.
    """

    from_s3: tuple[tuple[Entry, Object], ...]
    handed_over: tuple[Entry, ...]
    by_ssh: tuple[Entry, ...]
    reason: str
    direction: Direction = "down"
    bucket: str = ""
    unsure: frozenset[Entry] = frozenset()

    @property
    def by_s3(self) -> tuple[Entry, ...]:
        """What goes by S3, either way."""
        return (*(entry for entry, _ in self.from_s3), *self.handed_over)


def plan(
    aws: Aws,
    container: Container | None,
    job: Job | None,
    entries: Sequence[Entry],
    via: Via,
    *,
    bucket: str | None = None,
    direction: Direction = "down",
) -> Plan:
    """Choose how each file is copied.

    With `auto`, a file comes from S3 if SageMaker has copied it there since it was last changed.
    With `s3`, all others are handed over in the user's bucket.

    Args:
        aws: for the calls, in the job's region.
        container: with the files; None if the job has ended.
        job: needed only without a container. Its entries come from `ended.Files`.
        entries: to copy.
        via: as the user asked.
        bucket: `BUCKET`, `BUCKET/PREFIX` or `s3://...`, as the user named it.
        direction: of the copy.

    Raises:
        SmProxyError: `bad-setting`, files must be handed over and no bucket is named; or a call
            failed.
    """
    files = [entry for entry in entries if entry.kind == "file"]
    if via == "ssh" or not files:
        return Plan((), (), tuple(entries), "", direction)
    asked = via == "s3" or container is None
    found = Candidates()
    if direction == "down" and (asked or sum(entry.size for entry in files) >= WORTH_IT):
        found = _found(aws, container or job, files, must=asked)
    taken = {entry for entry, _ in found.found}
    rest = tuple(entry for entry in entries if entry not in taken)
    plain = Plan(found.found, (), rest, found.reason, direction, unsure=found.unsure)
    if container is None:
        _refuse_missing(rest)
    if container is None or via == "auto":
        return plain
    handed = tuple(entry for entry in rest if entry.kind == "file")
    if not handed:
        return plain
    name = _named(bucket)
    why = f"{_files(len(handed))} by s3://{name}, as you asked"
    return replace(
        plain,
        handed_over=handed,
        by_ssh=tuple(entry for entry in rest if entry.kind == "folder"),
        reason="; ".join(filter(None, (found.reason, why))),
        bucket=name,
    )


def _found(
    aws: Aws, owner: Container | Job | None, files: Sequence[Entry], *, must: bool
) -> Candidates:
    """The files that have a copy in S3; unless we must, we can do without."""
    if owner is None:
        return Candidates()
    try:
        return candidates.find(aws, owner, files)
    except SmProxyError as error:
        if must:
            raise
        return Candidates(reason=f"by ssh: S3 cannot be asked ({error.message})")


def _refuse_missing(rest: Sequence[Entry]) -> None:
    """Refuse files of an ended job that are not in S3, or no longer."""
    for entry in rest:
        if entry.kind == "file":
            raise SmProxyError(
                "copy-failed",
                f"{entry.source} is not in S3, and the job's container is gone",
                "Only what SageMaker copied to S3 while the job ran is left.",
            )


def _named(bucket: str | None) -> str:
    """The bucket, as `BUCKET` or `BUCKET/PREFIX`."""
    address = str(bucket or "").removeprefix("s3://").strip("/")
    if not address:
        raise SmProxyError(
            "bad-setting",
            "these files are not in S3, and no bucket is named to copy them through",
            "Name one of yours with --bucket BUCKET or as copy_s3 in config.toml, or copy with"
            " --via ssh.",
        )
    if synced.split(f"s3://{address}") is None:
        raise SmProxyError(
            "bad-setting",
            f"{bucket!r} is not a bucket in S3",
            "Write it as BUCKET or BUCKET/PREFIX.",
        )
    return address


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
