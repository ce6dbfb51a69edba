"""Bash's command line: taken apart into words, and what to insert there.

bash inserts candidates as they are, so they are quoted here. It replaces only what follows the last
break of the current word: an open quote, or one of the characters in COMP_WORDBREAKS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_BLANK: Final = " \t\n"
_SPECIAL: Final = re.compile(r"[^A-Za-z0-9_./:=@%+,-]")
"""All characters but those that mean nothing to bash anywhere in a word."""
_IN_DOUBLE_QUOTES: Final = re.compile(r'["$`\\]')
"""What a backslash escapes between double quotes."""


@dataclass(frozen=True)
class Line:
    """The command line up to the cursor.

    Attributes:
        words: without quotes; the last one ends at the cursor and may be empty.
        kept: how many characters of the last word, without quotes, stay as they are typed.
        quote: the quote that is open at the cursor; empty if none is.
    """

    words: Sequence[str]
    kept: int
    quote: str

    def insertion(self, word: str) -> str | None:
        """What to insert to get `word`; None if it cannot be typed after the open quote."""
        rest = word[self.kept :]
        if not rest.isprintable():
            return None
        if self.quote == "'":
            return None if "'" in rest else rest
        if self.quote:
            # The shell's history would expand it there, and a backslash would stay.
            return None if "!" in rest else _IN_DOUBLE_QUOTES.sub(r"\\\g<0>", rest)
        return _SPECIAL.sub(r"\\\g<0>", rest)


def split(line: str, breaks: str) -> Line:
    """The words of a simple command.

    Args:
        line: COMP_LINE up to COMP_POINT.
        breaks: COMP_WORDBREAKS.
    """
    words, word, begun, kept, quote = [], "", False, 0, ""
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            following = next(characters, "")
            literal = quote and following and not _IN_DOUBLE_QUOTES.match(following)
            word, begun = word + (character if literal else "") + following, True
        elif character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote, kept, begun = character, len(word), True
        elif not quote and character in _BLANK:
            if begun:
                words.append(word)
            word, begun, kept = "", False, 0
        else:
            word, begun = word + character, True
            if not quote and character in breaks:
                kept = len(word)
    return Line((*words, word), kept, quote)
