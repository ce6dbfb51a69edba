from __future__ import annotations

import io
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pyte
import pytest

from sm_proxy.errors import EXIT_INTERRUPTED
from sm_proxy.local import layout, output, prompt, status_line, waits
from sm_proxy.local.status_line import StatusLine
from sm_proxy.local.waits import Wait
from tests import terminals
from tests.waits import await_true, read_until

FOLDERS = ("HOME", "SM_PROXY_STATE_DIR", "SM_PROXY_CACHE_DIR", "SM_PROXY_CONFIG_DIR")


@dataclass
class Screen(io.StringIO):
    """A terminal of one process: keeps the lines that are complete, and the one that is not."""

    terminal: bool = True
    lines: list[str] = field(default_factory=list)
    line: str = ""
    widest: int = 0
    encoding: str = "utf-8"

    def isatty(self) -> bool:
        return self.terminal

    def fileno(self) -> int:
        return 2

    def write(self, text: str) -> int:
        for part in re.split(r"(\r\x1b\[[KJ]|\n)", text.removesuffix("\r")):
            if part == "\n":
                self.lines.append(self.line)
                self.line = ""
            elif part.startswith("\r"):
                self.line = ""
            else:
                self.line += part
        self.widest = max(self.widest, layout.cells(self.line))
        return len(text)


@dataclass
class Shown:
    """A status line with a clock and a terminal of the test.

    Attributes:
        screen: what stderr leads to.
        line: under test.
        now: its clock.
        columns: of the terminal.
        foreground: whether our process group may write on it.
        echo: whether it shows what is typed.
    """

    screen: Screen
    line: StatusLine = field(init=False)
    now: float = 1000.0
    columns: int = 80
    foreground: bool = True
    echo: bool = True

    def __post_init__(self) -> None:
        self.line = StatusLine(clock=lambda: self.now, columns=lambda: self.columns)

    def after(self, seconds: float) -> str:
        """The unfinished line after so many more seconds."""
        for _ in range(int(seconds)):
            self.now += 1
            self.line.tick()
        return self.screen.line


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    screen = Screen()
    found = Shown(screen)
    # Not those of `sys`: pytest sets them again between this fixture and the test.
    streams = {"stdin": io.StringIO(), "stdout": screen, "stderr": screen}
    system = SimpleNamespace(platform=sys.platform, **streams)
    for module in (output, waits, status_line, prompt):
        monkeypatch.setattr(module, "sys", system)
    monkeypatch.setenv("TERM", "xterm")
    display = waits._Display()
    display.line, display.enabled = found.line, True
    display.is_foreground = lambda _: found.foreground
    display.echoes = lambda _: found.echo
    display.clock = lambda: found.now
    monkeypatch.setattr(waits, "_DISPLAY", display)
    return found


def test_a_wait_shows_its_time_and_its_end_in_one_line(shown: Shown) -> None:
    with waits.waiting("waiting for my-job", 900) as wait:
        assert shown.after(1) == "sm-proxy: waiting for my-job (1s of 15m)"
        assert shown.after(129) == "sm-proxy: waiting for my-job (2m10s of 15m)"
        wait.tell("my-job: Downloading", output.status)
        assert shown.after(1) == "sm-proxy: my-job: Downloading (2m11s of 15m)"
    assert shown.after(1) == ""
    assert shown.screen.lines == []


def test_a_short_wait_shows_nothing(shown: Shown) -> None:
    shown.now += 0.5
    with waits.waiting("waiting"):
        shown.line.tick()
    assert shown.after(1) == ""


def test_a_lasting_line_and_a_result_stand_above_the_status_line(shown: Shown) -> None:
    with waits.waiting("waiting"):
        shown.after(3)
        output.status("the agent has connected")
        assert shown.screen.line == ""
        assert shown.after(1) == "sm-proxy: waiting (4s)"
        output.write_part("result\n")
        assert shown.screen.lines == ["sm-proxy: the agent has connected", "result"]


def test_calls_are_shown_as_one_silence(shown: Shown) -> None:
    for second in range(1, 4):
        with waits.waiting("asking AWS: sagemaker:ListTrainingJobs", is_call=True):
            line = shown.after(1)
        assert line == f"sm-proxy: asking AWS: sagemaker:ListTrainingJobs ({second}s)"


def test_a_call_is_a_part_of_what_is_waited_for(shown: Shown) -> None:
    with waits.waiting("checking"), waits.waiting("asking AWS: x:Y", is_call=True):
        assert shown.after(2) == "sm-proxy: checking (2s)"


def test_the_newest_wait_is_shown_unless_one_covers_it(shown: Shown) -> None:
    with waits.waiting("trying 3 jobs", covers=True), waits.waiting("opening a session"):
        assert shown.after(2) == "sm-proxy: trying 3 jobs (2s)"
    with waits.waiting("looking for my-job"), waits.waiting("opening a session"):
        assert shown.after(2) == "sm-proxy: opening a session (2s)"


