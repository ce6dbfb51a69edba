"""The patterns of policy documents: `*`, `?` and policy variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

Values = Mapping[str, tuple[str, ...]]
"""The request's context: a key in lower case -> its values."""
_PARTS: Final = re.compile(r"(\$\{[^}]*\}|[*?])")
_VARIABLE: Final = re.compile(r"\$\{\s*([^,\s}]+)\s*(?:,\s*'([^']*)'\s*)?\}")
_WILD: Final = {"*": ".*", "?": "."}


def matches(pattern: str, value: str, context: Values | None = None) -> bool:
    """Whether a value fits a pattern as a whole.

    Args:
        pattern: with `*` for any text and `?` for one character.
        value: the value.
        context: the values of policy variables; without it `${...}` is plain text, as in documents
            of the first version. A pattern whose variable has no value fits nothing.
    """
    if context is not None and "${" in pattern:
        expression = _expression(pattern, context)
        return expression is not None and re.fullmatch(expression, value, re.DOTALL) is not None
    return _compiled(pattern).fullmatch(value) is not None


def expand(text: str, context: Values | None) -> str | None:
    """A text with the values of its policy variables; None if one has no value.

    Without a context, `${...}` is plain text.
    """
    if context is None:
        return text
    parts = [_value(part, context) if part.startswith("${") else part for part in _split(text)]
    return None if None in parts else "".join(part or "" for part in parts)


def _expression(pattern: str, context: Values) -> str | None:
    expression = ""
    for part in _split(pattern):
        literal = _value(part, context) if part.startswith("${") else part
        if literal is None:
            return None
        expression += _WILD.get(part) or re.escape(literal)
    return expression


def _value(variable: str, context: Values) -> str | None:
    """The value of `${key}` or of `${key, 'default'}`; `${*}`, `${?}` and `${$}` are characters."""
    found = _VARIABLE.fullmatch(variable)
    if found is None:
        return variable
    if found[1] in {"*", "?", "$"}:
        return found[1]
    values = context.get(found[1].lower(), ())
    return values[0] if len(values) == 1 else found[2]


def _split(pattern: str) -> list[str]:
    return [part for part in _PARTS.split(pattern) if part]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts: Iterable[str] = re.split(r"([*?])", pattern)
    return re.compile("".join(_WILD.get(part) or re.escape(part) for part in parts), re.DOTALL)
