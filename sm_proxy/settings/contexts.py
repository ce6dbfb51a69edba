"""Contexts: one prefix of host names for each account or region.

Each context is recorded in our own ssh file, as one comment line before its Host block, so that
record and block cannot differ:

    # sm-proxy context {"prefix": "sm-eu-", "profile": "prod", "region": "eu-west-1"}

ssh does not need the record: the ProxyCommand carries the options. Commands typed by hand read it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sm_proxy.errors import SmProxyError
from sm_proxy.settings.schema import RECORDED, validate

AGENT_WORDS = ("SSH_AUTH_SOCK", "none")
"""The values of ssh_config's IdentityAgent that are not paths."""
MARK = "# sm-proxy context "

Options = Mapping[str, Any]
Contexts = Mapping[str, Options]


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The contexts recorded in our own file: options by prefix; none if it cannot be read.

    Raises:
        SmProxyError: `config-malformed`, a record is damaged; the message names its line.
    """
    content = b""
    with contextlib.suppress(OSError):
        content = path.read_bytes() if path.is_file() else b""  # reading a FIFO would block
    return parse(content, path)


def parse(content: bytes, path: Path) -> dict[str, dict[str, Any]]:
    """The contexts recorded in `content`; `path` is for the error message."""
    return {record.pop("prefix"): record for _, record in _records(content, path)}


def line_of(path: Path, prefix: str) -> int:
    """The number of the line that records this context, from 1; 0 if there is none.

    Raises:
        SmProxyError: as `read`.
    """
    with contextlib.suppress(OSError):
        numbers = [
            n for n, record in _records(path.read_bytes(), path) if record["prefix"] == prefix
        ]
        return numbers[-1] if numbers else 0
    return 0


def record_line(prefix: str, options: Options) -> str:
    """The comment line that records one context."""
    known = {name: options[name] for name in RECORDED if options.get(name) is not None}
    return MARK + json.dumps({"prefix": prefix, **known})


def with_absolute_paths(options: Options) -> dict[str, Any]:
    """`options` with absolute paths, because ssh may run in any folder."""
    found = dict(options)
    for name in ("identity_file", "identity_agent"):
        value = found.get(name)
        if value and not (name == "identity_agent" and value in AGENT_WORDS):
            found[name] = str(Path(value).expanduser().absolute())
    return found


def prefix_of(host: str, prefixes: Iterable[str]) -> str | None:
    """The longest of `prefixes` that `host` begins with."""
    return max((prefix for prefix in prefixes if host.startswith(prefix)), key=len, default=None)


def longest_first(prefixes: Iterable[str]) -> list[str]:
    """Prefixes in the order that ssh needs: the first match wins."""
    return sorted(prefixes, key=lambda prefix: (-len(prefix), prefix))


def _records(content: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each line with a record, and the record with its prefix."""
    for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        if line.startswith(MARK):
            yield number, _record(line.removeprefix(MARK), path, number)


def _record(text: str, path: Path, number: int) -> dict[str, Any]:
    where = f"{path}:{number}"
    try:
        record = json.loads(text)
        known = {name: validate(name, value, where) for name, value in record.items()}
        unknown = known.keys() - {"prefix", *RECORDED}
    except (ValueError, AttributeError, SmProxyError) as error:
        known, unknown, why = {}, set(), str(error)
    else:
        why = f"it names {sorted(unknown)}" if unknown else "it has no prefix"
    if "prefix" not in known or unknown:
        raise SmProxyError(
            "config-malformed",
            f"{where}: the record of a context cannot be read: {why}",
            "Delete this line, then run `sm-proxy config write` with its options.",
        )
    return known
