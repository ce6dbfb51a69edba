"""`.dockerignore`: which files of a build context Docker does not send.

The rules are those of BuildKit: moby/patternmatcher (`ignorefile/ignorefile.go`,
`patternmatcher.go`). They are not Git's, and no package on PyPI has them: pathspec implements
Git's, and `docker.utils.build` of docker-py differs in character classes, escapes and `**`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from sm_proxy.errors import SmProxyError, printable

_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_CLASS_CHARACTER: Final = r"(?:\\.|[^\\\]-])"
_GLOB: Final = re.compile(
    rf"(?:[^\\\[]|\\.|\[\^?(?:{_CLASS_CHARACTER}(?:-{_CLASS_CHARACTER})?)+\])*", re.DOTALL
)
"""What Go's `filepath.Match` accepts on Unix."""
_TOKEN: Final = re.compile(r"(\*\*/?)|(\*)|(\?)|\\(.)|(\[(?:\\.|[^\\\]])*\])|(.)", re.DOTALL)
_WILD: Final = frozenset("*?[]\\")

State = tuple[bool, ...]
"""Which of the patterns match a path or one of its parents."""


@dataclass(frozen=True)
class Pattern:
    """One pattern.

    Attributes:
        text: cleaned, without the exclamation mark.
        keeps: whether it had one: what matches is sent after all.
        matches: whether it matches a path, relative to the context and with `/`.
    """

    text: str
    keeps: bool
    matches: Callable[[str], bool]

    def may_match_below(self, folder: str) -> bool:
        """Whether it may match something within a folder."""
        wild = next((n for n, letter in enumerate(self.text) if letter in _WILD), None)
        literal = self.text[:wild]
        return f"{folder}/".startswith(literal) or literal.startswith(f"{folder}/")


class Ignored:
    """The patterns of one file, in order. The last one that matches a path decides."""

    def __init__(self, patterns: Iterable[Pattern] = ()) -> None:
        self._patterns = tuple(patterns)
        self._exceptions = tuple(pattern for pattern in self._patterns if pattern.keeps)

    def match(self, path: str, parent: State = ()) -> tuple[bool, State]:
        """Whether a path is left out.

        Args:
            path: relative to the context, with `/`.
            parent: of its folder; empty at the top.

        Returns:
            The answer, and the state for what is in this folder.
        """
        out = False
        state = []
        for number, pattern in enumerate(self._patterns):
            found = bool(parent) and parent[number]
            # A pattern that would change nothing is not tried, as in BuildKit: for the paths
            # below this one, it then counts as one that does not match.
            if not found and pattern.keeps == out:
                found = pattern.matches(path)
            state.append(found)
            if found:
                out = not pattern.keeps
        return out, tuple(state)

    def hides_all_of(self, folder: str) -> bool:
        """Whether nothing within a folder that is left out can be sent after all."""
        return not any(pattern.may_match_below(folder) for pattern in self._exceptions)


def read(text: str, name: str) -> Ignored:
    """The patterns of a file.

    Args:
        text: its content.
        name: how messages call it.

    Raises:
        SmProxyError: `bad-setting`, a pattern that Docker refuses, too.
    """
    found = []
    for number, line in enumerate(text.removeprefix(_BOM).split("\n"), start=1):
        pattern = "" if line.startswith("#") else line.strip()
        if not pattern:
            continue
        try:
            found.append(_parsed(pattern))
        except ValueError as error:
            raise SmProxyError(
                "bad-setting",
                f"line {number} of {name}, {printable(pattern, 100)}, {error}",
                "Correct the pattern: `docker build` refuses it, too.",
            ) from None
    return Ignored(found)


def _parsed(pattern: str) -> Pattern:
    """The pattern of a line.

    Raises:
        ValueError: it is malformed.
    """
    keeps = pattern.startswith("!")
    text = pattern[1:].strip() if keeps else pattern
    if not text:
        raise ValueError("names nothing")
    text = re.sub("^//", "/", posixpath.normpath(text))
    if text != "/":
        text = text.removeprefix("/")
    if not _GLOB.fullmatch(text):
        raise ValueError("is malformed")
    return Pattern(text, keeps, _matcher(text))


def _matcher(text: str) -> Callable[[str], bool]:
    """A function that tells whether a pattern matches a path."""
    rest = text.removeprefix("**")
    if rest != text and not _WILD & set(rest):  # Docker compares the end: `**x` matches `a/yx`
        return lambda path: path.endswith(rest) or (rest[:1] == "/" and path == rest[1:])
    if not _WILD & set(text):
        return lambda path: path == text
    # Not `re.compile(...).fullmatch` of the pattern with `$`: that also matches before a newline.
    return _compiled("".join(map(_regular, _TOKEN.finditer(text))))


def _compiled(expression: str) -> Callable[[str], bool]:
    try:
        found = re.compile(expression)
    except re.error:
        raise ValueError("is malformed") from None
    return lambda path: found.fullmatch(path) is not None


def _regular(token: re.Match[str]) -> str:
    """A token of a pattern as a regular expression."""
    folders, star, question, escaped, group, letter = token.groups()
    if folders:
        return ".*" if token.end() == len(token.string) else "(?:.*/)?"
    if star:
        return "[^/]*"
    if question:
        return "[^/]"
    return _character_class(group) if group else re.escape(escaped or letter)


def _character_class(group: str) -> str:
    """`[^a-c]`, with everything escaped that only Python knows within a class."""
    negated = group.startswith("[^")
    inner = group[2 if negated else 1 : -1]
    parts = re.findall(r"\\(.)|(-)|(.)", inner, re.DOTALL)
    letters = (dash or re.escape(escaped or letter) for escaped, dash, letter in parts)
    return f"[{'^' if negated else ''}{''.join(letters)}]"
