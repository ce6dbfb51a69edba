"""Decide which files are copied by S3, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.job import Job
from sm_proxy.transfer.model import Direction, Entry, Via
from sm_proxy.transfer.s3 import objects, synced
from sm_proxy.transfer.s3.objects import Object
from sm_proxy.transfer.s3.synced import Folder

WORTH_IT: Final = 4 << 20
"""With fewer bytes in all, `auto` does not ask S3: the calls would take longer than the copy."""
_CLOCKS_DIFFER_S: Final = 2
"""How far the clocks of S3 and of a container may be apart, and the rounding of their times."""


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
    """

    from_s3: tuple[tuple[Entry, Object], ...]
    handed_over: tuple[Entry, ...]
    by_ssh: tuple[Entry, ...]
    reason: str
    direction: Direction = "down"
    bucket: str = ""

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
    found: list[tuple[Entry, Object]] = []
    reason = ""
    if direction == "down" and (asked or sum(entry.size for entry in files) >= WORTH_IT):
        found, reason = _current(aws, container, job, files)
    taken = {entry for entry, _ in found}
    rest = tuple(entry for entry in entries if entry not in taken)
    if container is None:
        _refuse_missing(rest)
    if container is None or via == "auto":
        return Plan(tuple(found), (), rest, reason, direction)
    handed = tuple(entry for entry in rest if entry.kind == "file")
    folders = tuple(entry for entry in rest if entry.kind == "folder")
    if not handed:
        return Plan(tuple(found), (), folders, reason, direction)
    name = _named(bucket)
    why = "; ".join(filter(None, (reason, f"{_files(len(handed))} by s3://{name}, as you asked")))
    return Plan(tuple(found), handed, folders, why, direction, name)


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
            "these files are not in S3, and no bucket is named in which to hand them over",
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


def _current(
    aws: Aws, container: Container | None, job: Job | None, files: Sequence[Entry]
) -> tuple[list[tuple[Entry, Object]], str]:
    """The files whose copy in S3 is current, and what the user should know about the choice."""
    owner = container or job
    if owner is None:
        return [], ""
    name = container.job if container else job.name if job else ""
    folders = synced.folders(aws, owner.kind, name)
    inside: dict[Folder, dict[str, Entry]] = {}
    for entry in files:
        if (place := synced.containing(folders, entry.source)) is not None:
            inside.setdefault(place[0], {})[place[1]] = entry
    found: list[tuple[Entry, Object]] = []
    reasons = []
    for folder, wanted in inside.items():
        taken, reason = _of_folder(aws, folder, wanted, live=container is not None)
        found += taken
        reasons.append(reason)
    return found, "; ".join(reasons)


def _of_folder(
    aws: Aws, folder: Folder, wanted: dict[str, Entry], *, live: bool
) -> tuple[list[tuple[Entry, Object]], str]:
    """The files of one folder whose copy is current, and one clause about them."""
    if live and folder.nodes > 1:
        # The copy may be another node's file of the same name.
        return [], f"by ssh: the {folder.nodes} nodes of the job share {folder.url}"
    try:
        there = objects.find(aws, folder.bucket, list(wanted))
    except SmProxyError as error:
        if not live or not objects.refused(error):
            raise
        return [], f"by ssh: you cannot read {folder.url} ({error.message})"
    found = [
        (entry, item)
        for key, entry in wanted.items()
        if (item := there.get(key)) and (not live or _is_current(entry, item))
    ]
    if len(found) == len(wanted):
        return found, f"from {folder.url}, where SageMaker copies {folder.path}"
    late = len(wanted) - len(found)
    of_all = f"{late} of {_files(len(wanted))}" if found else _files(late)
    more = f", the rest from {folder.url}" if found else ""
    return found, f"by ssh: {of_all} not yet copied to {folder.url}{more}"


def _is_current(entry: Entry, item: Object) -> bool:
    """Whether the upload of a copy began after the last change of the file.

    LastModified of a multipart upload is when it was initiated (Amazon S3 User Guide, "Object
    metadata").
    """
    return item.size == entry.size and item.modified >= entry.modified + _CLOCKS_DIFFER_S


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
