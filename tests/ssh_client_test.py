"""A paramiko client from a user's own program: its host key, login, errors and end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

import sm_proxy
from sm_proxy import ssh_client
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import accept_new
from sm_proxy.identity import identities
from sm_proxy.resolver import Container
from sm_proxy.routes import sessions
from sm_proxy.settings import Settings
from tests import fakes
from tests.tunnel.forwarding_sshd import Below, ForwardingSshd
from tests.waits import await_true

KEY = paramiko.RSAKey.generate(2048)
LOGGED = f"ssh-rsa {KEY.get_base64()}"


class Sshd(ForwardingSshd):
    """Answers every command with its stdin."""

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        granted: int = paramiko.OPEN_SUCCEEDED
        return granted

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        def answer() -> None:
            while data := channel.recv(1 << 15):
                channel.sendall(data)
            channel.send_exit_status(len(command))
            channel.close()

        threading.Thread(target=answer, daemon=True).start()
        return True


class Place:
    """A container whose server is in this process, and a laptop that reaches it.

    Attributes:
        logged: the host keys that the job's log names.
        accepts: whether the server accepts a login.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logged = [LOGGED]
        self.accepts = True
        self.streams: list[Below] = []
        self.servers: list[Sshd] = []

    def dial(self, container: Container, *_: Any) -> Below:
        del container
        near, far = socket.socketpair()
        server = Sshd(far, key=KEY)
        server.transport.add_server_key(paramiko.ECDSAKey.generate())
        server.accepts = self.accepts
        self.servers.append(server)
        self.streams.append(Below(near, "a route"))
        return self.streams[-1]

    def open(self, **options: Any) -> ssh_client.Client:
        """What `sm_proxy.open` gives."""
        return sm_proxy.open("sm-my-job", probe=False, **options)

    def account(self, *_: Any, **__: Any) -> fakes.FakeAws:
        marker = fakes.marker_line(host_keys=self.logged)
        return fakes.working(GetLogEvents=fakes.events(marker))

    def failure(self, **options: Any) -> SmProxyError:
        with pytest.raises(SmProxyError) as caught:
            self.open(**options)
        assert all(stream.socket.fileno() < 0 for stream in self.streams)
        return caught.value


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind.lower()))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made = Place(Settings(ssh_dir=str(tmp_path / "ssh"), probe=False))
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))
    monkeypatch.setattr(ssh_client, "Aws", made.account)
    monkeypatch.setattr("sm_proxy.routes.table.connect", made.dial)
    monkeypatch.setattr("sm_proxy.host_keys.policy._PAUSES_S", (0.0, 0.01))
    yield made
    for server in made.servers:
        server.transport.close()


def echoed(client: paramiko.SSHClient, words: bytes) -> tuple[bytes, int]:
    stdin, out, _ = client.exec_command("12")
    stdin.write(words)
    stdin.channel.shutdown_write()
    return out.read(), out.channel.recv_exit_status()


