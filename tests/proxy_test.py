from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy import error_handler, housekeeping, proxy, resolver
from sm_proxy.dialler import Dialler
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.host_keys import accept_new, known_hosts, trust_on_first_use
from sm_proxy.jobs.hostname import parse
from sm_proxy.local import paths, private_files, signals, stdio, threads
from sm_proxy.local.stdio import DirectStdio
from sm_proxy.resolver import Container
from sm_proxy.routes import direct, sessions, table
from sm_proxy.routes.sessions import Sessions
from sm_proxy.settings import Settings
from sm_proxy.ssm.api import Grant
from sm_proxy.state import connection_log
from sm_proxy.tunnel.greeting import Greeting
from sm_proxy.tunnel.host_key_check import HostKeyCheckedStream
from tests.fakes import HOST_KEY, container, space


class World:
    """Everything around `proxy.connect`: what it resolves to, its stream, and ssh's pipes."""

    def __init__(self) -> None:
        self.found: Container | BaseException = container()
        self.afresh: Container | None = None
        self.blocked: Callable[[], object] | None = None
        self.over = threading.Event()
        self.settings = Settings(ssh_dir="")
        self.dialled: list[tuple[str | None, int]] = []
        self.pinned_before_dialling = ""
        self.dial_fails: list[SmProxyError] = []
        self.closed = 0
        self.let_go = 0
        self.let_go_before_the_end = 0
        self.left = False
        self.rate = 0.0
        self.up, self.down = 3, 7
        self.through, self.session_id, self.resumes = "i-1", "s-1", 1
        self.opened = True
        self.done_after: list[str] = []
        self.probed: list[Container] = []
        self.pump_fails: BaseException | None = None
        self.silent: SmProxyError | None = None
        self.checked: HostKeyCheckedStream | None = None
        self.refuses: SmProxyError | None = None
        stdin, self.to_us = os.pipe()
        self.from_us, stdout = os.pipe()
        self.ends = DirectStdio(stdin, stdout)

    def resolve(self, *_: Any, fresh: bool = False, **__: Any) -> Container:
        if self.blocked is not None:
            threading.Timer(0.1, self.blocked).start()
            self.over.wait(60)
        if fresh and self.afresh is not None:
            return self.afresh
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found

    def dial(self, found: Container, settings: Settings, _: object) -> Any:
        self.dialled.append((found.address, found.port))
        path = known_hosts.path_of(settings, found.host)
        self.pinned_before_dialling = path.read_text()
        if self.dial_fails:
            raise self.dial_fails.pop(0)
        return self

    def pump(
        self,
        stream: HostKeyCheckedStream,
        ends: object,
        ungreeted: Any,
        _: object,
        on_bulk: Any,
        **_silence: object,
    ) -> Any:
        if self.rate:
            on_bulk(self.rate)
        behind: object = stream._stream
        assert (behind, ends) == (self, self.ends)
        self.silent, self.checked = ungreeted(Greeting()), stream
        return self

    def run(self) -> None:
        if self.pump_fails:
            raise self.pump_fails
        if self.checked is not None and self.refuses:
            self.checked.refusal = self.refuses

    def close(self) -> None:
        self.closed += 1
        self.let_go_before_the_end = self.let_go

    def note(self) -> None:
        self.let_go += 1

    def connect(self, port: int = 22, user: str | None = "root") -> int:
        return proxy.connect("sm-my-job", port, user, self.settings)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[World]:
    before = set(threading.enumerate())
    found = World()
    found.settings = Settings(ssh_dir=str(tmp_path / "ssh"))
    monkeypatch.setattr(stdio, "take_over", lambda: found.ends)
    monkeypatch.setattr(proxy, "Aws", lambda *_: SimpleNamespace(scope="here"))
    monkeypatch.setattr(resolver, "resolve", found.resolve)
    monkeypatch.setattr(table, "connect", found.dial)
    monkeypatch.setattr(proxy, "Pump", found.pump)
    monkeypatch.setattr(signals, "detach_stderr", found.note)
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())
    monkeypatch.setattr(housekeeping, "QUIET_S", 0.01)
    monkeypatch.setattr(housekeeping, "PATIENCE_S", 60)
    monkeypatch.setattr("sm_proxy.ssm.api.TERMINATE_DEADLINE_S", 60)
    monkeypatch.setattr(housekeeping, "run", lambda aws, _: found.done_after.append(aws.scope))
    monkeypatch.setattr(direct, "learn", lambda container, *_: found.probed.append(container))
    yield found
    found.over.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)  # it still writes to the folders of this test
    for descriptor in (found.to_us, found.from_us):
        if descriptor >= 0:
            os.close(descriptor)
    os.close(found.ends.stdin)
    found.ends.finish()


