"""`ProxyUseFdpass`: ssh waits without a timeout, works with the descriptor, and leaves nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sm_proxy_lab.machines import reap
from tests import terminals
from tests.e2e.labs import Job, Lab, last_line
from tests.e2e.roads import Road
from tests.soak import SOAK
from tests.waits import await_true

pytestmark = pytest.mark.e2e

FREE_PORT = (
    "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s: answer = s.getsockname()[1]"
)
OWN_MESSAGE = b"sm-proxy: "


@contextlib.contextmanager
def starting(lab: Lab) -> Iterator[tuple[Job, Callable[[], object]]]:
    """A job whose log has no marker, and what prints one: that of the lab's own container."""
    job = lab.launch("starting", "/bin/sh", "-c", "trap 'exit 0' TERM; echo up; sleep 600 & wait")
    marker = json.dumps(Job(lab, lab.job).marker())
    yield job, lambda: job.print(marker)


def count(lab: Lab, operation: str) -> int:
    return sum(call["operation"] == operation for call in lab.calls())


def awaits_job(process: subprocess.Popen[bytes]) -> bytes:
    """Read stderr up to the status line that tells that the helper waits for the job."""
    assert process.stderr is not None
    shown = b""
    while OWN_MESSAGE not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line
    return shown


def test_no_timeout_of_ssh_ends_the_wait_for_a_job(lab: Lab) -> None:
    """Nor that of VS Code, which starts ssh in the second of these ways."""
    timeout = 15 if SOAK else 2
    port = str(lab.python(FREE_PORT))
    before = count(lab, "StartSession")
    with starting(lab) as (job, begin):
        ways = [
            ["-oConnectTimeout=2", job.host, "echo out"],
            ["-v", "-T", "-D", port, f"-oConnectTimeout={timeout}", job.host, "bash"],
            ["-oConnectTimeout=2", "-oProxyUseFdpass=no", job.host, "true"],
        ]
        started = [
            lab.popen(
                *("ssh", "-F", lab.config, *words),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for words in ways
        ]  # fmt: skip
        plain, editor, pump = started
        assert editor.stdin is not None
        editor.stdin.write(b"echo script; exit 3\n")
        editor.stdin.flush()
        shown = [awaits_job(process) for process in (plain, editor)]
        _, err = pump.communicate(timeout=60)
        assert b"timed out during banner exchange" in err, err  # without the option
        time.sleep(2 * timeout)  # more than any of their timeouts
        begin()
        assert plain.communicate(timeout=60)[0] == b"out\n"
        assert editor.communicate(timeout=60)[0] == b"script\n"
        assert [process.returncode for process in started] == [0, 3, 255]
        assert all(b"-> Training" in text for text in shown), shown
    assert count(lab, "StartSession") - before == 2


@pytest.mark.parametrize(("level", "more"), [("QUIET", 0), ("INFO", 1)])
def test_after_a_failure_ssh_adds_a_line_at_most(lab: Lab, level: str, more: int) -> None:
    done = lab.ssh(f"-oLogLevel={level}", "sm-no-such-job", "true")
    first, *rest = done.stderr.decode().splitlines()
    assert first.startswith("sm-proxy: job-not-found: ")
    assert len(rest) == more, rest
    assert done.returncode == 255
    kept = (lab.state / "errors.jsonl").read_text().splitlines()[-1]
    assert json.loads(kept)["code"] == "job-not-found"


def kill(lab: Lab, process: subprocess.Popen[bytes], target: str) -> bool:
    """Kill ssh, or one of the helper's two processes; none of them may have started yet.

    Returns:
        Whether it was one of the helper's, so that ssh ends, too.
    """
    pids = reap.descendants(process.pid) or [process.pid]
    if target == "child":  # the one with the tunnel; after the hand-over ssh is not its parent
        pids = lab.helpers() or pids
    pid = {"ssh": process.pid, "helper": pids[0]}.get(target, pids[-1])
    is_helper = pid in lab.helpers()
    number = random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])  # noqa: S311
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        if number == signal.SIGSTOP:
            os.kill(pid, signal.SIGKILL)
    return is_helper


