"""Our own ssh file as the first version wrote it: one plain Host block without a record.

Its options stand in its lines only, so they are read back from there: the next write keeps them.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sm_proxy import settings
from sm_proxy.errors import SmProxyError
from sm_proxy.keys import identity
from sm_proxy.local import paths

HEADER = b"# Written by sm-proxy:"
_FLAGS = {"--profile": "profile", "--region": "region", "--bastion": "bastion", "--wait": "wait"}
_LINE = re.compile(r"^[ \t]*(Host|ProxyCommand|User|IdentityFile) (.+?)[ \t\r]*$", re.MULTILINE)


def parse(content: bytes, path: Path) -> dict[str, dict[str, Any]]:
    """The options by prefix, as the records of today have them; none where it is no such file.

    Args:
        content: of our own ssh file.
        path: of that file: a key beside it is the one that needs no mention.
    """
    lines = _LINE.findall(content.decode("utf-8", "replace"))
    hosts = [value for keyword, value in lines if keyword == "Host"]
    if not content.startswith(HEADER) or len(hosts) != 1 or not hosts[0].endswith("*"):
        return {}
    found = dict(_valid([("prefix", hosts[0][:-1]), *_told(dict(lines), path)]))
    if "prefix" not in found:
        return {}
    prefix = found.pop("prefix")
    return {prefix: {name: found[name] for name in found if found[name] != _default(name)}}


def _told(lines: dict[str, str], path: Path) -> Iterator[tuple[str, str]]:
    words = _words(lines.get("ProxyCommand", ""))
    for flag, value in itertools.pairwise(words):
        if flag in _FLAGS:
            yield _FLAGS[flag], value
    yield "user", lines.get("User", "")
    key = lines.get("IdentityFile", "").strip('"').replace("%%", "%")
    place = Path(str(paths.ssh_home() / key[2:]) if key.startswith("~/") else key)
    if key and place != path.parent.absolute() / identity.FILE_NAME:
        yield "identity_file", str(place)


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:  # a lone quote, as Windows takes it
        words = command.split()
    return [word.replace("%%", "%") for word in words]


def _valid(told: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """What has its setting's shape: somebody may have edited the block."""
    for name, value in told:
        with contextlib.suppress(SmProxyError):
            yield name, settings.converted(name, value, "our ssh config")


def _default(name: str) -> object:
    return getattr(settings.Settings, name)
