"""The mark in a folder that a copy has made and not finished: the same command goes on there.

By scp's rules a folder is copied to the target's name if nothing has it, and else into the target:
the same command run again would copy all of it once more, one folder deeper.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Final

from paramiko import sftp

from sm_proxy.transfer.large.own_files import NEW, SAFE, is_ours
from sm_proxy.transfer.model import Direction
from sm_proxy.transfer.ssh import pipeline, sftp_packets
from sm_proxy.transfer.ssh.pipeline import Task
from sm_proxy.transfer.ssh.sftp_packets import Request
from sm_proxy.transfer.trees import names

NAME: Final = ".sm-proxy-unfinished"
"""No listing has it: it is never copied."""


def mark_of(direction: Direction, host: str, source: str) -> bytes:
    """What the mark says: which folder is copied."""
    if direction == "up":
        source = os.path.abspath(source)  # noqa: PTH100 - any text
    words = "\0".join((direction, host, source.rstrip("/")))
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest().encode()


def is_here(folder: str, mark: bytes) -> bool:
    """Whether a folder of this machine has the mark."""
    try:
        with os.fdopen(os.open(_here(folder), os.O_RDONLY | SAFE), "rb") as file:
            return is_ours(os.fstat(file.fileno())) and file.read(len(mark) + 1) == mark
    except OSError:
        return False


def begin_here(folder: str, mark: bytes) -> None:
    """Mark a new folder of this machine; an error does not count."""
    try:
        with os.fdopen(os.open(_here(folder), os.O_WRONLY | NEW | SAFE, 0o600), "wb") as file:
            file.write(mark)
    except OSError:
        pass


def end_here(folder: str) -> None:
    """Remove the mark; an error does not count."""
    with contextlib.suppress(OSError):
        os.unlink(_here(folder))  # noqa: PTH108 - many


def is_there(folder: str, mark: bytes) -> Task[bool]:
    """Whether a folder in the container has the mark; a failure if it has none."""
    (opened,) = yield [sftp_packets.opened(names.join(folder, NAME))]
    handle = pipeline.data(opened)
    found, _ = yield [
        Request(sftp.CMD_READ, handle=handle, length=len(mark) + 1),
        sftp_packets.closed(handle),
    ]
    return found == mark


def begin_there(folder: str, mark: bytes) -> Task[None]:
    """Mark a new folder in the container."""
    (opened,) = yield [sftp_packets.created(names.join(folder, NAME))]
    handle = pipeline.data(opened)
    yield [Request(sftp.CMD_WRITE, handle=handle, data=mark), sftp_packets.closed(handle)]


def end_there(folder: str) -> Task[None]:
    """Remove the mark."""
    yield [Request(sftp.CMD_REMOVE, names.join(folder, NAME))]


def _here(folder: str) -> str:
    return os.path.join(folder, NAME)  # noqa: PTH118 - many
