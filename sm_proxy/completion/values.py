"""The values that TAB offers, read from files only: no call to AWS, and no botocore, which is slow.

Each function returns pairs of a value and what it is. Nothing here raises: where a file cannot be
read, there is nothing to offer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings, contexts, load
from sm_proxy.settings.route_names import AUTO, ROUTE_NAMES
from sm_proxy.settings.schema import FILE_ONLY
from sm_proxy.state import host_names

Pairs = list[tuple[str, str]]

_SIZE_LIMIT: Final = 1 << 20
_REGION: Final = re.compile(r"[a-z0-9-]+-[0-9]+")
"""Not `aws-global`, which botocore has for services without a region."""
_SECTION: Final = re.compile(r"\[(.+)\]")
"""As in configparser, which botocore reads these files with."""
_PRINTED: Final = 100
"""The length above which a profile's name is not offered."""


def hosts(*, ended: bool) -> Pairs:
    """Host names: those that a list has shown, then those that ssh has connected to.

    Args:
        ended: whether also those of jobs that are over.
    """
    seen = host_names.read()
    pairs = {
        item.host: f"{item.kind}{', ended' if item.ended else ''}".removeprefix(", ")
        for item in seen
        if ended or not item.ended
    }
    known = {item.host for item in seen}
    return [*pairs.items(), *((name, "") for name in _connected() if name not in known)]


def profiles() -> Pairs:
    """The profiles in the AWS files, in their order (the rules of botocore's configloader)."""
    shared = _aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    named = [*map(_profile, _sections(_aws_file("AWS_CONFIG_FILE", "config"))), *_sections(shared)]
    good = [name for name in named if name and name.isprintable() and len(name) <= _PRINTED]
    return [(name, "") for name in dict.fromkeys(good) if not name.startswith("-")]


def regions() -> Pairs:
    """The regions in botocore's data, with their places, such as `Europe (Ireland)`."""
    found: Pairs = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        spec = importlib.util.find_spec("botocore")  # does not import it
        origin = Path(spec.origin if spec and spec.origin else "")
        text = (origin.parent / "data" / "partitions.json").read_text(encoding="utf-8")
        for partition in json.loads(text)["partitions"]:
            found += [
                (name, str(item["description"]))
                for name, item in partition["regions"].items()
                if _REGION.fullmatch(name)
            ]
    return found


def prefixes() -> Pairs:
    """The prefixes of host names in our ssh config."""
    with contextlib.suppress(SmProxyError):
        known = contexts.read(load().ssh_config_file)
        return [(prefix, str(found.get("profile") or "")) for prefix, found in known.items()]
    return []


def settings() -> Pairs:
    """The settings that one line of config.toml sets."""
    known = dataclasses.fields(Settings)
    return [(item.name, item.metadata["about"]) for item in known if item.name not in FILE_ONLY]


def of_setting(name: str) -> Pairs:
    """The values that a setting may have, if they are few."""
    name = name.replace("-", "_")
    found = {"profile": profiles, "region": regions, "prefix": prefixes}.get(name)
    if found is not None:
        return found()
    if name == "route":
        return [(route, "") for route in (AUTO, *ROUTE_NAMES)]
    is_switch = any(
        item.name == name for item in dataclasses.fields(Settings) if item.type == "bool"
    )
    return [("true", ""), ("false", "")] if is_switch else []


def _connected() -> list[str]:
    """The hosts with a known_hosts file of ours, the last used first."""
    with contextlib.suppress(OSError, SmProxyError), os.scandir(load().known_hosts_folder) as found:
        used = [(-item.stat().st_mtime, item.name) for item in found if item.is_file()]
        return [name for _, name in sorted(used) if host_names.is_plain(name)]
    return []


def _aws_file(variable: str, name: str) -> Path:
    with contextlib.suppress(RuntimeError):  # no home folder
        return Path(os.environ.get(variable) or f"~/.aws/{name}").expanduser()
    return Path(os.devnull)


def _sections(path: Path) -> Iterator[str]:
    """The names of the sections of an AWS file."""
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size <= _SIZE_LIMIT:
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if match := _SECTION.match(line):
                    yield match[1]


def _profile(section: str) -> str:
    """The profile of a section of the config file; empty if it is none."""
    with contextlib.suppress(ValueError):  # a quote without its end
        match shlex.split(section):
            case ["default"]:
                return "default"
            case ["profile", name]:
                return name
    return ""
