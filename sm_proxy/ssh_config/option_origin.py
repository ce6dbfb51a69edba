"""Which line sets an option of ssh for a host: file and line, in the order in which ssh reads.

`ssh -G` shows the value but not the line. A `Match exec` is not run and counts as matching, which
is good enough to tell the user where to look.
"""

from __future__ import annotations

import contextlib
import glob
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.local import paths, private_files

TOOLKIT: Final = "AWS Toolkit"
_DEPTH: Final = 16
_LINE: Final = re.compile(r'^\s*"?(?P<keyword>[A-Za-z0-9]+)"?(?:\s*=\s*|\s+)(?P<rest>.*)$')
_NEVER: Final = frozenset({"final", "canonical"})
_BY_NAME: Final = frozenset({"host", "originalhost"})


@dataclass(frozen=True)
class Setter:
    """A line that sets an option.

    Attributes:
        path: the file.
        line: counted from 1.
        keyword: in lower case.
        value: as written.
        block: the Host or Match line above it; empty before the first one.
        toolkit: whether the AWS Toolkit wrote the block.
    """

    path: Path
    line: int
    keyword: str
    value: str
    block: str = ""
    toolkit: bool = False

    def __str__(self) -> str:
        """`FILE:LINE`, with the block, for people."""
        under = f" under `{self.block}`" if self.block else ""
        writer = f", written by the {TOOLKIT}" if self.toolkit else ""
        return f"{self.path}:{self.line}{under}{writer}"


def find_setters(
    path: Path, host: str, keywords: Sequence[str], *, system: bool = False
) -> Iterator[Setter]:
    """The lines that set one of `keywords` for `host`; ssh uses the first line of each keyword.

    Args:
        path: the user's config.
        host: as typed.
        keywords: in lower case.
        system: whether ssh also reads the system's config.
    """
    yield from _of_file(path, host, frozenset(keywords), _Block(), 0)
    if system:
        yield from _of_file(Path("/etc/ssh/ssh_config"), host, frozenset(keywords), _Block(), 0)


@dataclass(frozen=True)
class _Block:
    holds: bool = True
    header: str = ""
    toolkit: bool = False


def _lines(path: Path) -> list[str]:
    """The lines of a plain file; reading anything else may hang."""
    with contextlib.suppress(OSError):
        if private_files.is_regular(path):
            return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return []


def _of_file(
    path: Path, host: str, keywords: frozenset[str], outer: _Block, depth: int
) -> Iterator[Setter]:
    block, comment = outer, ""
    for number, line in enumerate(_lines(path), 1):
        if line.lstrip().startswith("#"):
            comment = line
            continue
        match = _LINE.match(line)
        if match is None:
            continue
        keyword, rest = match["keyword"].lower(), match["rest"].strip()
        if keyword in {"host", "match"}:
            matches = _matches_host if keyword == "host" else _matches
            holds = outer.holds and matches(_words(rest), host)
            block = _Block(holds, line.strip(), toolkit=TOOLKIT.lower() in comment.lower())
            comment = ""
        elif not block.holds:
            continue
        elif keyword == "include" and depth < _DEPTH:
            for place in _places(_words(rest)):
                yield from _of_file(place, host, keywords, block, depth + 1)
        elif keyword in keywords:
            yield Setter(path, number, keyword, rest, block.header, block.toolkit)


def _places(words: Sequence[str]) -> Iterator[Path]:
    home = paths.ssh_home()
    for word in words:
        where = home / word[2:] if word.startswith("~/") else home / ".ssh" / word
        yield from map(Path, sorted(glob.glob(str(where))))  # noqa: PTH207 - absolute


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _matches_host(patterns: Sequence[str], host: str) -> bool:
    """Whether a pattern matches, and no pattern after a `!` does."""
    if any(_fits(pattern[1:], host) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_fits(pattern, host) for pattern in patterns if not pattern.startswith("!"))


def _matches(words: Sequence[str], host: str) -> bool:
    rest = iter(words)
    for word in rest:
        if word.lower() in _NEVER:
            return False
        if word.lower() == "all":
            continue
        value = next(rest, "")
        if word.lower() in _BY_NAME and not _matches_host(value.split(","), host):
            return False
    return True


def _fits(pattern: str, host: str) -> bool:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), host, re.IGNORECASE | re.DOTALL) is not None
