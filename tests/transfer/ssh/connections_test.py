"""Several ssh from one process: real ssh and sshd, a stand-in for the dialler only."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local.threads import map_concurrently
from sm_proxy.routes import bastion_lookup, sessions
from sm_proxy.ssh_config import ssh_command
from sm_proxy.transfer.ssh import connections as connections_module
from sm_proxy.transfer.ssh import script as script_module
from sm_proxy.transfer.ssh import ssh_process
from sm_proxy.transfer.ssh.connections import Connections
from sm_proxy.tunnel.stream import Stream
from tests.fakes import space
from tests.transfer.sshds import HOST, Server, serve

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sshd serves a socket")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = serve(tmp_path / "server", monkeypatch)
    yield made
    left = made.open, _ssh_processes()
    made.end()
    assert left == (0, [])


def _ssh_processes() -> list[str]:
    """The ssh processes that this one has started."""
    words = ["ps", "-o", "pid=,comm=", "--ppid", str(os.getpid())]
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return [line for line in found.splitlines() if line.split()[1:] == ["ssh"]]


def subsystem(folder: Path, script: str) -> str:
    """A line of sshd_config with a program in the place of the SFTP server."""
    program = folder / "program"
    program.write_text(f"#!/bin/sh\n{script}\nexec cat >/dev/null\n")
    program.chmod(0o755)
    return f"Subsystem sftp {program}"


def refused(connections: Connections) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        connections.first()
    connections.close()
    return caught.value


def test_each_connection_has_a_session_which_ends_at_close(server: Server, tmp_path: Path) -> None:
    name = "\udcff\nname"
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / name).symlink_to(name)
    connections = server.connections()
    first = connections.first()
    assert connections.first() is first
    more = map_concurrently(lambda compress: connections.open(compress=compress), [True, False], 2)
    assert sorted(item.number for item in (first, *more)) == [1, 2, 3]
    assert [item.compressed for item in more] == [True, False]
    assert server.open == connections.most_at_once == 3
    for connection in (first, *more):
        assert connection.alive
        folder = str(tmp_path / "files")
        assert [item.filename for item in connection.sftp.listdir_attr(folder)] == [name]
        assert connection.sftp.readlink(f"{folder}/{name}") == name
        with pytest.raises(FileNotFoundError) as caught:
            connection.sftp.stat(f"{folder}/none")
        assert connection.failure(caught.value) is None
    more[0].close()
    assert not more[0].alive
    assert server.open == 2
    connections.close()
    assert not server.open
    assert connections.container.host == HOST
    with pytest.raises(SmProxyError, match="over"):
        connections.open()


def test_a_lost_connection_differs_from_a_file_error_and_is_replaced(server: Server) -> None:
    connections = server.connections()
    first = connections.first()
    server.cut()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - paramiko's
        first.sftp.stat("/")
    lost = first.failure(caught.value)
    assert lost is not None
    assert lost.code == "session-lost"
    assert not first.alive
    again = connections.first()
    assert again is not first
    assert again.sftp.normalize("/") == "/"
    connections.close()


def test_garbage_in_place_of_sftp_is_a_lost_connection(server: Server, tmp_path: Path) -> None:
    """A hostile server sends an answer of four gigabytes."""
    flood = r"printf '\000\000\000\005\002\000\000\000\003\377\377\377\377'"
    server.configure(subsystem(tmp_path, flood))
    connections = server.connections()
    first = connections.first()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - paramiko's
        first.sftp.stat("/")
    lost = first.failure(caught.value)
    assert lost is not None
    assert "broke the protocol" in lost.message
    assert not first.alive
    connections.close()


@pytest.mark.parametrize("kind", ["none", "missing", "talkative"])
def test_files_are_copied_by_a_shell_where_there_is_no_sftp(
    server: Server, tmp_path: Path, kind: str
) -> None:
    missing = "Subsystem sftp /none" if kind == "missing" else ""
    server.configure(subsystem(tmp_path, "echo hello") if kind == "talkative" else missing)
    (tmp_path / "file").write_text("hello")
    connections = server.connections(most=5)
    first = connections.first()
    assert not connections.speaks_sftp
    assert connections.most == 1
    assert first.sftp.stat(str(tmp_path / "file")).st_size == 5
    assert server.open == 1
    connections.close()


def test_a_login_that_is_refused_says_so(server: Server) -> None:
    (server.folder / "authorized_keys").write_text("")
    assert refused(server.connections()).code == "login-refused"


def test_a_host_key_that_is_not_in_known_hosts_gets_no_login(server: Server) -> None:
    """ssh itself checks it, as in any ssh to the host."""
    known = server.settings.known_hosts_folder / HOST
    other = (server.folder / "authorized_keys").read_text()  # it is of the same type
    known.write_text(f"* {other}")
    assert refused(server.connections()).code == "host-key-changed"
    assert known.read_text() == f"* {other}"


def test_the_reason_why_dialling_fails_is_the_error(server: Server) -> None:
    server.errors = [SmProxyError("no-bastion", "there is none", "Make one.")]
    error = refused(server.connections())
    assert (error.code, error.hint) == ("no-bastion", "Make one.")


def test_a_throttled_session_is_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_PAUSES_S", ((0, 0.01), (0, 0.01)))
    connections = server.connections()
    connections.first()
    server.errors = [SmProxyError("throttled", "slow down")] * 2
    assert connections.open().alive
    assert not server.errors
    connections.close()


def test_a_refused_session_is_reported_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_PAUSES_S", ((0, 0.01),))
    lines: list[str] = []
    connections = server.connections(on_status=lines.append)
    connections.first()
    codes: list[Code] = ["throttled", "throttled", "aws-error"]
    server.errors = [SmProxyError(code, "at the limit") for code in codes]
    for _ in range(2):
        with pytest.raises(SmProxyError, match="limit"):
            connections.open()
    assert lines == ["going on with 1 session: at the limit"]
    connections.close()


def test_another_container_under_the_same_name_is_refused(server: Server) -> None:
    connections = server.connections()
    connections.first()
    server.found = replace(server.found, address="10.0.1.6")
    with pytest.raises(SmProxyError) as caught:
        connections.open()
    assert caught.value.code == "source-changed"
    assert server.open == 1
    connections.close()


def test_a_script_may_be_long_and_answer_much(server: Server) -> None:
    connections = server.connections()
    connections.first()
    line = "printf '%s\\n' 'a \udcff name'\n"
    answer = connections.script(line * 20_000 + "exit 3", 60)
    assert answer.status == 3
    assert answer.output == "a \udcff name\n" * 20_000
    assert server.open == 1
    connections.close()


def test_a_script_takes_the_place_of_a_connection_where_there_is_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_PAUSES_S", ((0, 0.01), (0, 0.01)))
    connections = server.connections()
    first, second = connections.first(), connections.open()
    busy = SmProxyError("space-busy", "ten are open")
    server.errors = [busy, busy]
    assert connections.script("echo ok", 60).output == "ok\n"
    assert (first.alive, second.alive) == (True, False)
    server.errors = [busy] * 3
    with pytest.raises(SmProxyError, match="ten"):
        connections.script("echo ok", 60)
    assert first.alive
    assert not server.errors
    connections.close()


def test_a_script_that_hangs_or_floods_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_module, "OUTPUT_LIMIT", 1 << 20)
    connections = server.connections()
    connections.first()
    with pytest.raises(SmProxyError, match="did not answer within 1 s"):
        connections.script("exec sleep 600", 1)
    with pytest.raises(SmProxyError, match="printed more than"):
        connections.script("exec yes", 60)
    assert server.open == 1
    connections.close()


@pytest.mark.parametrize(
    ("instance_type", "asked", "most"),
    [("t4g.nano", None, 4), ("t4g.micro", None, 8), ("", None, 8), ("t4g.nano", 12, 12)],
)
def test_a_bastion_with_little_memory_gets_fewer_sessions(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    instance_type: str,
    asked: int | None,
    most: int,
) -> None:
    def known_type(_aws: object, vpc_id: str, target: str) -> str:
        assert (vpc_id, target) == ("vpc-1", "i-0abc")
        return instance_type

    monkeypatch.setattr(bastion_lookup, "known_type", known_type)
    connections = server.connections(most=asked)
    connections.container = server.found
    process: Any = SimpleNamespace(is_direct=False, through="bastion i-0abc")
    assert connections._most(process) == most


@pytest.mark.parametrize(("asked", "most"), [(None, 4), (9, 9)])
def test_a_copy_leaves_places_of_a_space_to_its_editors(
    server: Server, asked: int | None, most: int
) -> None:
    connections = server.connections(most=asked)
    connections.container = space()
    process: Any = SimpleNamespace(is_direct=False, through="space arn")
    assert connections._most(process) == most


def test_the_first_connection_ends_sessions_of_killed_copies(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(sessions, "end_orphans", lambda _: ended.set())
    connections = server.connections()
    connections.first()
    assert ended.wait(60)
    connections.close()


@pytest.mark.parametrize("step", ["dialling", "greeting"])
def test_an_interrupted_start_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """^C comes while the first connection is opened, in a thread that goes on for a moment."""
    reached, go_on = threading.Event(), threading.Event()

    def wrap(stream: Stream) -> Stream:
        reached.set()
        if step == "dialling":
            go_on.wait(30)
        return stream

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            reached.wait(30)
            raise KeyboardInterrupt

    server.wrap = wrap
    from sm_proxy.local import threads

    made: list[Any] = []

    class Background(threads.Background[Any]):
        def __init__(self, work: Callable[[], Any], **options: Any) -> None:
            super().__init__(work, **options)
            if not made:
                made.append(self)
                monkeypatch.setattr(self, "result", lambda: Interrupted().wait())

    monkeypatch.setattr(connections_module, "Background", Background)
    connections = server.connections()
    with pytest.raises(KeyboardInterrupt):
        connections.first()
    go_on.set()
    connections.close()
    assert made[0].done
    assert not server.open


def test_ssh_starts_our_proxy_command_where_no_descriptor_can_be_passed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows; sshd is in the place of `sm-proxy connect`."""
    monkeypatch.setattr(ssh_process, "PASSES_SOCKETS", False)
    command = ssh_command.ssh_command

    def with_sshd(*words: Any, **options: Any) -> list[str]:
        assert options["proxied"]
        proxy = f"ProxyCommand {' '.join(server.words())}"
        return command(*words, **{**options, "options": [proxy, *options["options"]]})

    monkeypatch.setattr(ssh_process, "ssh_command", with_sshd)
    connections = server.connections()
    first = connections.first()
    assert first.sftp.normalize("/") == "/"
    assert connections.script("cat <<END\n" + "x" * 200_000 + "\nEND\n", 60).output[:3] == "xxx"
    assert not server.opened
    connections.close()
