"""Where the value of each setting comes from, and what it overrides.

The rule is that of `sources.load_for`; `tests/settings/origins_test.py` compares the two. Here, a
wrong value does not end the loading: it is a problem, and the rest is still found.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.settings import contexts, sources
from sm_proxy.settings.schema import (
    FILE_ONLY,
    Settings,
    aws_variables,
    default_words,
    option,
    validate,
    variable,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind: TypeAlias = Literal[
    "default", "aws-profile", "file", "recorded", "aws-variable", "variable", "flag"
]
_NAMES: Final = tuple(item.name for item in fields(Settings) if item.name not in FILE_ONLY)
_LONGEST_FILE: Final = 400
"""Lines of config.toml up to which a value's line is looked for, as each line is parsed again."""


@dataclass(frozen=True)
class Found:
    """A value, and where it is.

    Attributes:
        value: of the setting's type.
        kind: the kind of place; a stronger kind wins, in the order of `Kind`.
        place: the option, the variable, or the file and its line; the default in words.
    """

    value: Any
    kind: Kind
    place: str = ""


@dataclass(frozen=True)
class Origin:
    """Where the value of one setting comes from.

    Attributes:
        name: of the setting.
        used: the value that counts for commands.
        overridden: values that do not count, the strongest first; without the default.
    """

    name: str
    used: Found
    overridden: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Report:
    """All settings.

    Attributes:
        origins: one for each setting, in the order of `Settings`.
        problems: what is wrong, the strongest place last; no command runs until it is mended.
        prefix: the prefix whose record was read.
        prefixes: all that a host name may begin with.
        recorded_in: the ssh file with the records; it need not exist.
    """

    origins: tuple[Origin, ...]
    problems: tuple[SmProxyError, ...]
    prefix: str
    prefixes: frozenset[str]
    recorded_in: Path

    def of(self, name: str) -> Origin:
        """The origin of one setting."""
        return next(origin for origin in self.origins if origin.name == name)

    def with_origin(self, new: Origin) -> Report:
        """The same with another origin of one setting."""
        found = (new if origin.name == new.name else origin for origin in self.origins)
        return replace(self, origins=tuple(found))


_Layer: TypeAlias = Mapping[str, Found]


def trace(flags: Mapping[str, Any], host: str | None = None) -> Report:
    """Where the settings of a command come from; as `sources.load_for`, but it goes on.

    Args:
        flags: values from the command line; None if not given.
        host: a host name, for the record of its prefix.
    """
    problems: list[SmProxyError] = []
    file = _file_layer(sources.config_file(), problems)
    outer = [*_aws_layers(problems), _own_layer(problems), _flag_layer(flags, problems)]
    plain = _merged([_default_layer(), file, *outer])
    folder = Settings(ssh_dir=plain["ssh_dir"][-1].value).ssh_config_file
    prefix = plain["prefix"][-1].value
    known: dict[str, dict[str, Any]] = {}
    with _noted(problems):
        known = contexts.read(folder)
    given = plain["prefix"][-1].kind in {"variable", "flag"}
    prefixes = frozenset({*known, prefix})
    if host is not None and not given:
        prefix = contexts.prefix_of(host, prefixes) or prefix
    record = _record_layer(folder, prefix, known)
    merged = _merged([_default_layer(), file, record, *outer])
    origins = tuple(
        Origin(name, found[-1], tuple(reversed(found[1:-1]))) for name, found in merged.items()
    )
    return Report(origins, tuple(problems), prefix, prefixes, folder)


def _merged(layers: Sequence[_Layer]) -> dict[str, list[Found]]:
    """What each setting has, the weakest first; the first is always the default."""
    names = [item.name for item in fields(Settings)]
    return {name: [layer[name] for layer in layers if name in layer] for name in names}


def _default_layer() -> _Layer:
    defaults = Settings()
    return {
        item.name: Found(getattr(defaults, item.name), "default", default_words(item.name))
        for item in fields(Settings)
    }


def _file_layer(path: Path, problems: list[SmProxyError]) -> _Layer:
    found: dict[str, Found] = {}
    text, table = "", {}
    with _noted(problems):
        text = sources.read_text(path)
        table = sources.parse_toml(text, path)
    lines = _lines_of(text) if table else {}
    for name, value in table.items():
        place = f"{path}:{lines[name]}" if name in lines else str(path)
        with _noted(problems):
            found[name] = Found(sources.checked(name, value, place, path), "file", place)
    return found


def _lines_of(text: str) -> dict[str, int]:
    """The line of each name at the top: the first line with which the file's head has it.

    A head that is not TOML ends inside a value of several lines: that value begins after the last
    head that was.
    """
    lines = text.split("\n")
    found: dict[str, int] = {}
    start = 1
    for number in range(1, min(len(lines), _LONGEST_FILE) + 1):
        try:
            table = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        for name in table:
            found.setdefault(name, start)
        start = number + 1
    return found


def _record_layer(path: Path, prefix: str, known: contexts.Contexts) -> _Layer:
    if prefix not in known:
        return {}
    place = f"{path}:{contexts.line_of(path, prefix)}"
    options = {**known[prefix], "prefix": prefix}
    return {name: Found(value, "recorded", place) for name, value in options.items()}


def _aws_layers(problems: list[SmProxyError]) -> list[_Layer]:
    """A layer for each rank of AWS variables, the weakest first."""
    named = {item.name: aws_variables(item.name) for item in fields(Settings)}
    ranks = max(map(len, named.values()))
    return [
        _valid(
            "aws-variable",
            ((name, variables[rank]) for name, variables in named.items() if variables[rank:]),
            problems,
        )
        for rank in reversed(range(ranks))
    ]


def _own_layer(problems: list[SmProxyError]) -> _Layer:
    found = _valid("variable", ((name, variable(name)) for name in _NAMES), problems)
    if config := paths.named_ssh_config():
        beside = Found(str(config.parent / paths.APP), "variable", "SM_PROXY_SSH_CONFIG")
        return {"ssh_dir": beside, **found}
    return found


def _flag_layer(flags: Mapping[str, Any], problems: list[SmProxyError]) -> _Layer:
    given = {option(name): flags[name] for name in _NAMES if flags.get(name) is not None}
    return _valid("flag", ((name, option(name)) for name in _NAMES), problems, given)


def _valid(
    kind: Kind,
    named: Iterable[tuple[str, str]],
    problems: list[SmProxyError],
    given: Mapping[str, Any] | None = None,
) -> dict[str, Found]:
    """The settings of one layer.

    Args:
        kind: of the layer.
        named: the settings, each with the option or variable that may set it.
        problems: gets what is wrong.
        given: the value of each option; None for the variables that are set and not empty.
    """
    if given is None:
        given = {place: value for place, value in os.environ.items() if value}
    found: dict[str, Found] = {}
    for name, place in named:
        if place in given:
            with _noted(problems):
                found[name] = Found(validate(name, given[place], place), kind, place)
    return found


@contextlib.contextmanager
def _noted(problems: list[SmProxyError]) -> Iterator[None]:
    """Note an error, and go on."""
    try:
        yield
    except SmProxyError as error:
        problems.append(error)
