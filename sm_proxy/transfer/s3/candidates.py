"""Which files have a copy in S3 that may be current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.job import Job
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.s3 import objects, synced
from sm_proxy.transfer.s3.objects import Object
from sm_proxy.transfer.s3.synced import Folder

_CLOCKS_DIFFER_S: Final = 2
"""How far the clocks of S3 and of a container may be apart, and the rounding of their times."""


@dataclass(frozen=True)
class Candidates:
    """The files that have a copy.

    Attributes:
        found: each with its object.
        unsure: those whose copy may be another file's or an older one.
        reason: for the user: from where they come, or why they do not.
    """

    found: tuple[tuple[Entry, Object], ...] = ()
    unsure: frozenset[Entry] = frozenset()
    reason: str = ""


def find(aws: Aws, owner: Container | Job, files: Sequence[Entry]) -> Candidates:
    """Look for copies of files.

    Args:
        aws: for the calls, in the job's region.
        owner: of the files: a running container, or a job that has ended, whose copies all count.
        files: of which there may be copies.

    Raises:
        SmProxyError: a call failed.
    """
    live = isinstance(owner, Container)
    name = owner.job if isinstance(owner, Container) else owner.name
    folders = synced.folders(aws, owner.kind, name)
    inside: dict[Folder, dict[str, Entry]] = {}
    for entry in files:
        if (place := synced.containing(folders, entry.source)) is not None:
            inside.setdefault(place[0], {})[place[1]] = entry
    by_folder = [_of_folder(aws, folder, wanted, live=live) for folder, wanted in inside.items()]
    return Candidates(
        tuple(one for each in by_folder for one in each.found),
        frozenset(one for each in by_folder for one in each.unsure),
        "; ".join(each.reason for each in by_folder),
    )


def _of_folder(aws: Aws, folder: Folder, wanted: dict[str, Entry], *, live: bool) -> Candidates:
    """Those of the files of one folder, by their keys."""
    try:
        there = objects.find(aws, folder.bucket, list(wanted))
    except SmProxyError as error:
        if not live or not objects.refused(error):
            raise
        return Candidates(reason=f"by ssh: you cannot read {folder.url} ({error.message})")
    found = [
        (entry, item)
        for key, entry in wanted.items()
        if (item := there.get(key)) and (not live or _may_be_current(entry, item))
    ]
    # Nodes that write files of the same name overwrite each other's copies.
    unsure = [entry for entry, item in found if folder.nodes > 1 or not _is_later(entry, item)]
    reason = _reason(folder, len(found), len(wanted))
    return Candidates(tuple(found), frozenset(unsure if live else ()), reason)


def _reason(folder: Folder, found: int, wanted: int) -> str:
    if found == wanted:
        return f"from {folder.url}, where SageMaker copies {folder.path}"
    late = wanted - found
    files = f"{wanted} file{'' if wanted == 1 else 's'}"
    of_all = f"{late} of {files}" if found else files
    more = f", the rest from {folder.url}" if found else ""
    return f"by ssh: {of_all} not yet copied to {folder.url}{more}"


def _may_be_current(entry: Entry, item: Object) -> bool:
    return item.size == entry.size and item.modified >= entry.modified - _CLOCKS_DIFFER_S


def _is_later(entry: Entry, item: Object) -> bool:
    """Whether the upload of a copy began after the last change of the file.

    LastModified of a multipart upload is when it was initiated (Amazon S3 User Guide, "Object
    metadata").
    """
    return item.modified >= entry.modified + _CLOCKS_DIFFER_S