def test_nothing_is_shown_while_a_wait_without_words_covers_all(shown: Shown) -> None:
    with waits.waiting("", covers=True), waits.waiting("asking AWS: x:Y", is_call=True):
        assert shown.after(60) == ""
    assert shown.screen.lines == []


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_narrow_terminal_cuts_the_line_and_keeps_the_time(shown: Shown, columns: int) -> None:
    shown.columns = columns
    with waits.waiting("waiting for the agent in the container of sm-my-job 训练作业", 900):
        line = shown.after(75)
    assert line.endswith("... (1m15s of 15m)") or columns == 20
    assert shown.screen.widest < columns


def test_a_terminal_that_becomes_narrow_is_noticed(shown: Shown) -> None:
    with waits.waiting("waiting for the agent in the container of sm-my-job"):
        shown.after(2)
        shown.columns, shown.screen.widest = 30, 0
        assert len(shown.after(1)) < 30


class Cutting(pyte.Screen):
    """A terminal that cuts its lines when it becomes narrower, as xterm does."""

    def narrow(self, columns: int) -> None:
        self.resize(columns=columns)


class Breaking(pyte.Screen):
    """One that breaks them, and whose cursor stays at its character, as in VTE, kitty and tmux."""

    def narrow(self, columns: int) -> None:
        lines = [row.rstrip() for row in self.display]
        column, row = self.cursor.x, self.cursor.y
        above = sum(len(self.pieces(line, columns)) for line in lines[:row])
        pieces = [piece for line in lines for piece in self.pieces(line, columns)]
        self.resize(columns=columns)
        self.reset()
        pyte.Stream(self).feed("\r\n".join(pieces).rstrip())
        self.cursor.y, self.cursor.x = above + column // columns, column % columns

    def pieces(self, line: str, columns: int) -> list[str]:
        return [line[at : at + columns] for at in range(0, len(line), columns)] or [""]


@pytest.mark.parametrize("kind", [Cutting, Breaking])
@pytest.mark.parametrize("ends", [False, True])
def test_a_terminal_that_becomes_narrower_keeps_no_piece_of_the_line(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, kind: type[Cutting | Breaking], *, ends: bool
) -> None:
    terminal = kind(60, 12)
    stream = pyte.Stream(terminal)
    monkeypatch.setattr(shown.screen, "write", stream.feed)
    stream.feed("$ make\r\ndone\r\n$ ssh sm-x\r\n")
    shown.columns = 60
    with waits.waiting("waiting for the agent in the container of sm-x", 900):
        shown.after(2)
        terminal.narrow(25)
        shown.columns = 25
        if not ends:
            shown.after(1)
    if ends:
        waits.hide()
    rows = [row.rstrip() for row in terminal.display if row.strip()]
    line = [] if ends else ["sm-proxy:... (3s of 15m)"]
    assert rows == ["$ make", "done", "$ ssh sm-x", *line]


def without_terminal(shown: Shown) -> None:
    shown.screen.terminal = False


def in_background(shown: Shown) -> None:
    shown.foreground = False


def without_cursor(_: Shown) -> None:
    os.environ["TERM"] = "dumb"  # the fixture restores it


@pytest.mark.parametrize("place", [without_terminal, in_background, without_cursor])
def test_where_no_line_can_be_rewritten_lines_come_more_and_more_seldom(
    shown: Shown, place: object
) -> None:
    assert callable(place)
    place(shown)
    with waits.waiting("looking", 3600) as wait:
        wait.tell("my-job: Starting", output.status)
        shown.after(800)
    assert shown.screen.lines == [
        "sm-proxy: my-job: Starting",
        *(f"sm-proxy: my-job: Starting ({at} of 1h)" for at in ("10s", "30s", "1m00s", "2m00s")),
        *(f"sm-proxy: my-job: Starting ({at} of 1h)" for at in ("7m00s", "12m00s")),
    ]
    assert shown.screen.line == ""


def test_a_line_that_is_another_programs_by_now_is_not_erased(shown: Shown) -> None:
    with waits.waiting("waiting"):
        line = shown.after(2)
    shown.foreground = False
    assert shown.after(1) == line


def test_a_passphrase_that_another_program_asks_for_is_left_alone(shown: Shown) -> None:
    with waits.waiting("waiting"):
        line = shown.after(2)
        shown.screen.write("\nPassphrase: ")
        shown.echo = False
        assert shown.after(15) == "Passphrase: "
        shown.screen.write("\n")
        shown.echo = True
        assert shown.after(1) == "sm-proxy: waiting (18s)"
    assert shown.screen.lines == [line, "Passphrase: "]


