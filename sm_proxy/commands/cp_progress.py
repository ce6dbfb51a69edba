"""The progress of `sm-proxy cp` on stderr: a bar on a terminal, else a line every 10 s."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from sm_proxy.errors import printable
from sm_proxy.local import elapsed, output, screen, sizes, status_line, waits
from sm_proxy.local.layout import cells
from sm_proxy.local.screen import Screen
from sm_proxy.transfer.progress import Progress

LINE_S: Final = 10.0
_WIDE: Final = 90
"""With fewer columns, a bar leaves no room for the numbers."""
_BAR: Final = 20
_LEAST_NAME: Final = 8
_LONGEST_S: Final = 100 * 3600


@contextlib.contextmanager
def display(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """While entered, shows each `Progress` as fits the place that stderr leads to.

    Yields:
        what to call with it; None if nothing is to be shown.
    """
    if quiet or sys.stderr is None:
        yield None
    elif waits.has_terminal():
        with _bar() as show:
            yield show
    else:
        yield Lines(output.status).show


class Lines:
    """A line every 10 s, for logs and for terminals that only print.

    Args:
        say: prints one line.
        clock: in seconds.
    """

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        self._next = clock() + LINE_S

    def show(self, progress: Progress) -> None:
        """Print a line if it is time."""
        if self._clock() >= self._next and progress.bytes_total:
            self._next = self._clock() + LINE_S
            self._say(in_words(progress))


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    """A bar that is redrawn in place, below what else is printed on stderr, and then removed."""
    # Imported here, because only a copy on a terminal needs it.
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    stderr = sys.stderr  # while the bar is shown, rich has its own, until 14.1 without a descriptor
    place = screen.of(stderr)
    console = Console(
        file=stderr, no_color=not place.colours, markup=False, highlight=False, emoji=False
    )
    unicode = place.charset == screen.UTF8
    wide = console.width >= _WIDE and unicode  # rich's bar is not ASCII
    room = console.width - (_BAR + 1 if wide else 0)
    # No markup: the name of a file may look like rich's.
    column = Column(no_wrap=True, overflow="ellipsis" if unicode else "crop")
    text = bars.TextColumn("{task.description}", markup=False, table_column=column)
    columns = (bars.BarColumn(_BAR), text) if wide else (text,)
    bar = bars.Progress(
        *columns, console=console, auto_refresh=False, transient=True, redirect_stdout=False
    )
    began = time.monotonic()
    with waits.terminal_lent(), bar as shown:
        console.show_cursor()  # rich hides it, and ^Z would leave it so
        task = shown.add_task("", total=None, visible=False)

        def show(progress: Progress) -> None:
            waited_for = status_line.now_in_words(time.monotonic() - began)
            waited_for = status_line.cut(place.shown(waited_for), room)
            words = _in_line(progress, room, place) if progress.bytes_total else waited_for
            shown.update(
                task,
                total=progress.bytes_total,
                completed=progress.bytes_done,
                visible=bool(words),
                description=words,
                # In the background, the terminal's line is another program's.
                refresh=waits.has_terminal(stderr),
            )

        try:
            yield show
        finally:
            if not waits.has_terminal(stderr):  # rich draws it once more
                shown.update(task, visible=False)


def in_words(progress: Progress) -> str:
    """`1.2 GB of 3.0 GB (40 %), 5.4 MB/s, 5m33s left, 3 of 10 files`."""
    done, total = progress.bytes_done, progress.bytes_total
    percent = 100 * done // total if total else 0
    words = [f"{sizes.in_words(done)} of {sizes.in_words(total)} ({percent} %)"]
    is_copied = 0 < total <= done
    if is_copied and progress.files_done < progress.files_total:
        words.append("checking what was copied")
    else:
        words.append(f"{sizes.in_words(progress.rate)}/s")
    if progress.rate >= 1 and 0 < (left := (total - done) / progress.rate) < _LONGEST_S:
        words.append(f"{elapsed.whole(math.ceil(left))} left")
    if progress.files_total > 1:
        words.append(f"{progress.files_done} of {progress.files_total} files")
    return ", ".join(words)


def _in_line(progress: Progress, room: int, place: Screen) -> str:
    """The numbers, and as much of the end of the file's name as there is room for."""
    numbers = in_words(progress)
    name = place.shown(printable(progress.name.rpartition("/")[2]))
    room -= len(numbers) + 2
    if not name or room < min(_LEAST_NAME, cells(name)):
        return numbers
    if cells(name) > room:
        room -= len(place.ellipsis)
        while cells(name) > room:
            name = name[1:]
        name = place.ellipsis + name
    return f"{numbers}  {name}"
