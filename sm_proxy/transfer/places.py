"""What scp's words mean: `[user@]HOST:PATH`, `HOST.*:PATH`, or a path on this machine.

The `.*` may also stand before the kind, as in `sm-c.workers.*.hyperpod`.

The rule for the colon is that of OpenSSH's scp (`colon()` in its misc.c): a word is remote if a
colon comes before the first slash, but is not the first character. So `./a:b` is a local file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Direction, Place

EVERY_NODE: Final = ".*"
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_USER: Final = re.compile(r"[^-\s@/:][^\s/:]*")
_URI: Final = re.compile(r"(scp|sftp)://", re.IGNORECASE)
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_HOST_PATH: Final = "Write HOST:PATH, as in sm-myjob:/opt/ml/checkpoints"


@dataclass(frozen=True)
class Ends:
    """Both ends of one copy.

    Attributes:
        sources: on one side, at least one.
        target: on the other side.
        direction: `down` if the sources are in a container.
        remote: host, user and `every_node` of the remote end; its path is the first source's or
            the target's.
    """

    sources: tuple[Place, ...]
    target: Place
    direction: Direction
    remote: Place


def parse(word: str, *, windows: bool | None = None) -> Place:
    r"""Read one word of the command line.

    Args:
        word: as typed.
        windows: whether `C:\x` is a local path; None asks this machine.

    Raises:
        SmProxyError: `usage`: a form of ssh addresses that we do not take, or no host.
    """
    if not word:
        raise SmProxyError("usage", "an empty path names no file", _HOST_PATH)
    if "\0" in word:
        raise SmProxyError("usage", "a path cannot contain a NUL character")
    if _URI.match(word):
        raise SmProxyError("usage", f"{word} is a URI, which cp does not take", _HOST_PATH)
    if (word.startswith("[") and "]:" in word) or "@[" in word.partition("/")[0]:
        raise SmProxyError(
            "usage", f"{word} has an address in brackets, but cp takes host names", _HOST_PATH
        )
    if (sys.platform == "win32" if windows is None else windows) and _DRIVE.match(word):
        return Place(word)
    head, colon, rest = word.partition(":")
    if not head or not colon or "/" in head:
        return Place(word)
    return _remote(head, rest)


def _remote(head: str, path: str) -> Place:
    user, at, host = head.rpartition("@")
    every_node = host.endswith(EVERY_NODE) or f"{EVERY_NODE}." in host
    host = host.replace(EVERY_NODE, "", 1)
    if not _HOST.fullmatch(host):
        hint = "For a local file with a colon in its name, write ./ before the name"
        raise SmProxyError("usage", f"{host or head + ':'} is not a host name", hint)
    if at and not _USER.fullmatch(user):
        raise SmProxyError("usage", f"{user or head} is not a user name", _HOST_PATH)
    return Place(path, host, user if at else None, every_node)


def ends(sources: Sequence[str], target: str, *, windows: bool | None = None) -> Ends:
    """Read all words of a copy, and tell its direction.

    Raises:
        SmProxyError: `usage`: as `parse`; no source; both ends remote or both local; several hosts.
    """
    if not sources:
        raise SmProxyError("usage", "cp needs a source and a target", _HOST_PATH)
    froms = tuple(parse(word, windows=windows) for word in sources)
    to = parse(target, windows=windows)
    remote = [place for place in froms if place.host]
    if to.host and remote:
        raise SmProxyError(
            "usage",
            "source and target are both remote",
            "Copy to this machine first, or use scp -3.",
        )
    if to.host:
        return Ends(froms, to, "up", to)
    if not remote:
        raise SmProxyError("usage", "neither source nor target names a host", _HOST_PATH)
    if len(remote) < len(froms):
        raise SmProxyError("usage", "some sources and the target are local", _HOST_PATH)
    if len({(place.host, place.user, place.every_node) for place in froms}) > 1:
        raise SmProxyError(
            "usage", "the sources are on several hosts", "Run cp once for each host."
        )
    return Ends(froms, to, "down", froms[0])


def folder_of_node(target: str, host: str) -> str:
    """Where the files of one node go on the way down of `HOST.*`: a folder with its host name.

    On the way up, each node gets the same files at the same path.
    """
    slash = "" if target.endswith(("/", "\\") if sys.platform == "win32" else "/") else "/"
    return f"{target}{slash}{host}"
