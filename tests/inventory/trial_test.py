"""A container counts as reachable exactly if `connect` would reach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.host_keys import trust_on_first_use
from sm_proxy.inventory import trial
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target, parse
from sm_proxy.local import paths, private_files
from sm_proxy.routes import table as routes
from sm_proxy.settings import Settings
from sm_proxy.tunnel import blocking_socket
from tests.fakes import HOST_KEY, Clock, FakeAws, container
from tests.host_keys.trust_on_first_use_test import ServerStream
from tests.tunnel.fakes import SocketStream

ASKED = Settings(hosts={"sm-my-job": {"trust_first_use": True}})
BARE = container(host_keys=(), source="ip-addr", user=None, port=22)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[SocketStream]:
    """The streams that dialling returns; dialling more often fails the test."""
    streams: list[SocketStream] = []
    monkeypatch.setattr(routes, "connect", lambda *_: streams.pop(0))
    return streams


def tried(found: Container, settings: Settings | None = None) -> SmProxyError | None:
    try:
        trial.refuse_unless_answering(found, settings or Settings(), FakeAws())
    except SmProxyError as error:
        return error
    return None


def key_of(stream: ServerStream) -> str:
    return f"{stream.key.get_name()} {stream.key.get_base64()}"


def test_a_server_with_the_logs_key_passes(dialled: list[SocketStream]) -> None:
    stream = ServerStream()
    dialled.append(stream)
    assert tried(container(host_keys=(HOST_KEY, key_of(stream)))) is None
    assert stream.events[-1] == "close"


def test_a_server_with_another_key_is_refused(dialled: list[SocketStream]) -> None:
    stream = ServerStream()
    dialled.append(stream)
    error = tried(container(host_keys=(HOST_KEY,)))
    assert error is not None
    assert error.code == "host-key-changed"
    assert "sm-proxy doctor sm-my-job" in error.hint
    assert stream.events[-1] == "close"


def test_a_trial_itself_waits_for_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []

    def connect(_: Container, settings: Settings, __: object) -> SocketStream:
        waits.append(settings.wait)
        raise SmProxyError("remote-debug-off", "away", "fix")

    monkeypatch.setattr(routes, "connect", connect)
    assert tried(container()) is not None
    assert waits == [0]


def test_without_a_known_key_nothing_is_dialled(dialled: list[SocketStream]) -> None:
    error = tried(BARE)
    assert error is not None
    assert error.code == "host-key-unknown"


def test_a_trial_with_trust_on_first_use_pins_nothing(dialled: list[SocketStream]) -> None:
    dialled.append(ServerStream())
    assert tried(BARE, ASKED) is None
    assert not (paths.state_dir() / "first-use").exists()


def test_a_pinned_key_is_checked(dialled: list[SocketStream]) -> None:
    stream = ServerStream()
    pin = trust_on_first_use.pin_path(BARE, FakeAws().scope)
    private_files.write_private(pin, key_of(stream).encode())
    dialled += [stream, ServerStream()]
    assert tried(BARE) is None
    error = tried(BARE)
    assert error is not None
    assert error.code == "host-key-changed"


@pytest.mark.parametrize(
    ("greeting", "code"), [(b"", "sshd-silent"), (b"HTTP/1.1 400 Bad\r\n", "sshd-silent")]
)
@pytest.mark.parametrize("found", [container(), BARE], ids=["marker", "bare"])
def test_a_server_without_a_greeting_is_refused(
    greeting: bytes,
    code: str,
    found: Container,
    dialled: list[SocketStream],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocking_socket, "SILENCE_S", 0.2)
    stream = ServerStream(greeting)
    dialled.append(stream)
    error = tried(found, ASKED)
    assert error is not None
    assert error.code == code
    assert stream.events[-1] == "close"


def test_the_failure_of_the_stream_is_reported(dialled: list[SocketStream]) -> None:
    stream = SocketStream()
    stream.ended, stream.failure = True, SmProxyError("connect-refused", "no", "fix")
    dialled.append(stream)
    with stream.far:
        assert tried(container()) is stream.failure


def test_a_server_that_our_reader_does_not_understand_passes(dialled: list[SocketStream]) -> None:
    dialled.append(ServerStream(b"SSH-2.0-Other\r\nand no key exchange that we would know\r\n"))
    assert tried(container()) is None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(trial, "time", clock)
    return clock


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wait that each resolution was given, in seconds."""
    waits: list[float] = []

    def resolve(target: Target, *_: Any, wait: float, fresh: bool, on_status: Any) -> Container:
        del on_status
        assert fresh
        waits.append(wait)
        return container(host=target.host)

    monkeypatch.setattr(resolver, "resolve", resolve)
    return waits


def meets(monkeypatch: pytest.MonkeyPatch, *errors: SmProxyError | None) -> None:
    """The outcome of each trial; the last one repeats."""
    left = list(errors)

    def refuse(*_: object) -> None:
        if (error := left.pop(0) if len(left) > 1 else left[0]) is not None:
            raise error

    monkeypatch.setattr(trial, "refuse_unless_answering", refuse)


def waited(seconds: float, reported: Callable[[str], None] = lambda _: None) -> Container:
    return trial.wait_until_answering(
        parse("sm-x", "sm-"), Settings(), FakeAws(), seconds, reported
    )


REFUSED = SmProxyError("connect-refused", "nothing listens at 10.0.1.5 port 22", "fix")


def test_a_server_that_is_still_starting_is_waited_for(
    resolved: list[float], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = SmProxyError("remote-debug-off", "away", "fix")
    silent = SmProxyError("sshd-silent", "silent", "fix")
    meets(monkeypatch, REFUSED, REFUSED, silent, away, None)
    reported: list[str] = []
    assert waited(900, reported.append).host == "sm-x"
    assert reported == [
        f"{words}; waiting, it may still be starting"
        for words in ("nothing listens at 10.0.1.5 port 22", "silent", "away")
    ]
    assert resolved[0] == 900
    assert len(resolved) == 5
    assert resolved == sorted(resolved, reverse=True)


@pytest.mark.parametrize("seconds", [0, 5, 300])
def test_the_wait_for_a_server_ends(
    seconds: int, resolved: list[float], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    meets(monkeypatch, REFUSED)
    with pytest.raises(SmProxyError) as caught:
        waited(seconds)
    assert caught.value is REFUSED
    assert sum(clock.slept) == pytest.approx(seconds)
    assert resolved[0] == seconds


@pytest.mark.parametrize("code", ["host-key-unknown", "host-key-changed", "no-bastion"])
def test_a_failure_that_waiting_cannot_fix_ends_the_wait(
    code: Code, resolved: list[float], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    meets(monkeypatch, SmProxyError(code, "words", "fix"))
    with pytest.raises(SmProxyError, match="words"):
        waited(900)
    assert clock.slept == []
