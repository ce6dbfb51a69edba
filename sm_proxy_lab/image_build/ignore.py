"""What `.dockerignore` keeps out of a build.

Source: "Build context" on docs.docker.com; moby/patternmatcher.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """The folder that COPY reads.

    Attributes:
        root: the folder.
        hidden: paths below it that do not count, relative to it.
    """

    root: Path
    hidden: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether a path below `root` counts."""
        return name not in self.hidden


def read(root: Path, dockerfile: Path) -> Context:
    """The context below `root`; an ignore file named after the Dockerfile comes first."""
    for file in (dockerfile.with_name(dockerfile.name + ".dockerignore"), root / ".dockerignore"):
        if file.is_file():
            patterns = list(_patterns(file.read_text(encoding="utf-8-sig", errors="replace")))
            return Context(root, frozenset(_hidden(root, patterns)))
    return Context(root)


def _patterns(text: str) -> Iterator[tuple[bool, re.Pattern[str]]]:
    """Yield whether a pattern is an exception, and the pattern."""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        bare = line.strip()
        keeps = bare.startswith("!")
        bare = posixpath.normpath(bare.removeprefix("!").strip()).lstrip("/")
        if bare not in {"", "."}:
            yield keeps, re.compile(_regex(bare))


def _regex(pattern: str) -> str:
    result, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            at += 2
            slash = pattern.startswith("/", at)
            at += slash
            result += ".*" if at >= len(pattern) else "(?:.*/)?" if slash else ".*"
            continue
        char = pattern[at]
        if char == "[" and (end := pattern.find("]", at + 1)) > 0:
            result += pattern[at : end + 1]
            at = end + 1
            continue
        if char == "\\" and at + 1 < len(pattern):
            at, char = at + 1, pattern[at + 1]
            result += re.escape(char)
        else:
            result += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        at += 1
    return result


def _hidden(root: Path, patterns: list[tuple[bool, re.Pattern[str]]]) -> Iterator[str]:
    """Yield the files that are left out, and the folders of which nothing is left."""
    empty: set[str] = set()
    for folder, folders, files in os.walk(root, topdown=False):
        where = os.path.relpath(folder, root)
        names = [posixpath.normpath(posixpath.join(where, name)) for name in (*files, *folders)]
        gone = [name for name in names if _is_ignored(name, patterns)]
        kept_folders = {
            name
            for name in gone
            if (root / name).is_dir() and not (root / name).is_symlink() and name not in empty
        }
        yield from (name for name in gone if name not in kept_folders)
        if len(gone) - len(kept_folders) == len(names):
            empty.add(posixpath.normpath(where))


def _is_ignored(name: str, patterns: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """Whether the last pattern that fits the path or a folder above it ignores it."""
    ignored = False
    parts = name.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for keeps, pattern in patterns:
        if ignored == keeps and any(pattern.fullmatch(each) for each in above):
            ignored = not keeps
    return ignored
