"""What stdout and stderr can show: columns, colours, characters beyond ASCII.

Colours follow `--color` or SM_PROXY_COLOR, then NO_COLOR (no-color.org), FORCE_COLOR
(force-color.org), CLICOLOR_FORCE and CLICOLOR (bixense.com/clicolors), then TERM and whether the
stream is a terminal.
"""

from __future__ import annotations

import codecs
import os
import sys
from dataclasses import dataclass, replace
from typing import Final, Literal, TextIO

from sm_proxy.errors import SmProxyError

Style = Literal["good", "bad", "doubtful", "heading", "faint"]

VARIABLE: Final = "SM_PROXY_COLOR"
"""The variable of `--color`. The flag sets it, so that the programs we start do the same."""
_MODES: Final = frozenset({"auto", "always", "never"})
_DEFAULT_COLUMNS: Final = 80
_LEAST_COLUMNS: Final = 20
_COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
"""What Python may set LC_CTYPE to when the locale is C (PEP 538)."""
_SGR: Final[dict[Style, str]] = {
    "good": "32",
    "bad": "31",
    # Not yellow: it cannot be read on white.
    "doubtful": "35",
    "heading": "1",
    "faint": "2",
}
UTF8: Final = "utf-8"
"""The charset that shows everything."""
_ASCII: Final = "ascii"
_LIKENESS: Final = str.maketrans(
    {
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "--",
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{NO-BREAK SPACE}": " ",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{REPLACEMENT CHARACTER}": "?",
    }
)


@dataclass(frozen=True)
class Screen:
    """What one stream can show.

    Attributes:
        columns: how long a line may be; None if lines are not wrapped, because no person reads
            them on a terminal.
        colours: whether it takes SGR sequences (ECMA-48).
        charset: what it shows, as a Python codec: `utf-8` or `ascii`.
    """

    columns: int | None = None
    colours: bool = False
    charset: str = UTF8

    def narrower(self, columns: int) -> Screen:
        """This screen with fewer columns, for indented text."""
        return self if self.columns is None else replace(self, columns=self.columns - columns)

    def styled(self, text: str, style: Style | None) -> str:
        """The text in a colour, if there are colours."""
        if not (self.colours and style and text):
            return text
        return f"\033[{_SGR[style]}m{text}\033[0m"

    def shown(self, text: str) -> str:
        """The text in the characters that can be shown; others become escapes of Python."""
        if self.charset == UTF8 or text.isascii():
            return text
        likeness = text.translate(_LIKENESS)
        return likeness.encode(self.charset, "backslashreplace").decode(self.charset)

    @property
    def ellipsis(self) -> str:
        """Marks where a text is cut."""
        return self.shown("\N{HORIZONTAL ELLIPSIS}")


def of(stream: TextIO | None) -> Screen:
    """What a stream can show now. A terminal may get another width later."""
    columns = width(stream) if is_terminal(stream) else None
    return Screen(columns, colours(stream), charset(stream))


def choose_colours(mode: str | None) -> None:
    """Set `--color` for this process and those that it starts.

    Args:
        mode: the flag's value; None to check the variable only.

    Raises:
        SmProxyError: `bad-setting`, the variable has another value than the flag could have.
    """
    if mode is not None:
        os.environ[VARIABLE] = mode
    elif (found := os.environ.get(VARIABLE)) and found not in _MODES:
        raise SmProxyError(
            "bad-setting",
            f"{VARIABLE} is {found!r}, but it must be auto, always or never",
            f"Set {VARIABLE} to one of them, or unset it.",
        )


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; False if it is closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def width(stream: TextIO | None = None) -> int:
    """Columns: those of COLUMNS, else the terminal's, else 80.

    Args:
        stream: stdout unless it is given.
    """
    named = os.environ.get("COLUMNS", "")
    found = int(named) if named.isascii() and named.isdigit() else 0
    if not found:
        try:
            found = os.get_terminal_size((stream or sys.stdout).fileno()).columns
        except (AttributeError, OSError, ValueError):  # not a terminal, or closed
            found = 0
    return max(found, _LEAST_COLUMNS) if found else _DEFAULT_COLUMNS


def colours(stream: TextIO | None) -> bool:
    """Whether a stream gets colours."""
    mode = os.environ.get(VARIABLE)
    if mode in {"always", "never"}:
        return mode == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if any(_is_on(name) for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    if os.environ.get("CLICOLOR") == "0" or os.environ.get("TERM", "") in {"dumb", "unknown"}:
        return False
    return is_terminal(stream)


def charset(stream: TextIO | None) -> str:
    """The codec of what a stream shows: UTF-8 or ASCII.

    Python writes UTF-8 in the locale C (PEP 540), whose terminal need not show it. Other encodings
    get ASCII, because on Windows the reader of a pipe need not have the writer's code page.
    """
    encoding = codecs.lookup(getattr(stream, "encoding", None) or UTF8).name
    if encoding != UTF8:
        return _ASCII
    if os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8") == "1":
        return UTF8
    return UTF8 if sys.platform == "win32" or _is_utf8(_locale()) else _ASCII


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").lower() not in {"", "0", "false"}


def _locale() -> str:
    """The locale of characters, as the user has set it; empty if it is not set."""
    if named := os.environ.get("LC_ALL"):
        return named
    named, general = os.environ.get("LC_CTYPE", ""), os.environ.get("LANG", "")
    coerced = _in_utf8_mode() and named in _COERCED
    return general if coerced or not named else named


def _in_utf8_mode() -> bool:
    """Whether Python has chosen UTF-8 itself, as in the locale C."""
    return bool(sys.flags.utf8_mode)


def _is_utf8(locale: str) -> bool:
    """Whether a locale is UTF-8; without any, and without a named encoding, Python knows best."""
    if locale in {"C", "POSIX"}:
        return False
    encoding = locale.partition(".")[2].partition("@")[0]
    return encoding.lower().replace("-", "") in {"", "utf8"}
