"""Reads a Dockerfile, as BuildKit's parser does.

Source: "Dockerfile reference" on docs.docker.com, and moby/buildkit, frontend/dockerfile/parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from sm_proxy_lab.image_build.errors import DockerError

KEYWORDS: Final = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"),
        *("LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME"),
        "WORKDIR",
    )
)
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][\w-]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"<<(-?)\s*([\"']?)([A-Za-z_]\w*)\2(?!<)")
_BLANK = re.compile(r"[ \t\v\f\r]+")
_STAGE = re.compile(r"[a-z][a-z0-9_.-]*")
_FLAGS = {
    "ADD": {"chown", "chmod", "link"},
    "COPY": {"chown", "chmod", "from", "link"},
    "FROM": {"platform"},
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
    "RUN": {"mount", "network", "security"},
}
"""Instruction -> its flags, those that the lab has."""
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?(?:\s+|$)")


@dataclass(frozen=True)
class Heredoc:
    """A text in the Dockerfile: its name, its content, and whether variables in it count."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        line: where it begins, counted from 1.
        keyword: `FROM`, `RUN`, ...
        flags: name -> value, such as `from` of `--from=build`; `""` for one without a value.
        text: the rest, on one line.
        words: the strings of the JSON form; None for the shell form.
        heredocs: the texts after it.
    """

    line: int
    keyword: str
    flags: dict[str, str]
    text: str
    words: tuple[str, ...] | None = None
    heredocs: tuple[Heredoc, ...] = field(default=())

    @property
    def shown(self) -> str:
        """The instruction as docker's progress shows it."""
        flags = "".join(f"--{k}={v} " if v else f"--{k} " for k, v in self.flags.items())
        return f"{self.keyword} {flags}{self.text}"


def parse(text: str) -> list[Instruction]:
    """Read the instructions.

    Raises:
        DockerError: the file has no instruction, or one that docker does not know.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    found = list(_instructions(lines, _escape(lines)))
    if not found:
        raise DockerError("file with no instructions")
    first = next((each for each in found if each.keyword != "ARG"), found[0])
    if first.keyword != "FROM":
        raise DockerError("no build stage in current context", first.line)
    return found


def _escape(lines: list[str]) -> str:
    """The escape character: a directive at the head of the file may change it."""
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape":
            if directive[2] not in {"\\", "`"}:
                raise DockerError(
                    f"dockerfile parse error: invalid ESCAPE {directive[2]!r}. Must be ` or \\"
                )
            return directive[2]
    return "\\"


def _instructions(lines: list[str], escape: str) -> Iterator[Instruction]:
    rest = iter(enumerate(lines, 1))
    for number, line in rest:
        logical = line.strip()
        if not logical or logical.startswith("#"):
            continue
        while logical.endswith(escape):
            logical = logical.removesuffix(escape)
            more = next((each for each in rest if not _is_nothing(each[1])), None)
            if more is None:
                break
            logical += more[1].rstrip()
        keyword, _, text = _BLANK.sub(" ", logical.strip(), count=1).partition(" ")
        heredocs: tuple[Heredoc, ...] = ()
        if keyword.upper() in {"RUN", "COPY", "ADD"}:
            heredocs = tuple(_heredocs(text, rest, number))
        yield _instruction(number, keyword, text.strip(), heredocs)


def _is_nothing(line: str) -> bool:
    """Whether a line between continued lines does not count."""
    return not line.strip() or line.lstrip().startswith("#")


def _heredocs(text: str, rest: Iterator[tuple[int, str]], number: int) -> Iterator[Heredoc]:
    for dash, quote, name in _HEREDOC.findall(text):
        content: list[str] = []
        for _, line in rest:
            bare = line.lstrip("\t") if dash else line
            if bare == name:
                break
            content.append(bare + "\n")
        else:
            raise DockerError(f"unterminated heredoc {name}", number)
        yield Heredoc(name, "".join(content), expand=not quote)


def _instruction(line: int, keyword: str, text: str, heredocs: tuple[Heredoc, ...]) -> Instruction:
    name = keyword.upper()
    if name not in KEYWORDS:
        message = f"dockerfile parse error on line {line}: unknown instruction: {keyword}"
        raise DockerError(message, line)
    flags: dict[str, str] = {}
    while name not in {"ENV", "LABEL"} and (flag := _FLAG.match(text)):
        if flag[1] not in _FLAGS.get(name, set()):
            message = f"dockerfile parse error on line {line}: unknown flag: --{flag[1]}"
            raise DockerError(message, line)
        flags[flag[1]] = flag[2] or ""
        text = text[flag.end() :]
    if not text:
        message = f"dockerfile parse error on line {line}: {name} requires at least one argument"
        raise DockerError(message, line)
    return Instruction(line, name, flags, text, _json(text), heredocs)


def _json(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None for any other text."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except ValueError:
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words)
    return None


def stage_name(text: str, taken: Collection[str], line: int) -> str:
    """The name of a stage; case does not count.

    Raises:
        DockerError: it is not a name, or another stage has it.
    """
    name = text.lower()
    if not _STAGE.fullmatch(name):
        message = (
            f"invalid name for build stage: {text!r}, name can't start with a number or contain "
            "symbols"
        )
        raise DockerError(message, line)
    if name in taken:
        raise DockerError(f"duplicate name {name}", line)
    return name


def pairs(instruction: Instruction) -> list[tuple[str, str]]:
    """The names and values of ENV, LABEL or ARG, with their quotes.

    Raises:
        DockerError: they cannot be read.
    """
    text = instruction.text
    words = split(text, instruction.line)
    if instruction.keyword == "ENV" and "=" not in words[0]:  # the old form: `ENV NAME the value`
        name, _, value = text.partition(" ")
        if not value.strip():
            message = (
                f"dockerfile parse error on line {instruction.line}: ENV must have two arguments"
            )
            raise DockerError(message, instruction.line)
        return [(name, value.strip())]
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def split(text: str, line: int) -> list[str]:
    """Split at blanks outside of quotes; the quotes stay.

    Raises:
        DockerError: a quote is not closed.
    """
    try:
        return list(_tokens(text))
    except ValueError as error:
        raise DockerError(f"dockerfile parse error on line {line}: {error}", line) from None


def _tokens(text: str) -> Iterator[str]:
    word, quote, escaped = "", "", False
    for char in text:
        if escaped:
            word, escaped = word + char, False
        elif char == "\\" and quote != "'":
            word, escaped = word + char, True
        elif quote:
            word += char
            quote = "" if char == quote else quote
        elif char in "\"'":
            word, quote = word + char, char
        elif char.isspace():
            if word:
                yield word
            word = ""
        else:
            word += char
    if quote:
        raise ValueError(f"unexpected end of statement while looking for matching {quote}")
    if word:
        yield word