def refused(world: World, **options: Any) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        world.connect(**options)
    return caught.value


def test_the_host_key_is_pinned_before_dialling(world: World) -> None:
    assert world.connect() == 0
    assert world.pinned_before_dialling == f"* {HOST_KEY}\n"
    assert world.closed == 1
    assert world.done_after == ["here"]
    assert world.probed == [container()]


def test_a_marker_newer_than_the_cached_address_counts(world: World) -> None:
    world.found = container(host_keys=(), source="ip-addr", port=22, user=None, cached=True)
    assert refused(world).code == "host-key-unknown"
    world.afresh = container()
    assert world.connect() == 0
    assert world.dialled == [("10.0.1.5", 2222)]
    assert world.pinned_before_dialling == f"* {HOST_KEY}\n"


@pytest.mark.parametrize(("port", "dialled"), [(22, 2222), (2022, 2022), (2222, 2222)])
def test_22_stands_for_the_port_of_the_marker(world: World, port: int, dialled: int) -> None:
    world.connect(port)
    assert world.dialled == [("10.0.1.5", dialled)]
    assert world.silent is not None
    assert world.silent.code == "sshd-silent"
    assert f"10.0.1.5 port {dialled}: is sshd running?" in world.silent.line


def test_a_port_given_to_ssh_does_not_look_like_another_container(world: World) -> None:
    aws: Any = SimpleNamespace(scope="here")
    caller = Dialler(parse("sm-my-job", "sm-"), 2022, "root", world.settings, aws)
    found = caller.find()
    assert found.port == 2022
    assert caller._resolve_afresh().same_place(found)


@pytest.mark.parametrize(
    "code",
    ["connect-refused", "no-bastion", "remote-debug-off", "route-unusable", "space-stopped"],
)
def test_a_cached_container_that_no_route_serves_is_resolved_again(
    world: World, code: Code
) -> None:
    world.found = container(cached=True)
    world.afresh = container(port=2201, remote_debug=True)
    world.dial_fails = [SmProxyError(code, "away")]
    assert world.connect() == 0
    assert world.dialled == [("10.0.1.5", 2222), ("10.0.1.5", 2201)]


@pytest.mark.parametrize("code", ["remote-debug-off", "space-not-ready"])
def test_an_agent_that_may_be_starting_is_waited_for_if_the_job_still_runs(
    world: World, code: Code
) -> None:
    world.found, world.afresh = container(cached=True), container()
    world.dial_fails = [SmProxyError(code, "away")]
    assert world.connect() == 0
    assert len(world.dialled) == 2


def test_a_space_needs_no_opt_in(world: World) -> None:
    world.found = space(host="sm-my-job")
    assert world.connect(user="sagemaker-user") == 0
    assert world.pinned_before_dialling == ""
    accept_new.pin(world.found, HOST_KEY)
    assert world.connect(user="sagemaker-user") == 0
    assert world.pinned_before_dialling == f"* {HOST_KEY}\n"


def test_a_cached_space_without_a_key_is_not_looked_up_again(world: World) -> None:
    world.found, world.afresh = space(cached=True), space()
    aws: Any = SimpleNamespace(scope="here")
    assert Dialler(parse("sm-My-Space.space", "sm-"), 22, None, world.settings, aws).find().cached


def test_a_container_that_is_as_cached_is_not_dialled_again(world: World) -> None:
    world.found, world.afresh = container(cached=True), container()
    world.dial_fails = [SmProxyError("no-bastion", "away")]
    assert refused(world).code == "no-bastion"
    assert len(world.dialled) == 1


@pytest.mark.parametrize(("code", "cached"), [("no-bastion", False), ("access-denied", True)])
def test_another_failure_to_dial_is_final(world: World, code: Code, *, cached: bool) -> None:
    world.found, world.afresh = container(cached=cached), container(port=2201)
    world.dial_fails = [SmProxyError(code, "away")]
    assert refused(world).code == code
    assert len(world.dialled) == 1


