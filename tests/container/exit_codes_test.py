"""Exit codes and signals of a job are the same without us, with us, and in time windows."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from .conftest import BUSYBOX, write_busybox

ENTRYPOINT = Path(__file__).parents[2] / "container" / "entrypoint.sh"
KEPT = {"SM_PROXY_KEEP_SUCCESS": "1h", "SM_PROXY_KEEP_FAILURE": "1h"}
WAYS = ("without us", "with us", "in time windows")


@dataclass(frozen=True)
class Shell:
    """A shell that runs the entrypoint.

    The file `done` exists, so that no container is kept. Another process plays a server that is
    already running, so that the entrypoint starts none.
    """

    argv: list[str]
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def ml(self) -> Path:
        return Path(self.environment["SM_PROXY_ML_DIR"])

    def start(self, way: str, program: list[str], file: Path = ENTRYPOINT) -> subprocess.Popen[str]:
        entrypoint = [] if way == "without us" else [*self.argv, str(file)]
        process = subprocess.Popen(
            [*entrypoint, *program],
            env=self.environment | (KEPT if way == "in time windows" else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process


@pytest.fixture(scope="module", params=["sh", "busybox"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("job")
    argv, path = ["sh"], os.environ["PATH"]
    if request.param == "busybox":
        if not BUSYBOX:
            pytest.skip("needs busybox")
        write_busybox(folder / "busybox")
        argv, path = [str(folder / "busybox" / "sh")], f"{folder / 'busybox'}:{path}"
    environment = {
        "PATH": path,
        "HOME": str(folder),
        "SM_PROXY_RUN_DIR": str(folder / "run"),
        "SM_PROXY_ML_DIR": str(folder / "ml"),
        "SM_PROXY_SSHD": "/no/such/sshd",
    }
    (folder / "ml" / "output").mkdir(parents=True)
    run = folder / "run"
    run.mkdir()
    server = subprocess.Popen(["sh", "-c", "read -r _", str(run)], stdin=subprocess.PIPE)
    with server:
        (run / "sshd.pid").write_text(f"{server.pid}\n", encoding="utf-8")
        (run / "done").touch()
        yield Shell(argv, environment)
        assert (run / "done").exists()
        server.kill()


@pytest.fixture
def shell(prepared: Shell) -> Iterator[Shell]:
    yield prepared
    for process in prepared.started:
        process.kill()
        with process:  # close the pipes: an orphan of a failed test may still have them open
            pass
    prepared.started.clear()


def status(process: subprocess.Popen[str]) -> int:
    """Wait for the end; return the exit status as a container engine reports it."""
    process.communicate(timeout=60)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 126, 127, 128, 255])
def test_the_exit_code_is_the_programs(shell: Shell, code: int) -> None:
    running = [shell.start(way, ["sh", "-c", f"exit {code}"]) for way in WAYS]
    assert [status(process) for process in running] == [code] * 3


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "INT", "ABRT", "USR2", "PIPE"])
def test_a_program_that_kills_itself_gives_128_plus_n(shell: Shell, name: str) -> None:
    script = f"ulimit -c 0; kill -s {name} $$; sleep 20"
    running = [shell.start(way, ["sh", "-c", script]) for way in WAYS]
    expected = 128 + signal.Signals[f"SIG{name}"]
    assert [status(process) for process in running] == [expected] * 3


@pytest.mark.parametrize(("mode", "code"), [(None, 127), (0o644, 126)])
def test_a_program_that_cannot_run_gives_126_or_127(
    shell: Shell, tmp_path: Path, mode: int | None, code: int
) -> None:
    program = tmp_path / "program"
    if mode:
        program.write_text("#!/bin/sh\n", encoding="utf-8")
        program.chmod(mode)
    assert [status(shell.start(way, [str(program)])) for way in WAYS[1:]] == [code] * 2


def test_the_program_gets_the_jobs_environment_unchanged(shell: Shell) -> None:
    """Even if its variables have the same names as ours."""
    sources = [
        ENTRYPOINT.with_name(name)
        for name in ("entrypoint.sh", "duration.sh", "hold.sh", "clock.sh")
    ]
    text = "".join(source.read_text(encoding="utf-8") for source in sources)
    names = {name for name in re.findall(r"\b([a-z]\w*)=|\bfor (\w+)", text) for name in name}
    mine = dict.fromkeys(name for name in names if name and not name.startswith("smp_"))
    mine = dict.fromkeys({*mine, "here", "run", "name", "code", "pid", "child"}, "mine")
    shell.environment.update(mine)
    seen = {}
    for way in WAYS:
        output, _ = shell.start(way, ["cat", "/proc/self/environ"]).communicate(timeout=60)
        pairs = (entry.partition("=")[::2] for entry in output.split("\0") if entry)
        seen[way] = {name: value for name, value in pairs if name in mine or name == "HOME"}
    for name in mine:
        del shell.environment[name]
    expected = {**mine, "HOME": shell.environment["HOME"]}
    assert [seen[way] for way in WAYS] == [expected] * 3


def test_few_programs_run_before_the_jobs(tmp_path: Path) -> None:
    """So the start takes less than 200 ms, which bench/container_start.py measures."""
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    for file in [*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()]:
        # The fake setsid does not start the ssh half, so all other programs are the entrypoint's.
        then = "" if file.name == "setsid" else f'exec {file} "$@"'
        shim = programs / file.name
        shim.write_text(f'#!/bin/sh\necho "{file.name} $*" >>{log}\n{then}\n', encoding="utf-8")
        shim.chmod(0o755)
    environment = {"PATH": str(programs), "SM_PROXY_RUN_DIR": str(tmp_path / "run")}
    subprocess.run([str(ENTRYPOINT), "true"], env=environment, check=True)
    lines = log.read_text(encoding="utf-8").splitlines()
    *before, program = [line for line in lines if not line.startswith("setsid ")]
    assert program == "true "
    naps = [float(words.split()[1]) for words in before if words.startswith("sleep ")]
    assert sum(naps) <= 0.15  # with a server that is never ready
    assert len(before) - len(naps) <= 8, before


LOOP = "while :; do sleep 0.05; done"


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
@pytest.mark.parametrize(
    ("script", "code"),
    [
        (f"echo on; {LOOP}", None),
        (f"trap 'exit 5' @; echo on; {LOOP}", 5),
        # The program ignores the signal and ends by itself later.
        ("trap '' @; echo on; sleep 0.4; exit 9", 9),
    ],
    ids=["dies", "traps", "ignores"],
)
def test_a_signal_reaches_the_program(
    shell: Shell, name: str, script: str, code: int | None
) -> None:
    number = signal.Signals[f"SIG{name}"]
    running = [shell.start(way, ["sh", "-c", script.replace("@", name)]) for way in WAYS]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(number)
    expected = 128 + number if code is None else code
    assert [status(process) for process in running] == [expected] * 3


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_signal_during_the_programs_start_reaches_it(
    shell: Shell, tmp_path: Path, name: str
) -> None:
    """The program may run before the shell that started it has noted its process id."""
    ours = Path(shutil.copytree(ENTRYPOINT.parent, tmp_path / "ours"))
    hold = ours / "hold.sh"
    text = hold.read_text(encoding="utf-8")
    slow = text.replace("        smp_child=$!", "        sleep 0.5; smp_child=$!")
    assert slow != text
    hold.write_text(slow, encoding="utf-8")
    script = ["sh", "-c", f"trap 'exit 5' {name}; echo on; {LOOP}"]
    process = shell.start("in time windows", script, ours / ENTRYPOINT.name)
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.Signals[f"SIG{name}"])
    assert status(process) == 5


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1"])
def test_a_signal_before_the_programs_exec_reaches_it(
    shell: Shell, tmp_path: Path, name: str
) -> None:
    """The child is still a shell at that time, and would drop the signal."""
    ours = Path(shutil.copytree(ENTRYPOINT.parent, tmp_path / "ours"))
    hold = ours / "hold.sh"
    text = hold.read_text(encoding="utf-8")
    early = text.replace("        exec 3<&0\n", f"        exec 3<&0; kill -s {name} $$\n")
    assert early != text
    hold.write_text(early, encoding="utf-8")
    program = ["sh", "-c", "sleep 3; exit 7"]
    process = shell.start("in time windows", program, ours / ENTRYPOINT.name)
    assert status(process) == 128 + signal.Signals[f"SIG{name}"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_the_exit_code_is_kept_with_closed_descriptors(shell: Shell, closed: str) -> None:
    wrapper = ["sh", "-c", f'exec "$@" {closed}', "sh", *shell.argv]
    closing = replace(shell, argv=wrapper)
    assert [status(closing.start(way, ["sh", "-c", "exit 5"])) for way in WAYS[1:]] == [5] * 2


def test_a_signal_reaches_children_only_in_a_window(shell: Shell) -> None:
    """Without a window only the program gets a signal; in a window, its process group does."""
    child = "trap 'echo child; exit' TERM; echo on; while :; do sleep 0.05; done"
    # The child prints "on" when its parent is ready for a signal, too.
    script = "trap 'kill $!; wait; exit 6' USR1; trap 'wait; exit 5' TERM; "
    script += f'sh -c "{child}" & wait; wait'
    heard = {}
    for way in WAYS:
        process = shell.start(way, ["sh", "-c", script])
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGTERM if way == "in time windows" else signal.SIGUSR1)
        output, _ = process.communicate(timeout=60)
        heard[way] = (process.returncode, output)
    assert heard == {
        "without us": (6, "child\n"),
        "with us": (6, "child\n"),
        "in time windows": (5, "child\n"),
    }


def test_the_failure_file_is_left_to_the_program(shell: Shell) -> None:
    failure = shell.ml / "output" / "failure"
    for way in WAYS:
        failure.unlink(missing_ok=True)
        assert status(shell.start(way, ["sh", "-c", "exit 1"])) == 1
        assert not failure.exists()
        script = f"echo 'its own words' >{failure}; exit 1"
        assert status(shell.start(way, ["sh", "-c", script])) == 1
        assert failure.read_text(encoding="utf-8") == "its own words\n"
    assert {path.name for path in shell.ml.rglob("*")} == {"output", "failure"}
