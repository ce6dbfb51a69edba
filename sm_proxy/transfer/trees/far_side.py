"""What there is in the container: attributes, folders, real paths, globs. Nothing is changed."""

from __future__ import annotations

import fnmatch
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from paramiko import sftp

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.ssh import pipeline, sftp_packets
from sm_proxy.transfer.ssh.pipeline import Runner, Task
from sm_proxy.transfer.ssh.sftp_packets import Attributes, Names, Request
from sm_proxy.transfer.trees import names

MOST_NAMES: Final = 2_000_000
"""Of one copy. Their list takes about 1 GB of memory; a hostile server's has no end."""
_GLOB: Final = re.compile(r"(?<!\\)(\\\\)*[*?\[]")
_QUOTED: Final = re.compile(r"\\(.)", re.DOTALL)


class FarSide:
    """Looks at the files of a container.

    Args:
        runner: of an idle connection.

    All methods raise `EOFError`, `OSError` or `SSHException` if the connection is lost.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._names = 0

    def stats(self, paths: Iterable[str]) -> list[Attributes | OSError]:
        """The attributes of files; links are followed."""
        return self._runner.run(_attributes(sftp.CMD_STAT, path) for path in paths)

    def look(self, path: str) -> tuple[Attributes | OSError, bool]:
        """The attributes of what a path leads to, and whether the path itself is a link."""
        there, own = self._runner.run(
            _attributes(kind, path) for kind in (sftp.CMD_STAT, sftp.CMD_LSTAT)
        )
        return there, isinstance(own, Attributes) and own.type == stat.S_IFLNK

    def real(self, paths: Iterable[str]) -> list[str | OSError]:
        """The absolute paths without links."""
        return self._runner.run(_one_name(Request(sftp.CMD_REALPATH, path)) for path in paths)

    def folders(self, paths: Iterable[str]) -> list[Names | OSError]:
        """What is in folders, without `.` and `..`; links are not followed.

        Raises:
            SmProxyError: `copy-failed`: there are more than `MOST_NAMES`.
        """
        return self._runner.run(self._folder(path) for path in paths)

    def expand(self, path: str) -> str:
        """A path as scp reads it: from the home folder, with `~` and `~user`.

        Raises:
            SmProxyError: `copy-failed`: the server cannot tell where `~user` is.
        """
        if not path or path == "~":
            return "."
        if not path.startswith("~"):
            return path
        if path.startswith("~/"):
            return path[2:].lstrip("/") or "."
        (expanded,) = self._runner.run([_one_name(sftp_packets.expanded(path))])
        if isinstance(expanded, OSError):
            raise SmProxyError(
                "copy-failed",
                f"the server does not tell where {path} is: {expanded}",
                "Write the path from / instead.",
            )
        return expanded

    def glob(self, pattern: str) -> list[str]:
        r"""The paths that match, sorted; `*`, `?`, `[]` and `\` are those of sftp.

        A path that matches nothing stands for itself, as in scp: it may have a bracket in its name.
        """
        if not _GLOB.search(pattern) and "\\" not in pattern:
            return [pattern]
        root = "/" if pattern.startswith("/") else ""
        found = [root]
        for part in filter(None, pattern.split("/")):
            if not _GLOB.search(part):
                found = [names.join(folder, _QUOTED.sub(r"\1", part)) for folder in found]
            else:
                found = list(self._matches(found, part))
        kept = [
            path
            for path, attributes in zip(found, self.stats(found), strict=True)
            if isinstance(attributes, Attributes)
        ]
        return sorted(kept) or [pattern]

    def _matches(self, folders: Sequence[str], part: str) -> Iterator[str]:
        matches = _pattern(part).fullmatch
        for folder, found in zip(folders, self.folders(one or "." for one in folders), strict=True):
            for name, _ in [] if isinstance(found, OSError) else found:
                hidden = name.startswith(".") and not part.startswith(".")
                if matches(name) and not hidden and not names.refusal(name, windows=False):
                    yield names.join(folder, name)

    def _folder(self, path: str) -> Task[Names]:
        (opened,) = yield [Request(sftp.CMD_OPENDIR, path)]
        handle = pipeline.data(opened)
        found: Names = []
        try:
            while more := pipeline.names((yield [Request(sftp.CMD_READDIR, handle=handle)])[0]):
                self._count(len(more))
                found += [one for one in more if one[0] not in {".", ".."}]
        except OSError:
            yield [sftp_packets.closed(handle)]
            raise
        yield [sftp_packets.closed(handle)]
        return found

    def _count(self, more: int) -> None:
        self._names += more
        if self._names > MOST_NAMES:
            raise SmProxyError(
                "copy-failed",
                f"there are more than {MOST_NAMES} files",
                "Copy an archive of them, or one folder after the other.",
            )


def _attributes(kind: int, path: str) -> Task[Attributes]:
    (reply,) = yield [Request(kind, path)]
    return pipeline.attributes(reply)


def _one_name(request: Request) -> Task[str]:
    (reply,) = yield [request]
    found = pipeline.names(reply)
    if not found:
        raise OSError("the SFTP server sent no name")
    return found[0][0]


def _pattern(part: str) -> re.Pattern[str]:
    r"""A part of a glob between slashes; fnmatch has no `\`, but a bracket quotes as well."""
    quoted = _QUOTED.sub(lambda found: f"[{found[1]}]" if found[1] in "*?[" else found[1], part)
    return re.compile(fnmatch.translate(quoted))
