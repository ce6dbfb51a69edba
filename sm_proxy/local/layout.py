"""Lay out text for a screen: straight columns, and lines that break between words.

Nothing is cut to make it fit: what is too long gets a line of its own. A screen without columns
(a file, a pipe) gets one line for each row, so that grep finds it whole. `rich` knows how wide
characters are; its tables cannot give a row a second line, so they do not serve here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sm_proxy.local.screen import Screen, Style

_GAP: Final = "  "
_INDENT: Final = "    "
_LEAST_TEXT: Final = 30
"""In fewer columns, a text stands below its label instead of beside it."""
_LEAST_NAME: Final = 8
_WHOLE: Final = re.compile(
    r"`[^`]+`\S*"
    r"|(?<=: )(?:sm-proxy|ssh|ssh-add|ssh-keygen|aws|docker|sudo|pipx?|python3?|kill|/\S+) .*?"
    r"(?=[.;,)]* \(|[.;,)]+ |$)"
)
"""What a user may copy, a command: in backticks, or after a colon up to the next punctuation."""

_PUBLIC_KEY: Final = re.compile(r"(?<!\S)\S*(?:ssh|ecdsa|sk)-\S+ AAAA\S*")
_SIGNS: Final[dict[str, Style]] = {"+": "good", "-": "bad"}
_NO_BREAK: Final = "\0"
"""A space within a word; no text has this character."""


@dataclass(frozen=True)
class Cell:
    """A text of a table, and how it looks.

    Attributes:
        text: one line.
        style: None for the terminal's own.
        styled: how many characters get the style; None for all.
    """

    text: str
    style: Style | None = None
    styled: int | None = None


def cells(text: str) -> int:
    """How many columns a text takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - rarely

    return cell_len(text)


def wrapped(text: str, columns: int | None) -> list[str]:
    """Lines that fit the columns, broken between words; a longer word stays whole.

    A command is a word, unless it is longer than a line.

    Args:
        text: one line.
        columns: None to leave it as it is.
    """
    if columns is None or cells(text) <= columns:
        return [text]
    lines: list[str] = []
    for word in _words(text, columns):
        if lines and cells(lines[-1]) + 1 + cells(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]  # nothing but spaces


def paragraph(text: str, screen: Screen, indent: str = "", further: str | None = None) -> list[str]:
    """The wrapped lines of a text.

    Args:
        text: one line.
        screen: where it is shown.
        indent: before each line.
        further: before each line but the first, if not `indent`; as long as it.
    """
    room = None if screen.columns is None else screen.columns - len(indent)
    first, *others = wrapped(screen.shown(text), room)
    return [indent + first, *((indent if further is None else further) + line for line in others)]


def led(words: str, lead: str, screen: Screen, style: Style | None) -> str:
    """A text that begins with `lead`, and wraps behind it."""
    lines = paragraph(words, screen, lead, " " * len(lead))
    return "\n".join(screen.styled(line, style) for line in lines)


def prose(lines: Iterable[str], screen: Screen) -> list[str]:
    """Sentences, wrapped behind a `- ` that they begin with.

    A line that is indented like a block of code is there to be copied, and stays as it is.
    """
    shown: list[str] = []
    for line in lines:
        if line.startswith(_INDENT):
            shown.append(screen.shown(line))
            continue
        sentence = line.lstrip(" -")
        lead = line[: len(line) - len(sentence)]
        shown += paragraph(sentence, screen, lead, " " * len(lead))
    return shown


def text(lines: Iterable[str], screen: Screen) -> str:
    """The result of a command that is nothing but `prose`."""
    return "\n".join(prose(lines, screen))


def coloured_diff(lines: str, screen: Screen) -> str:
    """A unified diff as it is, with the signs of its lines in colour."""
    return "\n".join(_of_diff(line, screen) for line in lines.split("\n"))


def _of_diff(line: str, screen: Screen) -> str:
    if line.startswith(("+++ ", "--- ", "@@ ")):
        return screen.styled(line, "heading")
    style = _SIGNS.get(line[:1])
    return screen.styled(line[:1], style) + line[1:] if style else line


def pairs(rows: Iterable[tuple[Cell | str, str]], screen: Screen) -> list[str]:
    """Labels, and beside each its text, which wraps below itself.

    A text stands below its label if there is little room beside it, or too little for a command.

    Args:
        rows: label and text; a text may have several lines.
        screen: where they are shown.
    """
    taken = [(_cell(label), text) for label, text in rows]
    width = max((cells(screen.shown(label.text)) for label, _ in taken), default=0)
    indent = " " * (width + len(_GAP))
    lines: list[str] = []
    for label, text in taken:
        parts = text.split("\n") if text else []
        beside = screen.columns is None or all(_fits(part, len(indent), screen) for part in parts)
        margin = indent if beside else _INDENT
        below = [line for part in parts for line in paragraph(part, screen, margin)]
        if beside and below:
            lines.append(_padded(label, width, screen) + _GAP + below.pop(0)[len(indent) :])
        elif label.text:
            lines.append(_padded(replace(label, text=label.text.rstrip()), 0, screen))
        lines += below
    return lines


