"""The command lines of the documentation."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs import pages

_PROGRAMS: Final = (
    *("ansible", "aws", "clush", "deepspeed", "eval", "for", "git", "mpirun", "parallel-ssh"),
    *("pdsh", "pip", "pipx", "python", "rsync", "scp", "script/", "sftp", "sh", "sm-proxy", "ssh"),
    *("uv", ".venv/bin/"),
)
"""What a line of a block begins with that a reader may type; other lines are what is printed."""
_COMMAND: Final = re.compile(
    r"(\$ )?(?:\w+=\S* )*(?:\w+=\$\()?(?:"
    + "|".join(re.escape(name) + ("" if name.endswith("/") else r"(?= |$)") for name in _PROGRAMS)
    + ")"
)
_SHELLS: Final = frozenset({"", "sh", "bash", "console"})


@dataclass(frozen=True)
class Command:
    """A command line in a block of a page.

    Attributes:
        page: the path of the page below the root.
        text: the line, without its comment and with its continuations.
        not_run: why the block's commands are not run; empty if they are.
    """

    page: str
    text: str
    not_run: str


def of_page(page: Path) -> Iterator[Command]:
    """The command lines in the blocks of a page, in order; not patterns, which have `...`."""
    for block in pages.blocks(page):
        if block.language not in _SHELLS:
            continue
        for line in re.sub(r" *\\\n *", " ", block.text).splitlines():
            if found := _COMMAND.match(line):
                text = re.sub(r"(^|\s+)# .*", "", line.removeprefix(found[1] or ""))
                if "..." in text:
                    continue
                yield Command(pages.name(page), text, block.not_run)


def in_prose(page: Path) -> list[str]:
    """The `sm-proxy ...` in the text of a page that are whole command lines, not patterns."""
    spans = re.findall(r"(?<!`)`(sm-proxy [^`]+)`(?!`)", pages.text(page))
    whole = (re.sub(r"\s+", " ", span) for span in spans)
    return [span for span in whole if not re.search(r"\||\[|\.\.\.", span)]


def ours(text: str) -> list[list[str]]:
    """The words of each `sm-proxy` in a command line, without the program's name."""
    begin = r"(?:^|[(|;&] *|(?<= ))sm-proxy "
    parts = re.findall(begin + r"((?:'[^']*'|\"[^\"]*\"|[^)|;&<>])*)", text)
    return [shlex.split(part.replace("%port", "22")) for part in parts]  # PuTTY's word
