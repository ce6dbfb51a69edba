"""Connect to Studio spaces with a real ssh."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.public_key import describe
from tests.e2e.labs import Lab, code_of, last_line, running
from tests.e2e.spaces import Space, make_domain, make_space, own_space
from tests.fakes import HOST_KEY
from tests.soak import cases, only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e
NAME = "My-Space"
MOST = 10


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An account without jobs, with a space whose app runs; the user has no key."""
    with running(tmp_path_factory.mktemp("spaces"), "--empty", "--space", NAME) as made:
        for key in Path(made.config).parent.rglob("id_*"):
            key.unlink()
        yield made


@pytest.fixture
def space(lab: Lab) -> Space:
    return own_space(lab)


def pins(lab: Lab) -> list[Path]:
    """The files with keys of apps."""
    folder = lab.state / "app-keys"
    return list(folder.iterdir()) if folder.exists() else []


def called(lab: Lab, before: int) -> list[str]:
    """The operations since then, without those of the test itself."""
    return [call["operation"] for call in lab.calls()[before:]]


@contextlib.contextmanager
def connected(
    lab: Lab, host: str, *options: str, command: str = "echo up; exec cat", **others: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """An ssh that is connected, with a command that says so and then reads stdin."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = ("ssh", "-F", lab.config, *options, host, command)
    process = lab.popen(*words, **{**pipes, **others})
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n", process.stderr and process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_ssh_needs_no_key_and_a_second_one_makes_one_call(lab: Lab, space: Space) -> None:
    before = len(lab.calls())
    first = lab.ssh(space.host, "id -un; pwd")
    if lab.netns:
        assert first.stdout == b"sagemaker-user\n/home/sagemaker-user\n", first.stderr
    assert first.returncode == 0, first.stderr
    (pin,) = pins(lab)
    assert describe(pin.read_text()) in first.stderr.decode()
    lab.settle()
    assert called(lab, before) == ["ListSpaces", "DescribeSpace", "DescribeApp", "StartSession"]
    before = len(lab.calls())
    second = lab.ssh(space.host, "exit 3")
    assert (second.returncode, second.stdout, second.stderr) == (3, b"", b"")
    lab.settle()
    assert called(lab, before) == ["StartSession"]


def rsync(lab: Lab, space: Space, there: str, here: Path, back: Path) -> None:
    shell = f"ssh -F {lab.config}"
    for pair in ((str(here), f"{space.host}:{there}"), (f"{space.host}:{there}", str(back))):
        done = lab.run("rsync", "-e", shell, *pair)
        assert done.returncode == 0, done.stderr


def scp(lab: Lab, space: Space, there: str, here: Path, back: Path) -> None:
    for pair in ((str(here), f"{space.host}:{there}"), (f"{space.host}:{there}", str(back))):
        done = lab.run("scp", "-F", lab.config, *pair)
        assert done.returncode == 0, done.stderr


def sftp(lab: Lab, space: Space, there: str, here: Path, back: Path) -> None:
    batch = f"put {here} {there}\nget {there} {back}\n".encode()
    done = lab.run("sftp", "-F", lab.config, "-b", "-", space.host, stdin=batch)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("copy", cases([scp, sftp, rsync], [scp, sftp]))
def test_files_are_copied(
    lab: Lab, space: Space, tmp_path: Path, copy: Callable[[Lab, Space, str, Path, Path], None]
) -> None:
    if shutil.which(copy.__name__) is None:
        pytest.skip(f"there is no {copy.__name__}")
    here, back = tmp_path / "here", tmp_path / "back"
    here.write_bytes(os.urandom(200_000))
    copy(lab, space, f"copied-by-{copy.__name__}", here, back)
    assert back.read_bytes() == here.read_bytes()


@only_in_soak
def test_a_first_copy_takes_several_sessions(lab: Lab, space: Space, tmp_path: Path) -> None:
    """The first of them sees the host key before the others."""
    for pin in pins(lab):
        pin.unlink()
    for number in range(4):
        (tmp_path / f"{number}").write_bytes(os.urandom(16 << 20))
    done = lab.sm_proxy("cp", "-r", str(tmp_path), f"{space.host}:folder", "--json")
    assert done.returncode == 0, done.stderr
    assert 1 < json.loads(done.stdout)["data"]["sessions"] <= 4
    assert b"going on with" not in done.stderr
    names = f"{tmp_path}/0 {tmp_path}/3"
    here = lab.run("sh", "-c", f"cat {names} | sha256sum").stdout
    assert lab.ok(space.host, "cd folder && cat 0 3 | sha256sum") == here


ECHO = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
for _ in range(2):
    near, _ = listener.accept()
    near.sendall(near.recv(100).upper())
    near.close()
"""


def free_port(lab: Lab) -> int:
    """A port of loopback inside the lab that is free now."""
    program = "import socket\nanswer = socket.create_server(('127.0.0.1', 0)).getsockname()[1]"
    return int(lab.python(program))


def test_two_connections_of_an_editor_forward_ports(lab: Lab, space: Space) -> None:
    """VS Code: `ssh -T -D PORT HOST bash`, with a program on stdin, and a second one beside it."""
    proxy = free_port(lab)
    with connected(lab, space.host, "-T", "-D", str(proxy), command="echo up; exec bash") as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"python3 - <<'END'\n{ECHO}\nEND\n".encode())
        server.stdin.flush()
        port = int(server.stdout.readline())
        forward = free_port(lab)
        with connected(lab, space.host, "-L", f"{forward}:127.0.0.1:{port}"):
            said = lab.python(
                f"""
import socket
near = socket.create_connection(("127.0.0.1", {forward}), 30)
near.sendall(b"forwarded")
answer = [near.recv(100).decode()]
near = socket.create_connection(("127.0.0.1", {proxy}), 30)
near.sendall(b"\\x05\\x01\\x00")
assert near.recv(2) == b"\\x05\\x00"
near.sendall(b"\\x05\\x01\\x00\\x01\\x7f\\x00\\x00\\x01" + ({port}).to_bytes(2, "big"))
assert near.recv(10)[1] == 0
near.sendall(b"by socks")
answer.append(near.recv(100).decode())
"""
            )
    assert said == ["FORWARDED", "BY SOCKS"]


