"""Record docs/demo.svg: a real shell on the lab's laptop, with real programs and their real times.

    .venv/bin/python script/record_demo.py [FILE]

The lines in TYPED are typed as a person would type them. What the terminal shows is drawn at the
time at which it came; nothing is edited or left out. The only help: `ssh` and `scp` in that shell
get the lab's ssh config with `-F`, because the lab leaves ~/.ssh alone.
"""

from __future__ import annotations

import html
import itertools
import os
import pty
import select
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pyte
from pyte.screens import Char

ROOT: Final = Path(__file__).parents[1]
COLUMNS: Final = 84
LINES: Final = 22
TYPED: Final = (
    "sm-proxy list --check",
    "ssh sm-bert-7",
    "ls -sh /opt/ml/checkpoints",
    "exit",
    "scp sm-bert-7:/opt/ml/checkpoints/checkpoint-1.bin .",
    "sm-proxy cp -r sm-bert-7:/opt/ml/checkpoints .",
    "ssh sm-bert-7 hostname",
)
_PROMPTS: Final = ("$ ", "# ")
"""That of the laptop, and that of root in the container."""
_SHELL: Final = (
    'ssh() { command ssh -F "$SM_PROXY_LAB_SSH_CONFIG" "$@"; }\n'
    'scp() { command scp -F "$SM_PROXY_LAB_SSH_CONFIG" "$@"; }\n'
    "PS1='\\[\\e[1;32m\\]$\\[\\e[0m\\] '\nunset NO_COLOR\n"
)
_KEY_S: Final = 0.05
"""Between two keys, as of a person who types fast."""
_READ_S: Final = 0.8
"""Before the next line is typed: time to read."""
_FRAME_S: Final = 0.05
_LAST_S: Final = 6.0
"""How long the last screen stays before the picture starts again."""
_ANSWER_S: Final = 60.0

_CELL: Final = (8.4, 18.0)
"""Width and height of a character, in pixels."""
_MARGIN: Final = 16
_FONT: Final = 'ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace'
_BACKGROUND: Final = "#1c2128"
_COLOURS: Final = {
    "default": "#d8dee6",
    "black": "#6e7681",
    "red": "#ff8a80",
    "green": "#7ee787",
    "brown": "#e3b341",
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#d8dee6",
}
"""Colours by pyte's names."""

Style: TypeAlias = tuple[str, bool]
"""Colour, and whether it is bold."""
Row: TypeAlias = tuple[tuple[int, str, Style], ...]
"""The runs of equal style in a line: column, text, style."""


@dataclass(frozen=True)
class Frame:
    """What the terminal shows from one moment on.

    Attributes:
        at: seconds since the start.
        rows: the lines of the screen; an empty one has no runs.
    """

    at: float
    rows: tuple[Row, ...]


class Recorder:
    """A shell in a pseudo terminal, and the frames that it has shown."""

    def __init__(self, words: list[str], folder: str) -> None:
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.frames: list[Frame] = []
        self._began = 0.0
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            size = {"COLUMNS": str(COLUMNS), "LINES": str(LINES)}
            os.execvpe(words[0], words, {**os.environ, "TERM": "xterm-256color", **size})  # noqa: S606

    def record(self, lines: tuple[str, ...]) -> None:
        """Type the lines, each after the answer to the one before.

        Raises:
            TimeoutError: no prompt came.
        """
        self._await_prompt()
        self._began = time.monotonic()
        for line in lines:
            self._read_for(_READ_S)
            for key in line + "\r":
                os.write(self._terminal, key.encode())
                self._read_for(_KEY_S)
            self._await_prompt()

    def _await_prompt(self) -> None:
        deadline = time.monotonic() + _ANSWER_S
        while not self._at_prompt():
            if time.monotonic() > deadline:
                raise TimeoutError("\n".join(self._screen.display))
            self._read_for(_FRAME_S)

    def _at_prompt(self) -> bool:
        cursor = self._screen.cursor
        return self._screen.display[cursor.y][: cursor.x].endswith(_PROMPTS)

    def _read_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._terminal], [], [], min(left, _FRAME_S))[0]:
                continue
            self._stream.feed(os.read(self._terminal, 65_536))
            if self._began:
                self._add_frame()

    def _add_frame(self) -> None:
        now = time.monotonic() - self._began
        rows = tuple(_row(self._screen.buffer[y]) for y in range(LINES))
        if self.frames and self.frames[-1].at > now - _FRAME_S:
            self.frames.pop()
        if not self.frames or self.frames[-1].rows != rows:
            self.frames.append(Frame(now, rows))


