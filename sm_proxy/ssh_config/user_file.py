"""The user's own ssh config: our marked Include in it, and the hosts it names."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.ssh_config import host_patterns

BEGIN = "# >>> sm-proxy >>> (`sm-proxy config remove` takes these lines out)"
END = "# <<< sm-proxy <<<"
_SHORT = BEGIN.partition(" (")[0].encode()
"""The mark without its explanation; a comment that continues differently is the user's."""
_BOM = b"\xef\xbb\xbf"
_DIRECTIVE = re.compile(
    rb'^[ \t]*"?(host|match|include|hostname|proxycommand|proxyjump)"?(?=[ \t="])[ \t]*=?([^\n]*)',
    re.IGNORECASE | re.MULTILINE,
)
_INCLUDE = re.compile(rb"[ \t]*#?[ \t]*include\b", re.IGNORECASE)
"""Our Include; the user may have commented it out."""
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_QUOTED = re.compile(r"""\"([^"]*)\"|'([^']*)'""")
_INCLUDE_DEPTH = 16
"""OpenSSH's own limit."""


def with_include(target: Path, before: bytes | None, include: str) -> bytes:
    """`before` with our marked lines as its first ones."""
    rest = without_include(target, before or b"")
    newline = "\r\n" if rest.count(b"\r\n") * 2 > rest.count(b"\n") else "\n"
    ours = newline.join([BEGIN, include, END, ""]).encode()
    bom = _BOM if rest.startswith(_BOM) else b""
    return bom + ours + rest[len(bom) :]


def without_include(target: Path, content: bytes) -> bytes:
    """`content` without our marks and the Include between them; other lines there are the user's.

    Raises:
        SmProxyError: `config-malformed`, one of the two marks is missing or repeated.
    """
    kept: list[bytes] = []
    opened = 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        flush = line.rstrip().removeprefix(_BOM)  # we never indent a mark
        bare = flush.lstrip()
        if bare == BEGIN.encode() or flush == _SHORT:
            _refuse_if(bool(opened), target, number, "begins again")
            opened = number
            if line.startswith(_BOM):
                kept.append(_BOM)
        elif bare == END.encode() and (opened or flush == bare):
            _refuse_if(not opened, target, number, "ends without a begin")
            opened = 0
        elif not (opened and _INCLUDE.match(line)):
            kept.append(line)
    _refuse_if(bool(opened), target, opened, "begins and never ends")
    return b"".join(kept)


def find_include(content: bytes, own: Path) -> tuple[bool, bool]:
    """Whether our file is included, and whether the Include is before every Host and Match."""
    shadowed = False
    for keyword, words in _directives(content):
        if keyword in {"host", "match"}:
            shadowed = True
        elif keyword == "include" and _leads_to(words, own):
            return True, not shadowed
    return False, False


@dataclass
class _Block:
    """A Host or Match block.

    Attributes:
        words: of its Host line.
        located: whether it has a HostName, ProxyCommand or ProxyJump.
    """

    words: list[str]
    located: bool = False


def user_hosts(path: Path, own: Path) -> list[str]:
    """The user's own hosts in a config and its included files, without our file.

    These are all names in Host lines, and the patterns of blocks with a HostName, ProxyCommand or
    ProxyJump.
    """
    seen = {os.path.realpath(own)}
    found = list(_blocks(path, seen, 0, _Block([])))
    words = (
        word
        for block in found
        for word in block.words
        if host_patterns.is_own(word) and (block.located or not host_patterns.is_pattern(word))
    )
    return list(dict.fromkeys(words))


def _blocks(path: Path, seen: set[str], depth: int, block: _Block) -> Iterator[_Block]:
    """The Host blocks; options before the first one of an included file belong to `block`."""
    real = os.path.realpath(path)
    if real in seen or depth > _INCLUDE_DEPTH:
        return
    seen.add(real)
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return  # a file that we cannot read names no hosts
    for keyword, words in _directives(content):
        if keyword == "include":
            for place in _matched(words):
                yield from _blocks(Path(place), seen, depth + 1, block)
        elif keyword in {"host", "match"}:
            block = _Block(words if keyword == "host" else [])
            yield block
        else:
            block.located = True


def _directives(content: bytes) -> Iterator[tuple[str, list[str]]]:
    for found in _DIRECTIVE.finditer(content.removeprefix(_BOM)):
        text = found[2].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        yield found[1].decode().lower(), _words(text)


def _words(text: str) -> list[str]:
    words: list[str] = []
    for found in _WORD.findall(text):
        if found.startswith("#"):
            break
        words.append(_QUOTED.sub(lambda part: part[1] or part[2] or "", found))
    return words


def _matched(words: list[str]) -> Iterator[str]:
    """The paths that an Include names; a plain path is returned even if no file is there."""
    for word in words:
        place = _located(word)
        found = sorted(glob.glob(place))  # noqa: PTH207 - absolute
        yield from found or ([] if glob.has_magic(place) else [place])


def _leads_to(words: list[str], own: Path) -> bool:
    return any(os.path.realpath(path) == os.path.realpath(own) for path in _matched(words))


def _located(word: str) -> str:
    """Where ssh looks for an included file."""
    if word.startswith("~/"):
        return str(paths.ssh_home() / word[2:])
    return str(paths.ssh_home() / ".ssh" / word)


def _refuse_if(torn: bool, target: Path, number: int, what: str) -> None:
    if torn:
        raise SmProxyError(
            "config-malformed",
            f"{target}:{number}: the sm-proxy part {what}",
            "Correct or delete these marked lines by hand, then run the command again.",
        )