def test_an_app_that_started_again_has_a_new_key_and_registers_late(lab: Lab, space: Space) -> None:
    lab.ok(space.host, "true")
    (old,) = pins(lab)
    space.stop_app()
    stopped = lab.ssh(space.host, "true")
    assert code_of(stopped) == "space-stopped"
    assert f"sm-proxy start {space.host}" in last_line(stopped)
    with lab.faults(studio={"registration_ms": 10**9}):
        space.start_app()
        words = ("ssh", "-F", lab.config, space.host, "exit 5")
        with lab.popen(*words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as ssh:
            assert ssh.stderr is not None
            assert b"is not registered with Session Manager yet" in ssh.stderr.readline()
            lab.control("faults", studio={"registration_ms": 0})
            said = ssh.stderr.read()
    assert ssh.returncode == 5
    (new,) = pins(lab)
    assert new != old
    assert describe(new.read_text()) in said.decode()
    assert lab.ssh(space.host, "true").stderr == b""


def test_another_key_of_the_same_app_is_refused(lab: Lab, space: Space) -> None:
    lab.ok(space.host, "true")
    (pin,) = pins(lab)
    known = pin.read_bytes()
    pin.write_text(HOST_KEY)
    try:
        refused = lab.ssh(space.host, "true")
    finally:
        pin.write_bytes(known)
    assert (refused.returncode, code_of(refused)) == (255, "host-key-changed")
    assert describe(HOST_KEY) in last_line(refused)
    assert b"HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    lab.settle()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)  # though nobody may terminate it


def end_orphans(lab: Lab) -> int:
    """End the sessions whose client is gone, as their idle timeout would; return their number."""
    left = lab.sessions()
    for session in left:
        lab._gateway(op="close", session=session)
    return len(left)


def test_a_connection_that_was_cut_ends_and_says_that_none_is_resumed(
    lab: Lab, space: Space
) -> None:
    lab.ok(space.host, "true")
    lab.settle()
    for asked in (["ResumeSession"], []):
        before = len(lab.calls())
        with connected(lab, space.host) as ssh:
            assert lab.cut_clients() == 1
            _, said = ssh.communicate(timeout=60)
        ended = subprocess.CompletedProcess((), ssh.returncode, b"", said)
        assert (ended.returncode, code_of(ended)) == (255, "session-lost")
        assert "cannot be resumed" in last_line(ended)
        lab.settle()
        assert called(lab, before) == ["StartSession", *asked, "TerminateSession"]
        assert end_orphans(lab) == 1
    assert list((lab.state / "open-sessions").glob("*.json")) == []


def by_end_of_stdin(lab: Lab, host: str) -> None:
    with connected(lab, host) as ssh:
        ssh.communicate(timeout=60)
        assert ssh.returncode == 0


def by_interrupt(lab: Lab, host: str) -> None:
    """^C in a terminal: every process of the foreground gets it."""
    with connected(lab, host, start_new_session=True) as ssh:
        os.killpg(ssh.pid, signal.SIGINT)
        ssh.wait(60)


def by_hang_up(lab: Lab, host: str) -> None:
    """The window of the terminal is closed."""
    ours, theirs = pty.openpty()
    with connected(lab, host, start_new_session=True, stdin=theirs) as ssh:
        os.close(theirs)
        os.close(ours)
        os.killpg(ssh.pid, signal.SIGHUP)
        ssh.wait(60)


def by_kill(lab: Lab, host: str) -> None:
    with connected(lab, host) as ssh:
        ssh.kill()
        ssh.wait(60)


def by_early_kill(lab: Lab, host: str) -> None:
    """The session has been granted, and may not be open yet."""
    with lab.popen("ssh", "-F", lab.config, host, stdin=subprocess.DEVNULL) as ssh:
        await_true(lambda: bool(lab.sessions()), 60)
        ssh.kill()


ENDS = (by_end_of_stdin, by_interrupt, by_hang_up, by_kill, by_early_kill)


@pytest.mark.parametrize("end", cases(ENDS, [by_interrupt, by_early_kill]))
def test_however_ssh_ends_its_place_is_free_again(
    lab: Lab, space: Space, end: Callable[[Lab, str], None]
) -> None:
    before = len(lab.calls())
    end(lab, space.host)
    lab.settle()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    if end is not by_early_kill:  # without a channel, there is only that call
        assert "TerminateSession" not in called(lab, before)


def test_a_helper_that_was_killed_leaves_nothing_that_later_runs_repeat(
    lab: Lab, space: Space
) -> None:
    with connected(lab, space.host):
        for pid in lab.helpers():
            os.kill(pid, signal.SIGKILL)
    lab.settle()
    for tries in (1, 0):
        before = len(lab.calls())
        lab.ok(space.host, "true")
        await_true(lambda: not list((lab.state / "open-sessions").glob("*.json")), 60)
        lab.settle()
        assert called(lab, before).count("TerminateSession") == tries
    assert end_orphans(lab) == 1


@only_in_soak
def test_an_eleventh_connection_is_refused_until_others_end(lab: Lab, space: Space) -> None:
    for _ in range(2):  # all places are free again after the first time
        with contextlib.ExitStack() as open_now:
            for _ in range(MOST):
                open_now.enter_context(connected(lab, space.host))  # in the end, it is killed
            refused = lab.ssh(space.host, "true")
            assert code_of(refused) == "space-busy"
            assert "10" in last_line(refused)
        lab.settle()
        await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_spaces_of_two_domains_have_keys_of_their_own(lab: Lab, space: Space) -> None:
    other = make_space(lab, make_domain(lab, "other"), NAME, running=True)
    small = make_space(lab, space.domain, NAME.lower(), running=True)
    hosts = [space.full_host, other.full_host, small.full_host]
    for number, host in enumerate(hosts):
        assert lab.ok(host, f"echo {number} > here; echo $SAGEMAKER_SPACE_NAME").decode().strip()
    assert [lab.ok(host, "cat here") for host in hosts] == [b"0\n", b"1\n", b"2\n"]
    assert len({path.read_text() for path in pins(lab)}) == 3
    for made in (other, small):
        made.stop_app()


@only_in_soak
def test_the_daemon_keeps_no_session_to_a_space(lab: Lab, space: Space) -> None:
    with lab.with_daemon(SM_PROXY_KEEP_SESSION="1") as served:
        for _ in range(2):
            done = served.by_daemon(space.host, "true")
            assert done.returncode == 0, done.stderr
            served.settle()
            assert served.keepers() == []
            await_true(lambda: not lab.sessions(), 60, lab.sessions)