def _fits(text: str, indent: int, screen: Screen) -> bool:
    """Whether a text looks well at this indent; if not, it gets the least one."""
    room, text = (screen.columns or 0) - indent, screen.shown(text)
    if cells(text) <= room:
        return True
    longest = max(map(cells, _words(text, cells(text))), default=0)
    return room >= max(_LEAST_TEXT, longest)


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        cells: one for each column.
        note: what follows the last cell, or stands below if the screen is too narrow.
    """

    cells: Sequence[Cell | str]
    note: str = ""


def table(
    headings: Sequence[str], rows: Sequence[Row], screen: Screen, notes: str | None = None
) -> list[str]:
    """Columns below headings.

    If a row is longer than the screen, its note goes below it. Names, which are the first column,
    get lines of their own if not even the rest is short enough. A row whose other cells are too
    long has each on a line of its own, with its heading. So have all rows if few of them fit.

    Args:
        headings: of the cells; none for a table without headings.
        rows: what stands below.
        screen: where it is shown.
        notes: the heading of the notes, which are a last column then; without it, a note follows
            the last cell after a colon.
    """
    head = Row([Cell(word, "heading") for word in headings], notes or "")
    drawn = [head, *rows] if headings else list(rows)
    taken = [[_cell(cell) for cell in row.cells] for row in drawn]
    sizes = [[cells(screen.shown(cell.text)) for cell in row] for row in taken]
    fitting = _fitting(sizes, screen, with_head=bool(headings))
    widths = [max(column) for column in zip(*(sizes[number] for number in fitting), strict=True)]
    if widths and screen.columns is not None:
        rest = sum(widths[1:]) + len(_GAP) * (len(widths) - 1)
        most = max(screen.columns - rest, _LEAST_NAME)
        names = (sizes[number][0] for number in fitting)
        widths[0] = max((name for name in names if name <= most), default=0)
    lines: list[str] = []
    for number, (row, whole) in enumerate(zip(taken, drawn, strict=True)):
        is_head = whole is head
        style: Style | None = "heading" if is_head else None
        if number in fitting:
            note = Cell(whole.note, style)
            lines += _row(row, widths, note, screen, in_column=notes is not None)
        elif not is_head:
            labels = [*headings[1:]] or [""] * (len(row) - 1)
            if notes:
                lines += _stacked([*labels, notes], [*row, Cell(whole.note)], screen)
            else:
                lines += _stacked(labels, row, screen)
                lines += paragraph(whole.note, screen, _INDENT) if whole.note else []
    return lines


def _fitting(sizes: Sequence[Sequence[int]], screen: Screen, *, with_head: bool) -> set[int]:
    """The numbers of the rows that fit beside each other; none if those are less than half.

    Args:
        sizes: of the cells of each row, in columns.
        screen: where they are shown.
        with_head: whether the first row has the headings.
    """
    fitting, count = list(range(len(sizes))), len(sizes) - with_head
    if screen.columns is None:
        return set(fitting)
    while 2 * (len(fitting) - with_head) >= max(count, 1):
        widths = [max(column) for column in zip(*(sizes[row] for row in fitting), strict=True)]
        least = [min(widths[0], _LEAST_NAME), *widths[1:]]
        if sum(least) + len(_GAP) * (len(widths) - 1) <= screen.columns:
            return set(fitting)
        floor = sizes[0] if with_head else [0] * len(widths)
        # The column that is the widest for its heading: without its longest cells, more may fit.
        worst = max(range(1, len(widths)), key=lambda column: widths[column] - floor[column])
        if widths[worst] == floor[worst]:
            break
        fitting = [row for row in fitting if sizes[row][worst] < widths[worst]]
    return set()


def _stacked(labels: Sequence[str], row: Sequence[Cell], screen: Screen) -> Iterator[str]:
    """A row with a line for each cell, beside or below its label.

    Args:
        labels: of the cells, but for the first; may be empty texts.
        row: its cells.
        screen: where it is shown, with a number of columns.
    """
    name, *others = row
    yield _padded(name, 0, screen)
    width = max(map(cells, labels), default=0)
    room = (screen.columns or 0) - len(_INDENT) - width - len(_GAP)
    for label, cell in zip(labels, others, strict=True):
        heading = Cell(label, "heading")
        if not width:
            yield _INDENT + _padded(cell, 0, screen)
        elif cells(screen.shown(cell.text)) <= room:
            yield _INDENT + _padded(heading, width, screen) + _GAP + _padded(cell, 0, screen)
        else:
            yield _INDENT + _padded(heading, 0, screen)
            yield from paragraph(cell.text, screen, _INDENT + _GAP)


def _row(
    row: Sequence[Cell], widths: Sequence[int], note: Cell, screen: Screen, *, in_column: bool
) -> Iterator[str]:
    name, *others = row
    if cells(screen.shown(name.text)) > widths[0]:
        yield _padded(name, 0, screen)
        name = Cell("")
    last = cells(screen.shown(row[-1].text))
    ends = [*widths[:-1], widths[-1] if in_column and note.text else last]
    line = _GAP.join(
        _padded(cell, width, screen) for cell, width in zip((name, *others), ends, strict=True)
    )
    between = _GAP if in_column else ": "
    used = sum(ends) + len(_GAP) * len(others) + len(between)
    if not note.text:
        yield line.rstrip()
    elif screen.columns is None or used + cells(screen.shown(note.text)) <= screen.columns:
        yield line + between + _padded(note, 0, screen)
    else:
        yield line.rstrip()
        yield from paragraph(note.text, screen, _INDENT)


def _cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _padded(cell: Cell, width: int, screen: Screen) -> str:
    text, end = screen.shown(cell.text), cell.styled
    lead, rest = (text, "") if end is None else (text[:end], text[end:])
    return screen.styled(lead, cell.style) + rest + " " * max(0, width - cells(text))


def _words(text: str, columns: int) -> Iterator[str]:
    """The words of a text: also a public key, and a command that fits in a line."""

    def kept(found: re.Match[str]) -> str:
        whole = cells(found[0]) <= columns or found.re is _PUBLIC_KEY
        return found[0].replace(" ", _NO_BREAK) if whole else found[0]

    for word in _PUBLIC_KEY.sub(kept, _WHOLE.sub(kept, text)).split():
        yield word.replace(_NO_BREAK, " ")
