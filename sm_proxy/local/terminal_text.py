"""Make text of other people's programs safe for a terminal, line by line.

Escape sequences can do more than colour: they move the cursor, rename the window, fill the
clipboard. A terminal's reference is ECMA-48; SGR is its "select graphic rendition".
"""

from __future__ import annotations

import re
from typing import Final

_COLOURS: Final = (
    r"0?[0-47]|2[2-47]|3[0-79]|4[0-79]|9[0-7]|10[0-7]"
    r"|[34]8;5;\d{1,3}|[34]8;2;\d{1,3};\d{1,3};\d{1,3}"
)
"""Parameters of SGR: weight, colours, and their ends. Others blink, or conceal the text."""
_SGR: Final = re.compile(rf"\x1b\[(?:(?:{_COLOURS})(?:;(?:{_COLOURS})){{0,7}})?m")
_RESET: Final = "\x1b[0m"
_SEQUENCES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    # OSC, DCS and others. What begins another one is no part of it: the search stays linear.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_BREAKS: Final = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SPACES: Final = frozenset("\t\u00a0\u2002\u2003\u2009\u200a\u202f\u3000")
_JOINER: Final = "\u200d"
"""It makes one emoji of several."""


def lines(text: str) -> list[str]:
    """The lines of a text. A carriage return also ends one, so that no line hides another."""
    if text.isprintable():
        return [text]
    return _BREAKS.split(text.removesuffix("\n").removesuffix("\r"))


def safe(line: str, *, colours: bool) -> str:
    """A line without control characters.

    Args:
        line: without line breaks.
        colours: whether to keep colours; they end with the line.
    """
    if line.isprintable():
        return line
    if not colours:
        return _plain(line)
    parts = _SGR.split(line)
    if len(parts) == 1:
        return _plain(line)
    return "".join(
        _plain(part) + colour
        for part, colour in zip(parts, [*_SGR.findall(line), _RESET], strict=True)
    )


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in _SPACES or c == _JOINER else "\N{REPLACEMENT CHARACTER}"
        for c in _SEQUENCES.sub("", text)
    )
