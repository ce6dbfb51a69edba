"""Sourcing start.sh does not change the caller, whether ssh works or not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import BUSYBOX, wait_for

CONTAINER = Path(__file__).parents[2] / "container"
SHELLS = {
    "dash": ["dash"],
    "dash -eu": ["dash", "-eu"],
    "bash": ["bash"],
    "bash --posix": ["bash", "--posix"],
    "bash -eu, pipefail": ["bash", "-eu", "-o", "pipefail"],
    "bash, ERR and DEBUG inherited": ["bash", "-eu", "-o", "pipefail", "-o", "errtrace"],
    "busybox": [str(BUSYBOX), "sh"],
    "busybox -eu, pipefail": [str(BUSYBOX), "sh", "-eu", "-o", "pipefail"],
}
# Prints the caller's state. `set` comes last: it prints all variables and functions.
STATE = r"""
trap; umask; pwd; echo "$# $*"; alias; echo "options $-"; set -o; ulimit -a
ls -l /proc/$$/fd >@work/open
sed 's/.* \([0-9]* -> .*\)/\1/; s/\[[0-9]*\]//' @work/open | grep -Ev '/proc/|(before|after|open)$'
jobs; env; volatile='_|BASH_(ARG|LINENO|COMMAND|EXEC)|LINENO|PIPESTATUS|RANDOM|SECONDS|EPOCH|SRAND'
set | grep -Ev "^($volatile)"
"""
CALLER = r"""
trap 'echo end' EXIT
trap 'echo usr1' USR1
trap '' USR2
umask 027
cd @work
set -f -- one 'two  three' ''
here=mine run=mine said=mine home=mine name=mine
say() { echo mine; }
state() { @state
}
state "$@" >@work/before 2>&1
. @start
echo "status $?"
state "$@" >@work/after 2>&1
"""


@pytest.mark.parametrize("home", ["ours", "missing", "broken"])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_caller_is_unchanged(tmp_path: Path, shell: str, home: str) -> None:
    argv = SHELLS[shell]
    if not shutil.which(argv[0]):
        pytest.skip(f"needs {argv[0]}")
    start = CONTAINER / "start.sh"
    folder = {"ours": CONTAINER, "missing": tmp_path / "none", "broken": tmp_path / "broken"}[home]
    if home != "ours":
        start = Path(shutil.copy(start, tmp_path / "start.sh"))
    if home == "broken":
        folder.mkdir()
        for path in (folder / "entrypoint.sh", tmp_path / "entrypoint.sh"):
            path.write_text("kill -9 $$\n", encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    script = CALLER.replace("@state", STATE).replace("@work", str(work))
    file = tmp_path / "caller.sh"
    file.write_text(script.replace("@start", str(start)), encoding="utf-8")
    run = tmp_path / "run"
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(tmp_path),
        "SM_PROXY_HOME": str(folder),
        "SM_PROXY_RUN_DIR": str(run),
        "SM_PROXY_LISTEN": "127.0.0.1",
        "SM_PROXY_SSHD": "/no/such/sshd",
    }
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as output:  # not a pipe: ssh ends shortly after the caller
        command = [*argv, str(file)]
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
    if home == "ours":
        wait_for(run / "failed")  # start.sh has run our entrypoint
    words = log.read_text(encoding="utf-8").splitlines()
    assert done.returncode == 0, words
    expected = ["status 0", "end"]
    assert [word for word in words if word in expected] == expected
    before = (work / "before").read_text(encoding="utf-8")
    assert (work / "after").read_text(encoding="utf-8") == before


def test_the_printed_state_shows_each_kind_of_change(tmp_path: Path) -> None:
    """So the test above would fail after such a change."""
    for change in (
        "trap - USR1",
        "umask 077",
        "cd /",
        "set -- x",
        "set -e",
        "here=x",
        "f() { :; }",
    ):
        script = CALLER.replace("@state", STATE).replace("@work", str(tmp_path))
        changing = tmp_path / "change.sh"
        changing.write_text(f"{change}\n", encoding="utf-8")
        script = script.replace("@start", str(changing))
        subprocess.run(["bash", "-c", script], check=False, capture_output=True)
        before = (tmp_path / "before").read_text(encoding="utf-8")
        assert "two  three" in before
        assert (tmp_path / "after").read_text(encoding="utf-8") != before, change