@pytest.mark.parametrize("target", ["ssh", "helper", "child"])
def test_nothing_is_left_after_a_kill_at_any_moment(lab: Lab, target: str) -> None:
    times = {"ssh": 4, "helper": 2, "child": 2}[target]
    for _ in range(times * (25 if SOAK else 1)):
        process = lab.popen(
            *("ssh", "-F", lab.config, lab.host, "echo connected; sleep 600"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            time.sleep(random.random() * (1.5 if SOAK else 0.8))  # noqa: S311 - any moment
            if kill(lab, process, target):
                assert process.stdout is not None
                # Just before its end, the helper has handed its connection over to ssh.
                handed_over = target == "helper" and process.stdout.readline() == b"connected\n"
                if not handed_over:
                    process.communicate(timeout=60)  # it has seen the end
        finally:
            process.kill()
            process.communicate(timeout=60)  # nobody else has its stderr open
    lab.settle()
    if target == "child":  # killed, it leaves its session to the next command
        lab.warm("list")
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_stopped_ssh_loses_no_byte_of_a_download(lab: Lab) -> None:
    size = 2 << 20
    command = f"seq 1 {size} | head -c {size}"
    expected = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout
    process = lab.popen(
        *("ssh", "-F", lab.config, "-oCompression=no", lab.host, command),
        stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert process.stdout is not None
    received = process.stdout.read(1000)
    process.send_signal(signal.SIGSTOP)
    time.sleep(60 if SOAK else 2)
    process.send_signal(signal.SIGCONT)
    received += process.communicate(timeout=120)[0]
    assert process.returncode == 0
    assert hashlib.sha256(received).digest() == hashlib.sha256(expected).digest()


def on_terminal(lab: Lab, *words: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start ssh in the foreground of a new terminal; return it and the terminal's other end."""
    near, far = pty.openpty()

    process = lab.popen(
        *("ssh", "-F", lab.config, *words),
        stdin=far, stdout=far, stderr=far, **terminals.controlling(far),
    )  # fmt: skip
    os.close(far)
    return process, near


def shows(near: int, wanted: bytes) -> bytes:
    """Read the terminal until it shows `wanted`, or to its end."""
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while not wanted or wanted not in shown:
            shown += os.read(near, 1000)
    assert wanted in shown, shown
    return shown


@pytest.mark.parametrize("how", ["^C", "closed"])
@pytest.mark.parametrize("while_", ["waiting", "connected"])
def test_the_terminal_ends_a_connection(lab: Lab, how: str, while_: str) -> None:
    with contextlib.ExitStack() as stack:
        if while_ == "waiting":
            job, _ = stack.enter_context(starting(lab))
            process, near = on_terminal(lab, job.host, "true")
            shows(near, OWN_MESSAGE)
        else:
            process, near = on_terminal(lab, "-T", lab.host, "echo ready; sleep 600")
            shows(near, b"ready")
        if how == "^C":
            os.write(near, b"\x03")
            assert OWN_MESSAGE not in shows(near, b"")
        os.close(near)
        process.wait(60)
        lab.settle()
        await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_shared_connection_and_a_forward_in_the_background_leave_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    shared = ["-S", str(tmp_path / "s"), lab.host]
    port = lab.python(FREE_PORT)
    options = ["-f", "-N", "-oControlMaster=yes"]  # with ControlPersist, our stderr is /dev/null
    forward = f"127.0.0.1:{port}:127.0.0.1:{Job(lab, lab.job).where()[1]}"
    assert lab.ok(*options, "-L", forward, *shared) == b""  # ends although the forward goes on
    before = count(lab, "StartSession")
    assert lab.ok(*shared, "echo again") == b"again\n"
    assert count(lab, "StartSession") == before
    through = f"import socket; print(socket.create_connection(('127.0.0.1', {port})).recv(4))"
    assert lab.run(sys.executable, "-c", through).stdout == b"b'SSH-'\n"
    assert len(lab.helpers()) == 1
    lab.ok("-O", "exit", *shared)


def test_a_container_can_be_the_jump_host(lab: Lab) -> None:
    """`-J` runs `ssh -W`, which gives its bytes to the ssh that goes on."""
    user, port = lab.environment["SM_PROXY_LAB_USER"], Job(lab, lab.job).where()[1]
    key = Path(lab.config).parent / "sm-proxy" / "id_ed25519"
    unchecked = ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-i", str(key)]
    onward = ["-p", str(port), f"{user}@127.0.0.1", "echo $SM_CURRENT_HOST"]
    done = lab.ssh("-J", lab.host, *unchecked, *onward)
    assert done.stdout == b"algo-1\n", last_line(done)


CLIENTS = """
import json, shlex, socket, subprocess, sys
import paramiko
command = json.loads(sys.argv[1])
MINE = b"SSH-2.0-mine\\r\\n"

def greeting(file):
    return file.readline().startswith(b"SSH-2.0-") and file.read(6)[5:] == b"\\x14"  # KEXINIT

def one_socket(early):
    ours, theirs = socket.socketpair()
    if early:
        ours.sendall(MINE)
    helper = subprocess.Popen(command, stdin=theirs, stdout=theirs)
    theirs.close()
    if not early:
        data, (number,), _, _ = socket.recv_fds(ours, 10, 1)
        assert (data, helper.wait()) == (b"\\0", 0)
        ours = socket.socket(fileno=number)
        ours.sendall(MINE)
    good = greeting(ours.makefile("rb"))
    ours.close()
    return good, helper.wait()

def two_sockets():
    (ours, stdin), (answers, stdout) = socket.socketpair(), socket.socketpair()
    helper = subprocess.Popen(command, stdin=stdin, stdout=stdout)
    ours.sendall(MINE)
    stdout.close()
    good = greeting(answers.makefile("rb"))
    ours.close(), answers.close(), stdin.close()
    return good, helper.wait()

def a_library():
    proxy = paramiko.ProxyCommand(shlex.join(command))
    transport = paramiko.Transport(proxy)
    transport.start_client(timeout=60)
    good = transport.get_remote_server_key().get_name() == "ssh-ed25519"
    proxy.process.stdin.close()
    transport.close()
    return good, 0

print(json.dumps([one_socket(False), one_socket(True), two_sockets(), a_library()]))
"""


def test_every_shape_of_client_gets_the_bytes(lab: Lab) -> None:
    """One that waits for a descriptor, and those that want bytes on their own."""
    (line,) = [
        line.split()[1:]
        for line in Path(lab.config)
        .with_name("sm-proxy")
        .joinpath("config")
        .read_text()
        .split("\n")
        if line.startswith("    ProxyCommand ")
    ]
    words = [{"%n": lab.host, "%p": "22"}.get(word, word) for word in line]
    words = [word.replace("%r", lab.environment["SM_PROXY_LAB_USER"]) for word in words]
    done = lab.run(sys.executable, "-c", CLIENTS, json.dumps(words))
    assert done.stderr == b""
    assert json.loads(done.stdout) == [[True, 0]] * 4


def test_inside_the_vpc_ssh_gets_the_connection_itself(lab: Lab) -> None:
    """No process of ours is left while ssh works, and the log tells what it can."""
    if not lab.netns:
        pytest.skip("needs namespaces")
    road = Road(lab.terminal("inside"), f"{lab.host}.2")
    road.start_over()
    process = road.popen(
        *("ssh", "-F", lab.config, road.host, "echo ready; read line; echo $line"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    lab.settle()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    assert process.communicate(b"hello\n", timeout=60) == (b"hello\n", b"")
    (record,) = road.records()
    known = {name: record[name] for name in ("through", "code", "up", "down")}
    assert known == {"through": "direct", "code": "ok", "up": -1, "down": -1}
