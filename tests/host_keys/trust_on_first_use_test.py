"""Trust on first use: only with the opt-in, once, then pinned."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace

import paramiko
import pytest

from sm_proxy import cli, settings
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import trust_on_first_use
from sm_proxy.jobs.container import Container
from sm_proxy.local import paths
from sm_proxy.settings import Settings
from tests.fakes import HOST_KEY, container
from tests.tunnel.fakes import SocketStream

ASKED = Settings(hosts={"sm-my-job": {"trust_first_use": True}})
BARE = replace(container(), host_keys=())


class ServerStream(SocketStream):
    """A stream to a server in a thread; with `greeting` it is not an SSH server."""

    def __init__(self, greeting: bytes | None = None) -> None:
        super().__init__()
        self.key = paramiko.ECDSAKey.generate()
        self.far.settimeout(None)
        self._server = threading.Thread(target=self._serve, args=(greeting,), daemon=True)
        self._server.start()

    def _serve(self, greeting: bytes | None) -> None:
        # A client that only wants the key leaves during the handshake, or before it.
        with self.far, contextlib.suppress(EOFError, OSError, paramiko.SSHException):
            if greeting is not None:
                self.far.sendall(greeting)
                self.far.recv(1000)
                return
            transport = paramiko.Transport(self.far)
            transport.add_server_key(self.key)
            transport.start_server(server=paramiko.ServerInterface())
            transport.join(60)


def never(_: Container) -> SocketStream:
    raise AssertionError("nothing may be dialled")


def with_keys(settings: Settings, stream: SocketStream | None = None) -> Container:
    dial = never if stream is None else lambda _: stream
    return trust_on_first_use.with_host_keys(BARE, settings, "context", dial)


def test_nothing_is_dialled_without_the_opt_in() -> None:
    with pytest.raises(SmProxyError, match="no host key") as caught:
        with_keys(Settings(hosts={"sm-other": {"trust_first_use": True}}))
    assert caught.value.code == "host-key-unknown"
    assert "trust_first_use" in caught.value.hint


def test_the_first_key_is_read_and_pinned(capsys: pytest.CaptureFixture[str]) -> None:
    stream = ServerStream()
    found = with_keys(ASKED, stream)
    expected = f"{stream.key.get_name()} {stream.key.get_base64()}"
    assert found.host_keys == (expected,)
    assert stream.events.count("close") == 1
    assert "on first use" in capsys.readouterr().err
    assert with_keys(ASKED).host_keys == (expected,)


def test_a_pinned_key_needs_no_opt_in() -> None:
    stream = ServerStream()
    once = with_keys(Settings(trust_first_use=True), stream)
    assert once.host_keys[0].endswith(stream.key.get_base64())
    assert with_keys(Settings()) == once
    assert trust_on_first_use.pinned(BARE, Settings(), "context") == once.host_keys[0]
    with pytest.raises(SmProxyError, match="no host key"):
        trust_on_first_use.with_host_keys(
            replace(BARE, node="algo-2"), Settings(), "context", never
        )


@pytest.mark.parametrize("host", ["sm-my-job", "sm-my-job.algo-2", "sm-my-job.processing"])
def test_the_hint_shows_a_valid_opt_in(host: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        trust_on_first_use.with_host_keys(replace(BARE, host=host), Settings(), "context", never)
    (command,) = re.findall(r"`sm-proxy (.*?)`", caught.value.hint)
    assert cli.main(command.split()) == 0
    assert settings.load().trusts_first_use(host)
    assert not settings.load().trusts_first_use("sm-other")


def test_another_node_or_account_has_a_pin_of_its_own() -> None:
    with_keys(ASKED, ServerStream())
    other = replace(BARE, node="algo-2")
    for found, context in ((other, "context"), (BARE, "elsewhere")):
        with pytest.raises(AssertionError, match="dialled"):
            trust_on_first_use.with_host_keys(found, ASKED, context, never)


def test_a_damaged_pin_is_ignored() -> None:
    with_keys(ASKED, ServerStream())
    pin = next((paths.state_dir() / "first-use").iterdir())
    pin.write_text(HOST_KEY[:30])
    stream = ServerStream()
    assert with_keys(ASKED, stream).host_keys[0].endswith(stream.key.get_base64())


def test_a_server_without_ssh_is_an_error() -> None:
    stream = ServerStream(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(SmProxyError, match="a web server answers at") as caught:
        with_keys(ASKED, stream)
    assert caught.value.code == "sshd-silent"
    assert stream.events.count("close") == 1
    assert not (paths.state_dir() / "first-use").exists()


def test_a_silent_server_is_sshd_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_on_first_use, "_SCAN_S", 0.2)
    stream = ServerStream(b"")
    with pytest.raises(SmProxyError, match="no server showed a host key") as caught:
        with_keys(ASKED, stream)
    assert caught.value.code == "sshd-silent"
    assert stream.events == ["close"]


def test_a_server_that_hangs_up_ends_the_wait() -> None:
    stream = SocketStream()
    stream.ended = True
    with stream.far, pytest.raises(SmProxyError, match="without a greeting") as caught:
        with_keys(ASKED, stream)
    assert caught.value.code == "sshd-silent"


def test_a_failed_handshake_leaves_no_traceback() -> None:
    """paramiko's thread logs a traceback, and Python prints log records that have no handler."""
    program = (
        "import socket, threading\n"
        "from sm_proxy.errors import SmProxyError\n"
        "from sm_proxy.host_keys import trust_on_first_use\n"
        "from tests.fakes import container\n"
        "from tests.tunnel.fakes import SocketStream\n"
        "from sm_proxy.tunnel.blocking_socket import BlockingSocket\n"
        "stream = SocketStream()\n"
        "stream.far.sendall(b'SSH-2.0-x\\r\\n' + b'\\xff' * 64)\n"
        "try:\n"
        "    trust_on_first_use._read_greeting_and_key(BlockingSocket(stream), container())\n"
        "except SmProxyError as error:\n"
        "    print(error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert (done.stdout, done.stderr) == (b"host-key-unknown\n", b"")


def test_the_failure_of_the_stream_is_reported() -> None:
    stream = ServerStream(b"")
    stream.ended, stream.failure = True, SmProxyError("connect-refused", "no")
    with pytest.raises(SmProxyError) as caught:
        with_keys(ASKED, stream)
    assert caught.value.code == "connect-refused"
    assert stream.events.count("close") == 1


def test_using_a_pin_renews_its_age() -> None:
    """Otherwise the key of a job that is used every day would be removed."""
    with_keys(ASKED, ServerStream())
    pin = next((paths.state_dir() / "first-use").iterdir())
    os.utime(pin, (1, 1))
    with_keys(ASKED)
    trust_on_first_use.sweep()
    assert pin.exists()
    os.utime(pin, (1, 1))
    trust_on_first_use.sweep()
    assert not pin.exists()


def test_the_pin_of_an_ended_job_is_removed() -> None:
    with_keys(ASKED, ServerStream())
    pin = next((paths.state_dir() / "first-use").iterdir())
    trust_on_first_use.forget("elsewhere", BARE.job, BARE.node)
    assert pin.exists()
    trust_on_first_use.forget("context", BARE.job, BARE.node)
    assert not pin.exists()
