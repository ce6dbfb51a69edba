"""Help for a terminal: as wide as that is, and no word is broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from sm_proxy.help.described import Command, Row
from sm_proxy.local import screen

_WIDEST: Final = 100
"""Longer lines are hard to read."""
_LEAST_BESIDE: Final = 60
"""On a narrower screen, a text stands below its name."""
_MOST_NAMES: Final = 24
"""Columns of names. A longer name has its text on the next line."""
_LEAST_PURPOSE: Final = 26
"""Columns beside an example for what it is for; with fewer, that stands below."""
_SETTINGS_NOTE: Final = "settings (also in config.toml, or as SM_PROXY_<NAME>)"


def columns() -> int:
    """The columns that help uses: those of the screen, at most 100."""
    return min(screen.width(), _WIDEST)


def render(command: Command, width: int) -> str:
    """The text of `--help`, at most `width` columns wide, but for longer words and examples."""
    parts = [usage(command.usage, width), _wrapped(command.description, width)]
    if command.examples:
        parts.append("\n".join(["examples:", *_examples(command.examples, width)]))
    for group in command.groups:
        title = _SETTINGS_NOTE if group.title == "settings" else group.title
        parts.append("\n".join([_wrapped(f"{title}:", width), *rows(group.rows, width)]))
    parts.append(_wrapped(command.epilog, width))
    return "\n\n".join(filter(None, parts)) + "\n"


def usage(forms: Sequence[str], width: int) -> str:
    """`usage: ...`, and further forms below it."""
    return "\n".join(
        textwrap.fill(
            form,
            width,
            initial_indent=" " * 7 if index else "usage: ",
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for index, form in enumerate(forms)
    )


def rows(shown: Sequence[Row], width: int) -> Iterator[str]:
    """Names on the left, their text beside them."""
    longest = max(len(row.names) for row in shown)
    column = 4 + min(longest, _MOST_NAMES, width // 3) if width >= _LEAST_BESIDE else 6
    for row in shown:
        lines = textwrap.wrap(
            row.text, width - column, break_long_words=False, break_on_hyphens=False
        )
        left = f"  {row.names}"
        if len(left) + 2 > column:
            yield from _wrapped(left.strip(), width, "  ", " " * 4).splitlines()
        else:
            yield f"{left:<{column}}{lines.pop(0) if lines else ''}".rstrip()
        yield from (f"{'':{column}}{line}" for line in lines)


def _examples(examples: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Each on a line of its own, to be copied; what it is for stands beside it or below."""
    column = 4 + max(len(line) for line, _ in examples)
    beside = width - column >= _LEAST_PURPOSE
    for line, purpose in examples:
        first, *more = _wrapped(purpose, width - (column if beside else 6)).splitlines()
        if beside:
            yield f"{f'  {line}':<{column}}{first}"
        else:
            yield f"  {line}"
            yield f"{'':6}{first}"
        yield from (f"{'':{column if beside else 6}}{each}" for each in more)


def _wrapped(text: str, width: int, indent: str = "", further: str = "") -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
