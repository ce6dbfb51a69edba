"""Files of a container without an SFTP server, such as one with Dropbear alone: by shell and tools.

Each call is one line for the shell: see `shell_channel.py`. The tools are those of POSIX, with
`stat -c` and `readlink -f`, which GNU, BusyBox and Toybox have. Slow, and one connection only.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.transfer.ssh.shell_channel import ENCODING, ShellChannel
from sm_proxy.transfer.ssh.wire import Wire

_FORMAT: Final = "%f %s %X %Y %u %g"
"""Of `stat -c`: mode in hex, size, times of access and modification, user, group."""
_NUMBERS: Final = 6
_BLOCK: Final = 1 << 16
_PIECE: Final = 1 << 20
"""How much one line reads or writes: the link is idle between two of them."""
_ERRNO: Final = {
    "No such file": errno.ENOENT,
    "nonexistent": errno.ENOENT,
    "Permission denied": errno.EACCES,
    "File exists": errno.EEXIST,
    "Not a directory": errno.ENOTDIR,
    "Is a directory": errno.EISDIR,
    "not empty": errno.ENOTEMPTY,
    "No space left": errno.ENOSPC,
    "Read-only file system": errno.EROFS,
    "quota": getattr(errno, "EDQUOT", errno.ENOSPC),
}
_QUIET: Final = "2>&1 </dev/null"


@dataclass(frozen=True)
class Attributes:
    """As `paramiko.SFTPAttributes`."""

    filename: str
    st_mode: int
    st_size: int
    st_atime: int
    st_mtime: int
    st_uid: int
    st_gid: int


class ShellFiles:
    """The methods of `SftpLike`, by a shell.

    Args:
        channel: its `command` runs at the other end.
        wire: to ssh.

    Raises:
        OSError, EOFError: the connection is lost.
        SmProxyError: `unsupported`, the container has not the tools.
    """

    def __init__(self, channel: ShellChannel, wire: Wire) -> None:
        self._channel = channel
        channel.begin(wire)
        status, _ = channel.run(f"stat -c '{_FORMAT}' / {_QUIET}")
        if status:
            raise SmProxyError(
                "unsupported",
                "the container has no SFTP server, and no `stat -c` to do without",
                "Install openssh-sftp-server, or coreutils, in its image.",
            )
        whole = "dd bs=4 count=1 iflag=fullblock 2>/dev/null"
        status, taken = channel.run(f"printf abcdef | {whole}")
        self._takes_whole = (status, taken) == (0, b"abcd")

    def open(self, filename: str, mode: str = "r", bufsize: int = -1) -> ShellFile:
        """Open a file: see `SftpLike.open`."""
        del bufsize
        word = _word(filename)
        if "x" in mode:
            self._run(f"( set -C; : >{word} ) {_QUIET}", filename)
        elif "w" in mode or "a" in mode:
            self._run(f"( : >{'>' * ('a' in mode)}{word} ) {_QUIET}", filename)
        else:
            if stat.S_ISDIR(self.stat(filename).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            able = f"[ -{'w' if '+' in mode else 'r'} {word} ]"
            self._run(f"{able} || ( echo Permission denied; false )", filename)
        at = self.stat(filename).st_size if "a" in mode else 0
        return ShellFile(self, filename, at)

    def listdir_attr(self, path: str = ".") -> list[Attributes]:
        """The entries of a folder without `.` and `..`; links are not followed."""
        if not stat.S_ISDIR(self.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        each = (
            'case "$f" in .|..) continue;; esac; '
            f"stat -c '{_FORMAT}' \"./$f\" 2>/dev/null && printf '%s\\000' \"$f\""
        )
        listing = (
            f"( cd {_word(path)} && [ -r . ] || {{ echo Permission denied; exit 1; }}; "
            f"for f in .* *; do {each}; done; true ) {_QUIET}"
        )
        found = self._run(listing, path)
        return [_parsed(*item.split("\n", 1)) for item in found.split("\0") if "\n" in item]

    def stat(self, path: str) -> Attributes:
        """The attributes of a file; links are followed."""
        return _parsed(self._run(f"stat -L -c '{_FORMAT}' {_word(path)} {_QUIET}", path), path)

    def lstat(self, path: str) -> Attributes:
        """The attributes of a file or link."""
        return _parsed(self._run(f"stat -c '{_FORMAT}' {_word(path)} {_QUIET}", path), path)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a folder."""
        self._run(f"mkdir -m {mode & 0o7777:o} {_word(path)} {_QUIET}", path)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        self._run(f"rmdir {_word(path)} {_QUIET}", path)

    def rename(self, oldpath: str, newpath: str) -> None:
        """Rename; fails if the new name exists."""
        new = _word(newpath)
        taken = f"[ -e {new} ] || [ -L {new} ]"
        moved = f"mv -f {_word(oldpath)} {new}"
        self._run(f"if {taken}; then echo File exists; false; else {moved}; fi {_QUIET}", newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> None:
        """Rename; replaces what has the new name, unless it is a folder."""
        new = _word(newpath)
        moved = f"mv -f {_word(oldpath)} {new}"
        into = f"[ -d {new} ] && [ ! -L {new} ]"
        self._run(f"if {into}; then echo Is a directory; false; else {moved}; fi {_QUIET}", newpath)

    def chmod(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        self._run(f"chmod {mode & 0o7777:o} {_word(path)} {_QUIET}", path)

    def utime(self, path: str, times: tuple[float, float] | None) -> None:
        """Set the times of access and modification, in whole seconds."""
        for letter, seconds in zip("am", times or (time.time(),) * 2, strict=True):
            told = time.strftime("%Y%m%d%H%M.%S", time.gmtime(seconds))
            self._run(f"TZ=UTC0 touch -c -{letter} -t {told} {_word(path)} {_QUIET}", path)

    def remove(self, path: str) -> None:
        """Remove a file or link."""
        self.lstat(path)
        self._run(f"rm -f {_word(path)} {_QUIET}", path)

    def readlink(self, path: str) -> str | None:
        """What a link points to."""
        self.lstat(path)
        return self._run(f"readlink {_word(path)} {_QUIET}", path).removesuffix("\n")

    def normalize(self, path: str) -> str:
        """The absolute path without links; `.` is the user's home folder.

        It must exist: BusyBox 1.35 looks for what a dangling link names in the home folder.
        """
        self.stat(path)
        return self._run(f"readlink -f {_word(path)} {_QUIET}", path).removesuffix("\n")

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """At most `size` bytes of a file, from an offset."""
        first, last = offset // _BLOCK, (offset + size - 1) // _BLOCK
        count = last - first + 1
        status, found = self._channel.run(
            f"dd if={_word(path)} bs={_BLOCK} skip={first} count={count} 2>/dev/null </dev/null",
            limit=count * _BLOCK,
        )
        if status and not found:
            self.stat(path)
            raise OSError(f"{printable(path)} cannot be read")
        return found[offset - first * _BLOCK :][:size]

    def write_at(self, path: str, offset: int, data: memoryview, *, at_end: bool) -> None:
        """Write at an offset; `at_end` tells that this is the end of the file."""
        size = len(data)
        whole = f"bs={size} count=1 iflag=fullblock" if self._takes_whole else f"bs=1 count={size}"
        taken = f"dd {whole} 2>/dev/null"
        if at_end:
            line = f"{taken} | ( cat >>{_word(path)} ) 2>&1"
        else:
            block = min(_BLOCK, offset & -offset) or _BLOCK
            line = (
                f"{taken} | dd of={_word(path)} bs={block} seek={offset // block} conv=notrunc 2>&1"
            )
        status, told = self._channel.run(line, data)
        if status:
            raise _failed(told.decode(*ENCODING), path)

    def _run(self, line: str, path: str) -> str:
        """What a line prints.

        Raises:
            OSError: it failed, with the errno that its text tells; or the connection is lost.
        """
        status, told = self._channel.run(line)
        text = told.decode(*ENCODING)
        if status:
            raise _failed(text, path)
        return text


class ShellFile:
    """An open file: see `FileLike`.

    Args:
        files: of which it is one.
        path: its path.
        at: the offset at first.
    """

    def __init__(self, files: ShellFiles, path: str, at: int) -> None:
        self._files = files
        self._path = path
        self._at = at
        self._end = files.stat(path).st_size

    def seek(self, offset: int, whence: int = 0, /) -> None:
        """Move to an offset."""
        del whence
        self._at = offset

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes from the current offset; empty at the end."""
        parts: list[bytes] = []
        left = size if size >= 0 else self.stat().st_size - self._at
        while left > 0:
            part = self._files.read_at(self._path, self._at, min(left, _PIECE))
            if not part:
                break
            parts.append(part)
            self._at += len(part)
            left -= len(part)
        return b"".join(parts)

    def readv(self, chunks: Sequence[tuple[int, int]], /) -> Iterator[bytes]:
        """The bytes of each `(offset, size)`, in this order."""
        for begin, sizes in _runs(chunks):
            self.seek(begin)
            found = self.read(sum(sizes))
            for size in sizes:
                yield found[:size]
                found = found[size:]

    def write(self, data: bytes, /) -> None:
        """Write at the current offset."""
        left = memoryview(data)
        while left:
            piece, left = left[:_PIECE], left[_PIECE:]
            self._files.write_at(self._path, self._at, piece, at_end=self._at == self._end)
            self._at += len(piece)
            self._end = max(self._end, self._at)

    def set_pipelined(self, pipelined: bool = True, /) -> None:
        """Each write waits for its answer all the same."""

    def stat(self) -> Attributes:
        """The attributes of the file."""
        return self._files.stat(self._path)

    def close(self) -> None:
        """There is nothing to close."""

    def __enter__(self) -> ShellFile:  # noqa: PYI034 - Self is 3.11
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """There is nothing to close."""


def _runs(chunks: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """Ranges that follow each other as one: its offset, and the sizes in it."""
    found: list[tuple[int, list[int]]] = []
    end = -1
    for offset, size in chunks:
        if offset == end and sum(found[-1][1]) + size <= _PIECE:
            found[-1][1].append(size)
        else:
            found.append((offset, [size]))
        end = offset + size
    return found


def _word(path: str) -> str:
    """A path as one word of shell, on one line; no command takes it for an option.

    Raises:
        OSError: no file can have this name.
    """
    if not path or "\0" in path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    full = path if path.startswith("/") else f"./{path}"
    return '"$n"'.join(shlex.quote(part) for part in full.split("\n"))


def _parsed(numbers: str, name: str) -> Attributes:
    """The attributes in a line of `stat`.

    Raises:
        OSError: they make no sense.
    """
    words = numbers.split()
    try:
        mode, *others = int(words[0], 16), *map(int, words[1:])
        size, accessed, modified, user, group = others
    except (ValueError, IndexError):
        raise OSError(f"no attributes of {printable(name)}: {printable(numbers)}") from None
    return Attributes(name, mode, size, accessed, modified, user, group)


def _failed(told: str, path: str) -> OSError:
    """The error for a command that failed, from what it printed (LC_ALL is C)."""
    number = next((number for text, number in _ERRNO.items() if text in told), None)
    if number is not None:
        return OSError(number, os.strerror(number), path)
    return OSError(f"{printable(path)}: {printable(told) or 'it failed'}")
