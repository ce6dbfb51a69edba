"""The part of CloudWatch's filter patterns that readers of job logs use."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sm_proxy_lab.aws.http.errors import AwsError

_TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')
_JSON = re.compile(r"\{\s*\$\.([\w.]+)\s*(=|!=)\s*(.+?)\s*\}")


def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a message matches.

    It supports terms and quoted phrases (all must occur, case counts), `?term` (any of them),
    `-term` (must not occur), `%regular expression%` and `{ $.member = value }`.

    Raises:
        AwsError: The pattern uses another syntax.
    """
    pattern = pattern.strip()
    if not pattern:
        return lambda _message: True
    if pattern.startswith("{"):
        return _json(pattern)
    if len(pattern) > 2 and pattern.startswith("%") and pattern.endswith("%"):
        expression = re.compile(pattern[1:-1])
        return lambda message: expression.search(message) is not None
    if pattern.startswith("["):
        raise _invalid(pattern)
    return _terms(pattern)


def _terms(pattern: str) -> Callable[[str], bool]:
    wanted: dict[str, list[str]] = {"": [], "?": [], "-": []}
    for sign, phrase, word in _TERM.findall(pattern):
        wanted[sign].append(re.sub(r"\\(.)", r"\1", phrase) if phrase else word)

    def matches(message: str) -> bool:
        return (
            all(term in message for term in wanted[""])
            and not any(term in message for term in wanted["-"])
            and (not wanted["?"] or any(term in message for term in wanted["?"]))
        )

    return matches


def _json(pattern: str) -> Callable[[str], bool]:
    found = _JSON.fullmatch(pattern)
    if found is None:
        raise _invalid(pattern)
    path, relation, text = found.groups()
    value = text[1:-1] if text.startswith('"') else text

    def matches(message: str) -> bool:
        try:
            member: Any = json.loads(message)
            for name in path.split("."):
                member = member[name]
        except (ValueError, KeyError, TypeError):
            return False
        shown = member if isinstance(member, str) else json.dumps(member)
        return (value in {"*", shown}) == (relation == "=")

    return matches


def _invalid(pattern: str) -> AwsError:
    return AwsError("InvalidParameterException", f"Invalid filter pattern: {pattern}")
