"""The commands of the docs work as they are written, on a job of two nodes with the name `myjob`.

`script/test` runs those that the README shows for every day, `script/soak` those of all pages.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import commands, pages, run_by
from tests.e2e.labs import SM_PROXY, Job, Lab
from tests.soak import SOAK

_README = [
    item.text
    for item in commands.of_page(pages.ROOT / "README.md")
    if not item.not_run and run_by.test_of(item.text) == run_by.HERE
]
_ALL = [
    item.text
    for page in pages.all_pages()
    for item in commands.of_page(page)
    if not item.not_run and run_by.test_of(item.text) == run_by.HERE
]
_COSTLY = {"sm-proxy list --check", "sm-proxy doctor sm-myjob", "ssh sm-myjob.algo-2"}
"""What other tests run as it is, or almost: left to the soak."""
_FILES = """
cd /opt/ml
mkdir -p code output checkpoints input model
for file in code/train.py output/log.txt checkpoints/last.pt model/a.bin /tmp/log.txt; do
    echo "$file" >"$file"
done
"""

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def served(host_lab: Lab) -> Iterator[Lab]:
    """The lab of a user whose daemon serves: that halves the CPU time of many connections."""
    with host_lab.with_daemon() as served:
        yield served


@pytest.fixture
def job(lab: Lab, served: Lab) -> Job:
    """The job, with the files that the docs speak of."""
    if not lab.netns:
        pytest.skip("without namespaces, no container has its own /opt/ml")
    found = lab.launch("myjob", nodes=2)
    assert found.host == "sm-myjob"
    for node in ("algo-1", "algo-2"):
        served.ok(f"{found.host}.{node}", _FILES)
    return found


@pytest.fixture
def laptop(lab: Lab, tmp_path: Path) -> dict[str, str]:
    """The variables of a terminal: ssh with the lab's config, an editor, and a browser."""
    programs = tmp_path / "programs"
    programs.mkdir()
    scripts = {
        **{
            name: f'exec {shutil.which(name)} -F {shlex.quote(lab.config)} "$@"'
            for name in ("ssh", "scp", "sftp")
        },
        "sm-proxy": f'exec {shlex.join(SM_PROXY)} "$@"',
        **dict.fromkeys(("code", "cursor"), 'echo "$@" >>"$OPENED"'),
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "BROWSER": "true",
        "OPENED": str(tmp_path / "opened"),
        "XDG_CONFIG_HOME": str(tmp_path / "editor"),
        "SM_PROXY_CONFIG_DIR": str(tmp_path / "settings"),
    }


class Terminal:
    """A terminal in an empty folder of the laptop."""

    def __init__(self, lab: Lab, folder: Path, variables: dict[str, str]) -> None:
        self._lab = lab
        self._variables = variables
        self._folder = folder
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "sample.bin").write_bytes(b"a sample")

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Type a command."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        words = ("bash", "-c", command if " && " in command else f"exec {command}")
        return self._lab.popen(*words, cwd=self._folder, env=self._variables, **pipes)

    def run(self, command: str) -> str:
        """Type a command and wait for its end; what it printed. A shell gets `exit`."""
        with self.start(command) as process:
            out, err = process.communicate(b"exit\n", timeout=120)
        assert process.returncode == 0, (command, out.decode(), err.decode())
        return out.decode()


@contextlib.contextmanager
def until_ctrl_c(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The first line that a command prints which goes on until ^C."""
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().decode()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_the_commands_of_the_docs_work_as_written(
    lab: Lab, served: Lab, job: Job, laptop: dict[str, str], tmp_path: Path
) -> None:
    terminal = Terminal(served, tmp_path / "here", laptop)
    wanted = list(dict.fromkeys(_ALL if SOAK else _README))
    left = [line for line in wanted if SOAK or line not in _COSTLY]
    log, stop = (next(line for line in left if word in line) for word in (" logs -f ", " stop "))
    with terminal.start(log) as followed:
        for command in left:
            if " tunnel " in command:
                with until_ctrl_c(terminal.start(command)) as line:
                    assert line.startswith("http://127.0.0.1:"), line
            elif command not in {log, stop}:
                terminal.run(command)
        terminal.run(f"{stop} --yes")  # it would ask on a terminal
        out, err = followed.communicate(timeout=120)
    assert "sm_proxy_marker" in out.decode() or "epoch" in out.decode(), out
    assert (followed.returncode, "Stopped" in err.decode()) == (1, True), err
    assert (tmp_path / "here" / "train.py").read_text() == "code/train.py\n"
    assert (tmp_path / "here" / "out" / "log.txt").read_text() == "output/log.txt\n"
    assert (tmp_path / "here" / "checkpoints" / "last.pt").read_text() == "checkpoints/last.pt\n"
    opened = (tmp_path / "opened").read_text()
    assert re.search(rf"--remote ssh-remote\+{job.host}\b.* /opt/ml/code", opened)
    lab.settle()