def test_a_wrong_user_gets_the_right_command(world: World) -> None:
    error = refused(world, user="ubuntu")
    assert error.code == "wrong-user"
    assert error.hint == "Use: ssh root@sm-my-job"
    assert world.dialled == []


def test_without_a_user_no_user_is_refused(world: World) -> None:
    assert world.connect(user=None) == 0


def test_without_a_host_key_nothing_is_dialled(world: World) -> None:
    world.found = container(host_keys=())
    assert refused(world).code == "host-key-unknown"
    assert world.dialled == []


def test_an_error_of_the_resolver_is_raised(world: World) -> None:
    world.found = SmProxyError("job-ended", "over")
    assert refused(world) is world.found


@pytest.mark.parametrize(("code", "left"), [("job-ended", False), ("network", True)])
def test_the_host_keys_of_an_ended_job_are_removed(world: World, code: Code, *, left: bool) -> None:
    world.connect()
    pin = trust_on_first_use.pin_path(container(), "here")
    private_files.write_private(pin, HOST_KEY.encode())
    world.found = SmProxyError(code, "over")
    refused(world)
    assert known_hosts.path_of(world.settings, "sm-my-job").exists() == left
    assert pin.exists() == left


def test_a_failure_while_bytes_flow_closes_the_stream(world: World) -> None:
    world.pump_fails = SmProxyError("session-lost", "gone")
    assert refused(world).code == "session-lost"
    assert world.closed == 1


def test_a_bug_while_bytes_flow_closes_the_stream(world: World) -> None:
    world.pump_fails = KeyError("x")
    with pytest.raises(KeyError):
        world.connect()
    assert world.closed == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_while_resolving_exits_130(world: World, name: str) -> None:
    world.blocked = lambda: os.kill(os.getpid(), signal.Signals[name])
    assert world.connect() == 130
    assert (world.dialled, world.let_go) == ([], 1)


def test_ssh_leaving_while_resolving_exits_130(world: World) -> None:
    def leave() -> None:
        descriptor, world.from_us = world.from_us, -1
        os.close(descriptor)

    world.blocked = leave
    assert world.connect() == 130
    assert (world.dialled, world.let_go) == ([], 1)


@pytest.mark.parametrize("fails", [True, False])
def test_a_sighup_during_the_clean_up_is_ignored(world: World, *, fails: bool) -> None:
    if fails:
        world.found = SmProxyError("job-ended", "over")
        refused(world)
    else:
        world.connect()
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_connection_is_recorded_at_its_end(world: World) -> None:
    paths.state_dir().mkdir(parents=True)  # a session is noted there when it is opened
    world.connect(2022)
    (record,) = connection_log.recent("sm-my-job")
    assert (record.code, record.line, record.job, record.node) == ("ok", "", "my-job", "algo-1")
    assert (record.address, record.port) == ("10.0.1.5", 2022)
    assert (record.through, record.session, record.resumes) == ("i-1", "s-1", 1)
    assert (record.up, record.down) == (3, 7)


def test_a_failure_is_recorded_with_its_line(world: World) -> None:
    world.pump_fails = SmProxyError("session-lost", "gone", "Connect again.")
    refused(world)
    (failure,) = connection_log.recent("sm-my-job")
    assert failure.line == "sm-proxy: session-lost: gone. Connect again."
    assert (failure.session, failure.up, failure.down) == ("s-1", 3, 7)


def test_a_refused_host_key_is_the_failure_even_if_ssh_left_first(world: World) -> None:
    world.refuses = SmProxyError("host-key-changed", "another")
    assert refused(world) is world.refuses
    (failure,) = connection_log.recent("sm-my-job")
    assert failure.code == "host-key-changed"


def test_a_connection_that_ssh_gave_up_is_recorded(world: World) -> None:
    world.blocked = lambda: os.kill(os.getpid(), signal.SIGHUP)
    assert world.connect() == 130
    assert [record.code for record in connection_log.recent("sm-my-job")] == ["interrupted"]


def test_an_error_while_recording_is_ignored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ImportError("a new version was installed meanwhile")

    monkeypatch.setattr(connection_log, "append", broken)
    assert world.connect() == 0


