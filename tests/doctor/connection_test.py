from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import paramiko
import pytest

from sm_proxy import public_key
from sm_proxy.doctor import connection
from sm_proxy.doctor.check import Context, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.tunnel.blocking_socket import BlockingSocket
from tests import fakes
from tests.doctor.helpers import failure

KEY = public_key.describe(fakes.HOST_KEY)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "state"))


def context(settings: Settings, *host_keys: str) -> Context:
    container = fakes.container(host_keys=host_keys)
    return Context(settings, "sm-my-job", fakes.FakeAws(), container=container)


def test_the_host_key_of_the_log_is_expected() -> None:
    assert connection.expected_key(context(Settings(), fakes.HOST_KEY)) == KEY


def test_without_a_logged_key_only_trust_on_first_use_passes() -> None:
    with pytest.raises(SmProxyError) as caught:
        connection.expected_key(context(Settings()))
    assert caught.value.code == "host-key-unknown"
    with pytest.raises(SkipCheck, match="first connection"):
        connection.expected_key(context(Settings(trust_first_use=True)))


def test_a_pinned_key_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    examined = context(Settings(trust_first_use=True))
    monkeypatch.setattr("sm_proxy.state.pinned_key.read", lambda _: fakes.HOST_KEY)
    assert connection.expected_key(examined) == f"{KEY}, pinned on first use"
    assert examined.container is not None
    assert examined.container.host_keys == (fakes.HOST_KEY,)


def test_session_checks_are_skipped_without_a_session() -> None:
    examined = context(Settings())
    examined.tunnel = cast("BlockingSocket", SimpleNamespace(close=lambda: None))
    for check in (connection.resumable, connection.ended):
        with pytest.raises(SkipCheck, match="this route has no session"):
            check(examined)


def test_a_server_is_asked_for_the_kind_of_key_that_the_log_names() -> None:
    """As ssh does, which asks for the kinds that its known_hosts has."""
    server, client = socket.socketpair()
    near = paramiko.Transport(server)
    rsa = paramiko.RSAKey.generate(2048)
    near.add_server_key(rsa)
    near.add_server_key(paramiko.ECDSAKey.generate())
    near.start_server(event=threading.Event(), server=paramiko.ServerInterface())
    examined = context(Settings(), f"ssh-rsa {rsa.get_base64()}")
    tunnel = SimpleNamespace(socket=client, close=client.close)
    examined.tunnel = cast(BlockingSocket, tunnel)
    try:
        assert connection.host_key(examined) == "ssh-rsa"
    finally:
        near.close()
        connection.close(examined)


@pytest.mark.parametrize(
    ("changes", "pinned", "words"),
    [
        ({}, False, ("expected from the log", "who can write the job's log")),
        ({}, True, ("pinned on first use", "if the container was replaced, delete /pin")),
        ({"kind": "hyperpod"}, True, ("pinned on first use", "node has been set up anew, delete")),
        (
            {"kind": "space", "host": "sm-a.space", "life": "2026-11-29"},
            True,
            ("first seen since its app started", "sm-proxy stop sm-a.space, then sm-proxy start"),
        ),
    ],
)
def test_another_host_key_comes_with_what_its_kind_allows(
    changes: dict[str, Any], pinned: bool, words: tuple[str, str]
) -> None:
    server, client = socket.socketpair()
    near = paramiko.Transport(server)
    near.add_server_key(paramiko.ECDSAKey.generate())
    near.start_server(event=threading.Event(), server=paramiko.ServerInterface())
    other = paramiko.ECDSAKey.generate()
    examined = context(Settings(), f"{other.get_name()} {other.get_base64()}")
    examined.container = replace(needed(examined.container, ""), **changes)
    examined.pinned = Path("/pin") if pinned else None
    examined.tunnel = cast(BlockingSocket, SimpleNamespace(socket=client, close=client.close))
    try:
        error = failure(connection.host_key, examined)
    finally:
        near.close()
        connection.close(examined)
    assert (error.code, words[0] in error.message) == ("host-key-changed", True)
    assert words[1] in error.hint


@pytest.mark.parametrize(("source", "env"), [("marker", True), ("ip-addr", False)])
def test_key_advice_names_the_environment_only_for_our_entrypoint(
    source: str, *, env: bool
) -> None:
    advice = fakes.container(source=source).key_advice
    assert ("keys show --env" in advice) is env
    assert "sm-proxy keys show" in advice


def test_an_agent_that_hangs_is_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh would wait for it forever."""
    answers = threading.Event()
    library = SimpleNamespace(Agent=answers.wait, SSHException=paramiko.SSHException)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setattr(connection, "_AGENT_S", 0.1)
    with pytest.raises(SmProxyError) as caught:
        connection._agent_keys(context(Settings()), library)
    answers.set()
    assert "the ssh-agent at /run/agent does not answer" in caught.value.message
