"""Read from a Dockerfile the images it builds on, and what its image runs.

Docker itself judges the file; this reads what it understands and passes over the rest. The grammar:
https://docs.docker.com/reference/dockerfile/ and BuildKit's `frontend/dockerfile/parser`.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sm_proxy.errors import SmProxyError, printable

_BOM: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_DIRECTIVE: Final = re.compile(r"#\s*(\w+)\s*=\s*(\S.*)")
_HEREDOC: Final = re.compile(r"(?:^|\s)\d*<<(-?)(['\"]?)([A-Za-z_][\w.]*)\2(?=[\s;&|>)]|$)")
_WITH_HEREDOC: Final = frozenset({"ADD", "COPY", "RUN"})
_VARIABLE: Final = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?::?([-+])([^${}]*))?\})")
_MOUNTED: Final = re.compile(r"(?:^|\s)--mount=(?:[^,\s]*,)*from=([^,\s]+)")
_OURS: Final = re.compile(r"sm[-_]proxy/entrypoint\.sh\b")
_DEEPEST: Final = 3
_LONGEST: Final = 4096
"""No image has a longer name; arguments that repeat others could grow without end."""
_PLATFORM: Final = {
    **{
        f"{where}{what}": value
        for where in ("BUILD", "TARGET")
        for what, value in (
            ("PLATFORM", "linux/amd64"),
            ("OS", "linux"),
            ("ARCH", "amd64"),
            ("VARIANT", ""),
        )
    },
}
"""The arguments that Docker sets itself. CodeBuild's hosts are x86_64 unless a project says so."""


@dataclass(frozen=True)
class Dockerfile:
    """What it says.

    Attributes:
        images: that it needs from registries, each once: of FROM, `COPY --from` and
            `RUN --mount=from`.
        entrypoint: of the stage that is built, as written; empty if it is the base image's. Not its
            CMD: a training job gives the argument `train` in its place.
        copied: the sources of COPY and ADD in the context, as written.
    """

    images: tuple[str, ...]
    entrypoint: str
    copied: tuple[str, ...] = ()

    @property
    def starts_ours(self) -> bool:
        """Whether the image starts our entry point, so that its jobs are ready for ssh."""
        return _OURS.search(self.entrypoint) is not None

    def copies(self, folder: str) -> bool:
        """Whether it copies a folder at the top of the context."""
        return folder in {posixpath.normpath(source).lstrip("/") for source in self.copied}


@dataclass(eq=False)
class _Stage:
    name: str
    base: str
    entrypoint: str = ""