def test_a_question_has_the_terminal_to_itself(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Keys:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            seen.append(shown.after(20))
            return "yes\n"

    monkeypatch.setattr("sm_proxy.local.prompt.sys.stdin", Keys())
    with waits.waiting("waiting"):
        shown.after(2)
        assert prompt.confirm("Go on?")
    assert seen == ["Go on? [y/N] "]
    assert shown.screen.lines == []


def test_news_do_not_break_into_a_question(shown: Shown) -> None:
    with waits.waiting("waiting") as wait:
        with waits.terminal_lent():
            shown.screen.write("Passphrase: ")
            wait.tell("my-job: Training", output.status)
            assert (shown.screen.lines, shown.screen.line) == ([], "Passphrase: ")
            shown.screen.write("\n")
        assert shown.after(2) == "sm-proxy: my-job: Training (2s)"


def test_the_line_is_erased_at_the_end(shown: Shown) -> None:
    with waits.waiting("waiting"):
        assert shown.after(2)
        waits.hide()
    assert shown.screen.line == ""


def test_the_line_stays_where_the_terminal_may_be_another_programs(shown: Shown) -> None:
    with waits.waiting("waiting"):
        line = shown.after(2)
        waits.hide(erase=False)
    assert shown.screen.line == line


def test_hostile_words_do_not_reach_the_terminal(shown: Shown) -> None:
    with waits.waiting("my-job: \x1b]0;title\x07 \rx"):
        line = shown.after(1)
    assert line.isprintable()


def test_a_terminal_without_utf8_gets_no_line_that_is_too_long(shown: Shown) -> None:
    shown.screen.encoding = "ascii"
    with waits.waiting("my-job: \u8bad\u7ec3" * 9):
        shown.after(1)
    assert shown.screen.line.isascii()
    assert shown.screen.widest < shown.columns


def test_a_closed_stderr_is_no_failure(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sm_proxy.local.output.sys.stderr", None)
    with waits.waiting("waiting"):
        shown.after(12)
    assert shown.screen.lines == []


def test_a_library_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with waits.waiting("waiting"):
        status_line.start(5)
    assert capfd.readouterr() == ("", "")


def test_the_thread_shows_what_has_been_silent_for_long(shown: Shown) -> None:
    line = StatusLine(silent_s=2, clock=lambda: shown.now)
    with waits.waiting("waiting"):
        line.start()
        await_true(lambda: shown.screen.line == "sm-proxy: waiting", 60)
        line.stop(erase=True)
    assert shown.screen.line == ""


STEPS = "sm-proxy: waiting for bert: Starting (2 min) -> Pending -> Downloading (3s of 15m)"


@pytest.mark.parametrize(
    ("words", "columns", "expected"),
    [
        ("sm-proxy: waiting (3s)", 40, "sm-proxy: waiting (3s)"),
        ("sm-proxy: waiting for it (3s)", 26, "sm-proxy: waiting... (3s)"),
        ("sm-proxy: waiting", 12, "sm-proxy:..."),
        ("sm-proxy: waiting (3s)", 9, "sm-proxy:"),
        ("", 0, ""),
        (STEPS, len(STEPS), STEPS),
        (STEPS, len(STEPS) - 1, "sm-proxy: waiting for bert: Downloading (3s of 15m)"),
        (STEPS, 51, "sm-proxy: waiting for bert: Downloading (3s of 15m)"),
        (STEPS, 50, "sm-proxy: waiting for...: Downloading (3s of 15m)"),
        (STEPS, 40, "sm-proxy: wa...: Downloading (3s of 15m)"),
    ],
)
def test_cut(words: str, columns: int, expected: str) -> None:
    assert status_line.cut(words, columns) == expected


def test_waits_of_calls_only_show_the_newest() -> None:
    calls = [Wait("first", is_call=True), Wait("second", is_call=True)]
    assert status_line.shown(calls) is calls[1]
    assert status_line.shown([]) is None


@pytest.fixture
def silent_aws(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a program to which AWS never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            **{name: str(tmp_path) for name in FOLDERS},
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_REGION": "eu-west-1",
        }


def started(
    words: list[str], environment: dict[str, str], terminal: int
) -> subprocess.Popen[bytes]:
    """Our program as its session's leader, with stderr on its terminal."""
    return subprocess.Popen(
        [sys.executable, "-I", "-m", "sm_proxy", *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal,
        **terminals.controlling(terminal),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(
    ("command", "number", "erases"),
    [
        # ssh has gone: the line of its terminal is not ours to erase.
        ("connect", signal.SIGHUP, False),
        ("resolve", signal.SIGINT, True),
    ],
)
def test_a_real_terminal_shows_a_silent_service_and_is_left_clean(
    silent_aws: dict[str, str], command: str, number: signal.Signals, *, erases: bool
) -> None:
    ours, theirs = pty.openpty()
    process = started([command, "sm-x"], silent_aws, theirs)
    try:
        read_until(ours, b"sm-proxy: looking for sm-x")
        process.send_signal(number)
        assert process.wait(30) == EXIT_INTERRUPTED
    finally:
        process.kill()
        process.communicate()
    os.write(theirs, b"|end")
    rest = read_until(ours, b"|end").removesuffix(b"|end")
    assert rest.endswith(b"\r\x1b[K") is erases
    assert b"\n" not in rest
    os.close(ours)
    os.close(theirs)