def test_a_program_runs_commands_over_a_client(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    with place.open() as client:
        assert isinstance(client, paramiko.SSHClient)
        assert echoed(client, b"hello") == (b"hello", 2)
        assert client.container.job == fakes.JOB
        assert client.failure is None
    own = " ".join(identities.ensure(place.settings).public_key.split()[:2])
    assert place.servers[0].logins[-1] == ("root", own)
    assert place.streams[0].socket.fileno() < 0
    assert client.failure is None
    assert handlers == {number: signal.getsignal(number) for number in signal.valid_signals()}
    assert capfd.readouterr() == ("", "")


def test_a_space_asks_for_no_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    found = fakes.space()
    monkeypatch.setattr("sm_proxy.resolver.resolve", lambda *_, **__: found)
    with sm_proxy.open("sm-My-Space.space") as client:
        assert echoed(client, b"hello") == (b"hello", 2)
        (server,) = place.servers
        assert (server.transport.get_username(), server.logins) == ("sagemaker-user", [])
    assert not (place.settings.ssh_folder / "id_ed25519").exists()
    assert str(accept_new.pinned(found)).startswith("ecdsa")


def test_a_space_is_asked_for_a_key_of_the_pinned_type(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fakes.space()
    monkeypatch.setattr("sm_proxy.resolver.resolve", lambda *_, **__: found)
    accept_new.pin(found, LOGGED)
    with sm_proxy.open("sm-My-Space.space") as client:
        assert client.get_transport().get_remote_server_key() == KEY


def test_several_threads_open_and_use_clients(place: Place) -> None:
    found: list[tuple[bytes, int]] = []

    def work(number: int) -> None:
        with place.open() as client:
            found.append(echoed(client, b"%d" % number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [(b"%d" % number, 2) for number in range(4)]


def test_a_notebook_whose_loop_runs_opens_a_client(place: Place) -> None:
    async def cell() -> tuple[bytes, int]:
        with place.open() as client:
            return echoed(client, b"cell")

    assert asyncio.run(cell()) == (b"cell", 2)


def test_another_host_key_is_refused_and_nothing_is_printed(
    place: Place, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    place.logged = [fakes.HOST_KEY]
    caplog.set_level(logging.INFO, "sm_proxy")
    failure = place.failure()
    assert failure.code == "host-key-changed"
    assert fakes.JOB in failure.message
    assert place.servers[0].logins == []
    assert "may have restarted" in caplog.text  # the log is read again first
    assert capfd.readouterr() == ("", "")


def test_sessions_of_killed_programs_are_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(sessions, "end_orphans", lambda _: ended.set())
    with place.open():
        assert ended.wait(60)


@pytest.mark.parametrize(("user", "code"), [("ubuntu", "wrong-user"), (None, "login-refused")])
def test_failures_have_a_code(place: Place, user: str | None, code: str) -> None:
    place.accepts = False
    assert place.failure(user=user).code == code


def test_a_wrong_setting_has_a_code() -> None:
    for options in ({"rote": "direct"}, {"route": "none"}, {"wait": "soon"}, {"hosts": "x"}):
        with pytest.raises(sm_proxy.SmProxyError) as caught:
            sm_proxy.open("sm-my-job", **options)  # type: ignore[arg-type]
        assert caught.value.code == "bad-setting"


def test_a_lost_connection_has_a_reason(place: Place) -> None:
    with place.open() as client:
        place.streams[0].failure = SmProxyError("session-lost", "the bastion is gone")
        place.streams[0].cut = True
        await_true(lambda: not client.get_transport().is_active(), 60)
        assert client.failure is place.streams[0].failure
        with pytest.raises(paramiko.SSHException):
            client.exec_command("true")
    with place.open() as client:
        place.servers[1].transport.close()
        await_true(lambda: client.failure is not None, 60)
        assert client.failure is not None
        assert client.failure.code == "session-lost"


def test_a_dropped_client_ends_its_connection(place: Place) -> None:
    client = place.open()
    del client
    gc.collect()
    await_true(lambda: place.streams[0].socket.fileno() < 0, 60)


EXIT = """
from types import SimpleNamespace
from sm_proxy import ssh_client
from sm_proxy.ssm.api import terminate_within_bound
from sm_proxy.tunnel.blocking_socket import BlockingSocket
from tests.tunnel.fakes import SocketStream

class Session(SocketStream):
    def close(self):
        api = SimpleNamespace(terminate=lambda name: print("ended", name, flush=True))
        terminate_within_bound(api, "s-1")

ssh_client._tunnels.add(BlockingSocket(Session()))
"""


def test_a_session_is_ended_when_the_interpreter_exits() -> None:
    """From Python 3.12 on, no thread starts at that time."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[1],
    )
    assert (done.stdout, done.stderr, done.returncode) == ("ended s-1\n", "", 0)