@dataclass
class _Reader:
    """Reads instructions, one after the other."""

    given: Mapping[str, str]
    values: dict[str, str] = field(default_factory=lambda: dict(_PLATFORM))
    stages: list[_Stage] = field(default_factory=list)
    images: dict[str, None] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)

    def read(self, name: str, rest: str) -> None:
        if name == "ARG" and not self.stages:
            self._argument(rest)
        elif name == "FROM":
            self._from(rest)
        elif not self.stages:
            return
        elif name == "ENTRYPOINT":
            self.stages[-1].entrypoint = rest
        elif name in {"ADD", "COPY"}:
            self._copy(rest)
        elif name == "RUN":
            for source in _MOUNTED.findall(rest):
                self._needs(source)

    def stage(self, target: str) -> _Stage | None:
        """A stage by its name or number."""
        for number, stage in enumerate(self.stages):
            if target.lower() == stage.name.lower() or target == str(number):
                return stage
        return None

    def entrypoint(self, stage: _Stage | None) -> str:
        """The ENTRYPOINT of a stage. It has that of the one it builds on."""
        while stage is not None:
            if stage.entrypoint:
                return stage.entrypoint
            earlier = self.stages[: self.stages.index(stage)]
            stage = next((one for one in earlier if one.name.lower() == stage.base.lower()), None)
        return ""

    def _argument(self, rest: str) -> None:
        for word in _words(rest):
            name, has_value, value = word.partition("=")
            if has_value or name in self.given:
                self.values[name] = self.given.get(name, self._filled(value))

    def _from(self, rest: str) -> None:
        image, *more = [word for word in rest.split() if not word.startswith("--")] or [""]
        base = self._filled(image.strip("\"'"))
        self._needs(base)
        name = more[1] if len(more) == 2 and more[0].upper() == "AS" else ""
        self.stages.append(_Stage(name, base))

    def _copy(self, rest: str) -> None:
        if source := _options(rest).get("from", ""):
            self._needs(source)
        else:
            words = re.sub(r"[\[\],\"]", " ", rest).split()
            self.copied += [word for word in words[:-1] if not word.startswith("--")]

    def _needs(self, image: str) -> None:
        if image and image != "scratch" and self.stage(image) is None:
            self.images[image] = None

    def _filled(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            known = self.values.get(found[1] or found[2], "")
            if found[3] == "+":
                return str(found[4]) if known else ""
            return known or found[4] or ""

        # From the inside out: a default may have a variable.
        for _ in range(_DEEPEST):
            text = _VARIABLE.sub(value, text)[:_LONGEST]
        return text


def read(text: str, arguments: Mapping[str, str], target: str = "") -> Dockerfile:
    """Read a Dockerfile.

    Args:
        text: its content.
        arguments: values for its ARG instructions.
        target: the stage to build; empty for the last.

    Raises:
        SmProxyError: `bad-setting`, it builds on nothing; `usage`, it has no such stage.
    """
    reader = _Reader(arguments)
    for name, rest in _instructions(text):
        reader.read(name, rest)
    if not reader.stages:
        raise SmProxyError(
            "bad-setting", "the Dockerfile has no FROM", "Begin it with the image to build on."
        )
    stage = reader.stage(target) if target else reader.stages[-1]
    if stage is None:
        names = ", ".join(one.name for one in reader.stages if one.name) or "none with a name"
        raise SmProxyError(
            "usage",
            f"the Dockerfile has no stage {printable(target, 100)}",
            f"Name one of its stages with --target ({printable(names)}).",
        )
    return Dockerfile(tuple(reader.images), reader.entrypoint(stage), tuple(reader.copied))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """The name in upper case and the rest of each instruction, on one line."""
    lines = [line.rstrip("\r") for line in text.removeprefix(_BOM).split("\n")]
    escape = re.escape(_escape(lines))
    goes_on = re.compile(rf"(?:^|(?<!{escape})){escape}[ \t]*$")
    position, logical = 0, ""
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line.strip() or line.lstrip().startswith("#"):  # even within an instruction
            continue
        found = goes_on.search(line)
        logical += line[: found.start()] if found else line
        if found and position < len(lines):
            continue
        name, rest = [*logical.split(maxsplit=1), "", ""][:2]
        logical = ""
        yield name.upper(), rest.rstrip()
        if name.upper() in _WITH_HEREDOC:
            position = _after_heredocs(rest, lines, position)


def _escape(lines: list[str]) -> str:
    """The character that continues a line: a directive at the top of the file may name it."""
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            break
        if found[1].lower() == "escape":
            return found[2] if found[2] in {"`", "\\"} else "\\"
    return "\\"


def _after_heredocs(rest: str, lines: list[str], position: int) -> int:
    """The position after the documents that an instruction has in the lines below it."""
    for found in _HEREDOC.finditer(rest):
        strips, end = bool(found[1]), found[3]
        for number in range(position, len(lines)):
            if (lines[number].lstrip("\t") if strips else lines[number]) == end:
                position = number + 1
                break
        else:  # it has no end, and Docker will complain
            break
    return position


def _options(rest: str) -> dict[str, str]:
    """The options at the start of an instruction."""
    found = {}
    for word in rest.split():
        if not word.startswith("--"):
            break
        name, _, value = word[2:].partition("=")
        found[name] = value.strip("\"'")
    return found


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:  # Docker will complain
        return rest.split()