def _row(cells: dict[int, Char]) -> Row:
    """The runs of a line."""
    styled = [(x, cells[x].data, _style(cells[x])) for x in range(COLUMNS)]
    runs = itertools.groupby(styled, key=lambda cell: cell[2])
    joined = [(style, list(group)) for style, group in runs]
    row = [(group[0][0], "".join(cell[1] for cell in group), style) for style, group in joined]
    return tuple((x, text.rstrip(), style) for x, text, style in row if text.strip())


def _style(cell: Char) -> Style:
    return _COLOURS.get(cell.fg, f"#{cell.fg}"), cell.bold


def draw(frames: list[Frame]) -> str:
    """The frames as an SVG that moves by CSS; where nothing moves, it shows the last one."""
    width, height = round(COLUMNS * _CELL[0]) + 2 * _MARGIN, round(LINES * _CELL[1]) + 2 * _MARGIN
    known: dict[Row, str] = {}
    screens = []
    for number, frame in enumerate(frames):
        used = [
            f'<use href="#{known.setdefault(row, f"r{len(known)}")}" y="{y * _CELL[1]:g}"/>'
            for y, row in enumerate(frame.rows)
            if row
        ]
        screens.append(f'<g transform="translate(0 {number * height})">{"".join(used)}</g>')
    rows = "\n".join(f'<g id="{name}">{_drawn(row)}</g>' for row, name in known.items())
    total = frames[-1].at + _LAST_S
    steps = "".join(
        f"{100 * frame.at / total:.3f}%{{transform:translateY({-number * height}px)}}"
        for number, frame in enumerate(frames)
    )
    y = -(len(frames) - 1) * height
    return f"""<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve"
 viewBox="0 0 {width} {height}" width="{width}">
<title>sm-proxy in a terminal</title>
<style>
text{{font:14px {_FONT};white-space:pre}}
#reel{{animation:play {total:.2f}s steps(1,end) infinite}}
@media(prefers-reduced-motion:reduce){{#reel{{animation:none}}}}
@keyframes play{{{steps}to{{transform:translateY({y}px)}}}}
</style>
<defs>
{rows}
</defs>
<rect width="{width}" height="{height}" rx="8" fill="{_BACKGROUND}"/>
<svg width="{width}" height="{height}"><g id="reel" transform="translate(0 {y})">
{"".join(screens)}
</g></svg>
</svg>
"""


def _drawn(row: Row) -> str:
    return "".join(_run(*run) for run in row)


def _run(column: int, text: str, style: Style) -> str:
    """A run, stretched to its columns whatever font the reader has."""
    x, length = _MARGIN + column * _CELL[0], len(text) * _CELL[0]
    colour, bold = style
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{_MARGIN + 14}" textLength="{length:g}" fill="{colour}"{weight}>'
        f"{html.escape(text, quote=False)}</text>"
    )


def _lab(folder: str) -> Iterator[str]:
    start = Path(folder) / "shell"
    start.write_text(_SHELL, encoding="utf-8")
    program = str(Path(sys.executable).with_name("sm-proxy"))
    yield from (program, "lab", "run", "--job", "bert-7", "--")
    yield from ("bash", "--noprofile", "--rcfile", str(start), "-i")


def main() -> None:
    """Record the picture, and print its size."""
    target = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "demo.svg"
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(list(_lab(folder)), folder)
        recorder.record(TYPED)
    text = draw(recorder.frames)
    target.write_text(text, encoding="utf-8")
    seconds = recorder.frames[-1].at
    print(f"{target}: {len(recorder.frames)} frames, {seconds:.1f} s, {len(text):,} bytes")


if __name__ == "__main__":
    main()