class Granting:
    """An API that grants a session which no code holds."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def start(self) -> Grant:
        return Grant("s-1", "token", "wss://x")

    def resume(self, session_id: str) -> Grant | None:
        raise NotImplementedError

    def terminate(self, session_id: str) -> None:
        self.ended.append(session_id)

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        raise NotImplementedError


def test_a_hang_up_between_dialling_and_copying_leaves_no_session(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal arrives after the stream was returned, and before it is assigned."""
    api = Granting()

    def returned_too_late(*_: Any) -> Any:
        threads.run(sessions.SESSIONS.start, api, "here")
        raise signals.Hangup

    monkeypatch.setattr(table, "connect", returned_too_late)
    assert world.connect() == 130
    assert world.closed == 0
    assert api.ended == ["s-1"]


def test_stderr_is_closed_before_the_clean_up(world: World) -> None:
    world.connect()
    assert (world.closed, world.let_go_before_the_end) == (1, 1)


def test_the_last_line_is_printed_before_the_clean_up(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(world, "close", lambda: printed.append(capsys.readouterr().err))
    world.pump_fails = SmProxyError("session-lost", "gone", "Connect again.")
    refused(world)
    assert printed == ["sm-proxy: session-lost: gone. Connect again.\n"]
    world.pump_fails = KeyError("x")
    with pytest.raises(KeyError):
        world.connect()
    assert printed[1].startswith("sm-proxy: bug: KeyError, please report it with ")


HANGS = {
    "log": (connection_log, "append"),
    "housekeeping": (housekeeping, "run"),
    "sessions": (Sessions, "end_all"),
    "errors": (error_handler, "_write_record"),
}


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("what", [*HANGS, "close"])
def test_a_clean_up_step_that_hangs_does_not_keep_the_process(
    what: str, world: World, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    place, name = HANGS.get(what, (world, what))
    monkeypatch.setattr(place, name, lambda *_: world.over.wait(60))
    monkeypatch.setattr(proxy, "CLEAN_UP_S", 0.3)
    began = time.monotonic()
    if fails:
        world.pump_fails = SmProxyError("session-lost", "gone")
        assert refused(world) is world.pump_fails
    else:
        assert world.connect() == 0
    assert time.monotonic() - began < 20


HELPER = """
import os, sys, threading
from sm_proxy import cli, proxy
from sm_proxy.local import signals
from sm_proxy.state import connection_log

def append(*_):
    os.write(stdout, b"hanging\\n")
    threading.Event().wait()

stdout = os.dup(1)
connection_log.append = append
proxy.CLEAN_UP_S, signals.HURRY_S, proxy.LAST_LINE_S = {}, {}, {}
proxy._HELD_S = 0.1
sys.exit(cli.main(["connect", "no-name-of-ours"]))
"""


def helper(
    clean_up: float, hurry: float, last_line: float = 60, **options: Any
) -> subprocess.Popen[bytes]:
    """A `connect` process whose clean-up hangs; it uses the state folder of this test."""
    process = subprocess.Popen(
        [sys.executable, "-c", HELPER.format(clean_up, hurry, last_line)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **options,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"hanging\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_ends_a_clean_up_that_hangs(name: str) -> None:
    process = helper(600, 0.1, stderr=subprocess.PIPE)
    while process.poll() is None:
        process.send_signal(
            signal.Signals[name]
        )  # the first may come before the handler is installed
        time.sleep(0.05)
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.startswith(b"sm-proxy: bad-name: ")


def test_a_clean_up_that_hangs_does_not_hold_stderr() -> None:
    process = helper(600, 600, stderr=subprocess.PIPE)
    assert process.stderr is not None
    printed = process.stderr.read()  # to its end
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert printed.startswith(b"sm-proxy: bad-name: ")


def test_a_clean_up_that_hangs_ends_at_its_deadline() -> None:
    process = helper(0.1, 600, stderr=subprocess.PIPE)
    process.communicate(timeout=60)
    assert process.returncode == 1


def test_a_blocked_stderr_does_not_keep_the_process() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    try:
        helper(0.1, 0.1, last_line=0.1, stderr=writer).communicate(timeout=60)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(("session", "setting"), [("s-1", True), ("", True), ("s-1", False)])
def test_only_a_long_transfer_through_a_session_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch, session: str, *, setting: bool
) -> None:
    told: list[float] = []
    monkeypatch.setattr("sm_proxy.state.transfer_hint.show", told.append)
    world.rate, world.session_id = 7e5, session
    world.settings = replace(world.settings, transfer_hint=setting)
    before = set(threading.enumerate())
    world.connect()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert told == ([7e5] if session and setting else [])
