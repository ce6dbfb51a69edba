"""One small file: what is known of it on its way, and the tasks that move it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from paramiko import sftp

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.large.own_files import busy, disk_error
from sm_proxy.transfer.model import Direction, Entry
from sm_proxy.transfer.small import local_side
from sm_proxy.transfer.ssh import pipeline, sftp_packets
from sm_proxy.transfer.ssh.pipeline import Task
from sm_proxy.transfer.ssh.sftp_packets import CHUNK, Attributes, Request
from sm_proxy.transfer.trees import names

_SEPARATORS: Final = "/\\" if os.name == "nt" else "/"


@dataclass(eq=False)
class SmallFile:
    """A file of at most `SMALL` bytes on its way.

    Attributes:
        entry: as it was listed, or as it was when it was read.
        part: its name on the target's side while it is not verified.
        at: where its bytes are on the target's side; empty as long as they are not.
        digest: the SHA-256 of these bytes.
        earlier: whether an earlier run left these bytes there.
        unverified: whether the container has no tool to verify it.
        again: how many times it had to be sent again.
        reusable: whether what an earlier run left may be used, as it will be verified.
        steady: whether its size was the same before and after it was read.
        renaming: whether a rename in the container may have been done.
        suspect: whether a connection was lost while it was read.
        placed: whether it is at its target.
        error: why it is not copied.
    """

    entry: Entry
    part: str
    at: str = ""
    digest: str = ""
    earlier: bool = False
    unverified: bool = False
    again: int = 0
    reusable: bool = True
    steady: bool = True
    renaming: bool = False
    suspect: bool = False
    placed: bool = False
    error: SmProxyError | OSError | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.placed or self.error is not None


def small_file(entry: Entry, direction: Direction) -> SmallFile:
    """A file that is to be sent."""
    separators = _SEPARATORS if direction == "down" else "/"
    return SmallFile(entry, names.temporary(entry.target, separators=separators))


def fetch(file: SmallFile, moved: Callable[[int], None]) -> Task[None]:
    """Read it from the container and write it here, under its temporary name."""
    if file.reusable and _left_here(file):
        return
    if file.suspect:  # a pipe by now? The server would wait for a writer, and answer nothing.
        (found,) = yield [Request(sftp.CMD_STAT, file.entry.source)]
        if pipeline.attributes(found).type not in {stat.S_IFREG, 0}:
            raise OSError("it is no longer a file")
    (opened,) = yield [sftp_packets.opened(file.entry.source)]
    handle = pipeline.data(opened)
    try:
        data, seen = yield from _content(handle, file.entry.size)
        moved(len(data))
        _keep(file, data, seen)
    except OSError:
        yield [sftp_packets.closed(handle)]
        raise
    yield [sftp_packets.closed(handle)]


def _keep(file: SmallFile, data: bytes, seen: Attributes) -> None:
    file.steady = seen.size in {None, len(data)}
    modified = file.entry.modified if seen.modified is None else seen.modified
    file.entry = replace(file.entry, size=len(data), modified=modified)
    try:
        local_side.write(file.part, data, file.entry)
    except OSError as error:
        file.error = _refused(file.entry.target, error)
    else:
        file.at, file.digest = file.part, local_side.digest(data)


def _refused(target: str, error: OSError) -> SmProxyError:
    """Another copy to the same target takes the part away, or makes it just now."""
    if isinstance(error, FileNotFoundError) and Path(target).parent.is_dir():
        return busy(target)
    return busy(target) if isinstance(error, FileExistsError) else disk_error(target, error)


def _left_here(file: SmallFile) -> bool:
    for path in (file.entry.target, file.part):
        if digest := local_side.earlier(path, file.entry):
            file.at, file.digest, file.earlier = path, digest, True
            return True
    return False


def _content(handle: bytes, size: int) -> Task[tuple[bytes, Attributes]]:
    """All bytes of an open file, however many there are, and its attributes after that."""
    asked = range(0, size + 1, CHUNK)  # one byte more tells that it has grown
    replies = yield [
        *(
            Request(sftp.CMD_READ, handle=handle, offset=at, length=min(CHUNK, size + 1 - at))
            for at in asked
        ),
        Request(sftp.CMD_FSTAT, handle=handle),
    ]
    seen = pipeline.attributes(replies[-1])
    data = bytearray()
    for at, reply in zip(asked, replies, strict=False):
        part = pipeline.data(reply)
        if len(part) > min(CHUNK, size + 1 - at):
            raise OSError("the SFTP server sent more than was asked for")
        if len(data) == at:  # else the part before was short: asked for again below
            data += part
    while len(data) != seen.size:
        (reply,) = yield [Request(sftp.CMD_READ, handle=handle, offset=len(data), length=CHUNK)]
        part = pipeline.data(reply)
        data += part
        if not part:
            break
        if len(data) > local_side.MOST:
            raise OSError("it grew while it was copied")
    return bytes(data), seen


def store(file: SmallFile, moved: Callable[[int], None]) -> Task[None]:
    """Read it here and write it in the container, under its temporary name."""
    data, found = local_side.read(file.entry.source)
    file.entry = replace(file.entry, size=len(data), modified=int(found.st_mtime))
    file.digest = local_side.digest(data)
    target, part = yield [
        Request(sftp.CMD_LSTAT, file.entry.target),
        Request(sftp.CMD_LSTAT, file.part),
    ]
    for path, reply in ((file.entry.target, target), (file.part, part)):
        if file.reusable and _left_there(file.entry, reply):
            file.at, file.earlier = path, True
            return
    if isinstance(target, Attributes) and target.type not in {stat.S_IFREG, stat.S_IFLNK, 0}:
        kind = "a folder" if target.type == stat.S_IFDIR else "no file"
        raise OSError(f"{file.entry.target} is {kind} in the container")
    if isinstance(part, Attributes):
        yield [Request(sftp.CMD_REMOVE, file.part)]
    (opened,) = yield [sftp_packets.created(file.part)]
    handle = pipeline.data(opened)
    replies = yield [
        Request(sftp.CMD_WRITE, handle=handle, offset=at, data=data[at : at + CHUNK])
        for at in range(0, len(data), CHUNK)
    ] or [Request(sftp.CMD_FSTAT, handle=handle)]
    entry = file.entry
    attributes = Attributes(mode=entry.mode, accessed=entry.accessed, modified=entry.modified)
    closed, set_ = yield [
        sftp_packets.closed(handle),
        Request(sftp.CMD_SETSTAT, file.part, attributes=attributes),
    ]
    moved(len(data))
    for reply in (*(replies if data else ()), closed, set_):
        pipeline.done(reply)
    file.at = file.part


def _left_there(entry: Entry, reply: sftp_packets.Reply) -> bool:
    return (
        isinstance(reply, Attributes)
        and reply.type == stat.S_IFREG
        and local_side.is_unchanged(entry, reply.size, reply.modified)
    )


def place_here(file: SmallFile) -> None:
    """Give it its name on this machine; it is then placed, or has an error."""
    try:
        if file.at != file.entry.target:
            os.replace(file.at, file.entry.target)  # noqa: PTH105 - many
    except OSError as error:
        file.error = _refused(file.entry.target, error)
    else:
        file.placed = True


def place_there(file: SmallFile) -> Task[None]:
    """Give it its name in the container."""
    if file.at == file.entry.target:
        return
    again, file.renaming = file.renaming, True
    (reply,) = yield [sftp_packets.renamed(file.at, file.entry.target)]
    if not (again and isinstance(reply, FileNotFoundError)):  # the reply before was lost
        pipeline.done(reply)


def discard_here(file: SmallFile) -> None:
    """Remove what is here of a file that is not copied."""
    with contextlib.suppress(OSError):
        os.unlink(file.part)  # noqa: PTH108 - many


def discard_there(file: SmallFile) -> Task[None]:
    """Remove what is in the container of a file that is not copied."""
    yield [Request(sftp.CMD_REMOVE, file.part)]
