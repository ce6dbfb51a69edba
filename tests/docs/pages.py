"""The pages of this repository, and what is in them: headings, links and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_FENCE = re.compile(r"^ *(```+|~~~+)")


def all_pages() -> list[Path]:
    """Every page that a user or a contributor reads, as a path below the root."""
    names = ["CHANGELOG.md", "CONTRIBUTING.md", "container/README.md"]
    pages = [ROOT / name for name in names]
    return sorted([*ROOT.glob("README*.md"), *pages, *(ROOT / "docs").rglob("*.md")])


def name(page: Path) -> str:
    """A page's path below the root, as tests and messages show it."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: what follows the fence; empty for an indented block.
        text: its lines, without indentation, each with its line end.
        line: the number of its first line in the page, from 1.
        not_run: the reason in the comment `<!-- not run: REASON -->` above it; empty without one.
    """

    language: str
    text: str
    line: int
    not_run: str


def _parts(page: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, kind, line), where kind is `text`, `indented`, or a fence and its language."""
    fence = kind = ""
    before = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence):
                fence = ""
            else:
                yield number, kind, line
            continue
        if found:
            fence, kind = found[1], line.strip().lstrip("`~") or "```"
            continue
        # In a list, four spaces are still the list's text.
        opens = line.startswith("    ") and before in {"", "indented"}
        before = "indented" if opens else ("" if not line.strip() else "text")
        yield number, before or "text", line


def blocks(page: Path) -> list[Block]:
    """All blocks of code of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    last = -1
    for number, kind, line in _parts(page):
        if kind == "text":
            continue
        text = line.removeprefix("    ") if kind == "indented" else line
        if number == last + 1 and found:
            found[-1] = Block(
                found[-1].language, f"{found[-1].text}{text}\n", found[-1].line, found[-1].not_run
            )
        else:
            above = next(
                (
                    item
                    for item in reversed(lines[: number - 1])
                    if item.strip() and not _FENCE.match(item)
                ),
                "",
            )
            comment = re.search(r"<!-- not run: (.+) -->", above)
            language = "" if kind in {"indented", "```"} else kind
            found.append(Block(language, f"{text}\n", number, comment[1] if comment else ""))
        last = number
    return found


def text(page: Path) -> str:
    """A page without its blocks of code."""
    return "\n".join(line for _, kind, line in _parts(page) if kind == "text")


def prose(page: Path) -> str:
    """A page without its blocks of code and its code spans."""
    return re.sub(r"(`+).+?\1", "``", text(page), flags=re.DOTALL)


def headings(page: Path) -> list[tuple[int, str]]:
    """(level, title) of each heading."""
    lines = [line for _, kind, line in _parts(page) if kind == "text"]
    found = (re.match(r"(#{1,6}) +(.+?) *#*$", line) for line in lines)
    return [(len(match[1]), match[2]) for match in found if match]


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of its headings."""
    seen: dict[str, int] = {}
    made = set()
    for _, title in headings(page):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        made.add(f"{slug}-{count}" if count else slug)
    return made


def links(page: Path) -> list[str]:
    """The targets of all links and images of a page."""
    text = prose(page)
    found = re.findall(r"\]\(([^()\s]+)(?: \"[^\"]*\")?\)", text)
    return [*found, *re.findall(r"^\[[^\]]+\]: (\S+)", text, re.MULTILINE)]
