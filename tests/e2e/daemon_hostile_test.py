"""`ssh` works, whatever is wrong with this machine or with what belongs to the daemon."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import SM_PROXY, Lab
from tests.soak import cases
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() != 0, reason="only root may do it")]

OTHER = 12345
PUMPED = "-oProxyUseFdpass=no"
SSH = 'ssh -F "$SM_PROXY_LAB_SSH_CONFIG" "$SM_PROXY_LAB_HOST" echo here'
DAEMON = f"{shlex.join(SM_PROXY)} daemon"


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A folder of ours that can have the socket if the state folder cannot; its path is short."""
    path = tempfile.mkdtemp(prefix="sm-", dir="/tmp")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def served(lab: Lab, elsewhere: str) -> Iterator[Lab]:
    """A lab whose daemon listens."""
    with lab.with_daemon(SM_PROXY_KEEP_SESSION="1m", XDG_RUNTIME_DIR=elsewhere) as served:
        served.ok(served.host, "true")
        served.await_daemon()
        await_true(lambda: says(served) == "", 60)
        yield served


def says(lab: Lab, *words: str) -> str:
    """Connect, which must work; return what the debug log says of the daemon."""
    done = lab.ssh(*words, lab.host, "echo here", env={"SM_PROXY_LOG": "debug"})
    assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr
    lines = [line.partition(" ms  ")[2] for line in done.stderr.decode().splitlines()]
    return "\n".join(line for line in lines if line.startswith(("no daemon", "daemon started")))


WORLDS = {
    "full": 'mount -t tmpfs -o size=4k,nr_inodes=1,mode=700 none "$SM_PROXY_STATE_DIR"; '
    '! mkdir "$SM_PROXY_STATE_DIR/x" 2>/dev/null',
    "read-only": 'mount --bind "$SM_PROXY_STATE_DIR" "$SM_PROXY_STATE_DIR"; '
    'mount -o remount,bind,ro "$SM_PROXY_STATE_DIR"',
}


@pytest.mark.parametrize("world", cases(WORLDS, ["full"]))
def test_the_daemon_is_elsewhere_if_the_disk_takes_no_socket(
    lab: Lab, elsewhere: str, world: str
) -> None:
    awaited = f"until {DAEMON} status | grep -q {elsewhere}; do sleep 0.1; done"
    script = f"{WORLDS[world]}; {SSH}; {awaited}; {SSH}; {DAEMON} stop; {DAEMON} status"
    env = {"SM_PROXY_DAEMON_IDLE": "1m", "XDG_RUNTIME_DIR": elsewhere}
    done = lab.run("unshare", "--mount", "sh", "-ec", script, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"here\nhere\ndaemon ")
    assert done.stdout.endswith(b"the next ssh starts one\n")
    assert not [path for path in Path(elsewhere).rglob("*") if not path.is_dir()]


LISTEN_AS = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
os.setuid(int(sys.argv[2]))
listener.listen()
print("ready", flush=True)
listener.accept()[0].sendall(b"t")
print("somebody came", flush=True)
"""


@pytest.fixture
def place(served: Lab) -> Path:
    """Where the socket of a daemon was that has ended."""
    (path,) = (served.state / "daemon").glob("*.sock")
    daemon = served.await_daemon()
    os.kill(daemon, signal.SIGTERM)
    await_true(lambda: not path.exists(), 60)
    return path


@pytest.mark.parametrize("whose", cases(["folder", "socket"], ["folder"]))
def test_the_socket_of_another_user_gets_nothing(
    served: Lab, elsewhere: str, place: Path, whose: str
) -> None:
    """Ours is then in another folder; if only the socket is theirs, ours replaces it."""
    words = [sys.executable, "-c", LISTEN_AS, str(place), str(OTHER)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as impostor:
        try:
            assert impostor.stdout is not None
            assert impostor.stdout.readline() == b"ready\n"
            os.chown(place, OTHER, OTHER)
            if whose == "folder":
                os.chown(place.parent, OTHER, OTHER)
            why = "another user owns" if whose == "folder" else "others may connect"
            assert why in says(served)
            found = Path(elsewhere) if whose == "folder" else place.parent
            await_true(lambda: any(map(is_ours, found.rglob("*.sock"))), 60)
            assert (why in says(served, PUMPED)) == (whose == "folder")
        finally:
            impostor.kill()
            assert impostor.communicate()[0] == b""
            if whose == "folder":
                shutil.rmtree(place.parent)


def is_ours(path: Path) -> bool:
    return path.stat().st_uid == os.geteuid()


def test_a_shell_with_few_descriptors_connects(served: Lab) -> None:
    for options in ("", PUMPED):
        done = served.run("sh", "-c", f"ulimit -n 64; {SSH.replace('ssh', f'ssh {options}', 1)}")
        assert (done.returncode, done.stdout, done.stderr) == (0, b"here\n", b"")


def test_a_laptop_may_be_suspended(served: Lab) -> None:
    """All processes stand still for a while."""
    with contextlib.ExitStack() as opened:
        ends = [opened.enter_context(echoing(served, *options)) for options in ([], [PUMPED])]
        stopped = [*(ssh.pid for ssh in ends), *served.launchers(), *served.daemon_processes()]
        try:
            send(stopped, signal.SIGSTOP)
            time.sleep(3)  # longer than the launcher, a keeper or a daemon waits for anything
        finally:
            send(stopped, signal.SIGCONT)
        for ssh in ends:
            assert ssh.communicate(b"still here\n", 60)[0] == b"still here\n"
            assert ssh.returncode == 0
    await_true(lambda: says(served) == "", 60)


def send(pids: list[int], number: int) -> None:
    """Send a signal to those of the processes that have not ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def echoing(lab: Lab, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A connection that is up, and returns what it gets."""
    words = ("ssh", "-F", lab.config, *options, lab.host, "echo up; cat")
    with lab.popen(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ssh:
        assert ssh.stdout is not None
        assert ssh.stdout.readline() == b"up\n"
        yield ssh
