"""Puts the values of variables into words of a Dockerfile, and removes quotes.

Source: "Environment replacement" in the Dockerfile reference; moby/buildkit, frontend/dockerfile/
shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sm_proxy_lab.image_build.errors import DockerError

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_MODIFIED: Final = re.compile(r"([A-Za-z_]\w*)(:?[-+?])?(.*)", re.DOTALL)


def expand(word: str, values: Mapping[str, str], line: int = 0) -> str:
    """Return a word with variables replaced and quotes removed.

    Raises:
        DockerError: `${` is not closed, or `${NAME:?text}` has no value.
    """
    result, quote, at = "", "", 0
    while at < len(word):
        char = word[at]
        if char == "\\" and quote != "'" and at + 1 < len(word):
            keeps = quote and word[at + 1] not in '"$\\'
            result += word[at : at + 2] if keeps else word[at + 1]
            at += 2
        elif char in "\"'" and quote in {"", char}:
            quote = "" if quote else char
            at += 1
        elif char == "$" and quote != "'":
            value, at = _variable(word, at + 1, values, line)
            result += value
        else:
            result += char
            at += 1
    return result


def _variable(word: str, at: int, values: Mapping[str, str], line: int) -> tuple[str, int]:
    """The value of the variable behind a `$`, and where the text goes on."""
    if word[at : at + 1] == "{":
        end = _closing(word, at + 1, line)
        return _modified(word[at + 1 : end], values, line), end + 1
    found = _NAME.match(word, at)
    if found is None:
        return "$", at
    return values.get(found[0], ""), found.end()


def _closing(word: str, at: int, line: int) -> int:
    depth = 1
    for index in range(at, len(word)):
        depth += (word[index] == "{") - (word[index] == "}")
        if depth == 0:
            return index
    raise DockerError(
        f"failed to process {word!r}: syntax error: missing '}}' in substitution", line
    )


def _modified(text: str, values: Mapping[str, str], line: int) -> str:
    found = _MODIFIED.fullmatch(text)
    if found is None:
        raise DockerError(f"failed to process ${{{text}}}: invalid substitution", line)
    name, modifier, rest = found[1], found[2] or "", found[3]
    if rest and not modifier:
        message = f"failed to process ${{{text}}}: unsupported modifier ({rest[0]}) in substitution"
        raise DockerError(message, line)
    value = values.get(name)
    absent = value is None or (modifier.startswith(":") and value == "")
    if modifier.endswith("-"):
        return expand(rest, values, line) if absent else str(value)
    if modifier.endswith("+"):
        return "" if absent else expand(rest, values, line)
    if modifier.endswith("?") and absent:
        raise DockerError(f"failed to process ${{{text}}}: {name}: {rest or 'not allowed'}", line)
    return value or ""
