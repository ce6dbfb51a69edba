"""A daemon and its keepers as threads of one process, and connections that ask them for streams."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sm_proxy.aws.clients import Aws
from sm_proxy.daemon import kept
from sm_proxy.daemon.guest import Guest
from sm_proxy.daemon.inbox import Inbox
from sm_proxy.daemon.keeper import Keeper
from sm_proxy.daemon.keepers import Keepers
from sm_proxy.local import poll
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words
from sm_proxy.settings import Settings
from sm_proxy.tunnel.stream import Stream, wanted
from tests.daemon.fake_session import GREETING, Shares

LONG_S = 60.0
REQUEST = SessionRequest("i-1", "Document", {"host": ["10.0.1.5"], "portNumber": ["22"]}, "a job")


class Account(Aws):
    """The keys of the environment, for calls that are recorded here.

    It starts sessions s-1, s-2, ...
    """

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__(region="eu-west-1")
        self.calls: list[str] = []
        self._refusal = refusal

    def call(self, service: str, operation: str, **_: Any) -> dict[str, Any]:
        assert service == "ssm"
        self.calls.append(operation)
        if operation == "StartSession" and self._refusal is not None:
            raise self._refusal
        number = self.calls.count("StartSession")
        return {"SessionId": f"s-{number}", "TokenValue": "t", "StreamUrl": "wss://x"}


class KeptWorld:
    """Call `close` at the end: it fails if a keeper is still there."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self.aws = Account()
        self.inbox = Inbox()
        self.keepers = Keepers(self._start)
        self.threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []
        self._signals: list[socket.socket] = []
        self._over = threading.Event()
        self._daemon = threading.Thread(target=self._serve, daemon=True)
        self._daemon.start()

    def stream(self, **changes: Any) -> Stream | None:
        """What a connection gets."""
        given = {"aws": self.aws, "request": REQUEST, "words": Words(route="bastion"), **changes}
        source = given.get("source") or kept.source(self.inbox.sender.send)
        return source(
            given["aws"], given["request"], given["words"], given.get("settings", Settings())
        )

    def signal(self) -> None:
        """As SIGTERM to all keepers."""
        for end in self._signals:
            with contextlib.suppress(BrokenPipeError):  # it has ended
                end.send(b".")

    def stop_daemon(self) -> None:
        """As if its process had been killed."""
        self._over.set()
        self._daemon.join(LONG_S)
        self.inbox.close()
        self.keepers.close()

    def close(self) -> None:
        self.stop_daemon()
        self.inbox.sender.socket.close()
        self.signal()
        for thread in self.threads:
            thread.join(LONG_S)
            assert not thread.is_alive()
        for end in self._signals:
            end.close()
        assert not self.failures

    def _start(self, sockets: Sequence[socket.socket]) -> int:
        daemon, messages, data = (each.dup() for each in sockets)
        ours, wakeup = socket.socketpair()
        self._signals.append(ours)

        def work() -> None:
            keeping = Keeper(daemon, Guest(messages, data))
            try:
                while not keeping.is_over(time.monotonic()):
                    if poll.wait([wakeup.fileno()], [], [], 0).readable:
                        break
                    keeping.step(wakeup.fileno())
            except BaseException as error:  # noqa: BLE001 - shown at the end of the test
                self.failures.append(error)
            finally:
                keeping.end()
                wakeup.close()

        thread = threading.Thread(target=work, daemon=True)
        self.threads.append(thread)
        thread.start()
        return 1000 + len(self.threads)

    def _serve(self) -> None:
        while not self._over.is_set():
            inbox, keepers = self.inbox.fileno(), self.keepers.filenos()
            readable = poll.wait([inbox, *keepers], [], [], 0.05).readable
            for fileno in readable.intersection(keepers):
                self.keepers.heard(fileno)
            if inbox in readable and (found := self.inbox.receive()) is not None:
                self.keepers.assign(found[0]["question"], found[1])
                for each in found[1]:
                    each.close()


def drive(stream: Stream, until: Callable[[bytes], bool], within: float = LONG_S) -> bytes:
    """Read the stream until what has come is enough, or the stream has ended."""
    found = b""
    readable = False
    limit = time.monotonic() + within
    while not until(found):
        now = time.monotonic()
        assert now < limit, f"only {found!r} has come"
        stream.advance(now, readable=readable)
        found += stream.read()
        if stream.ended:
            break
        readers, writers = wanted(stream)
        due = min(limit, stream.deadline(now), now + 0.05 if until(found) else limit)
        readable = bool(poll.wait(readers, writers, [], due - now).readable)
    return found


def until_true(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def greeted(stream: Stream | None) -> Stream:
    assert stream is not None
    assert drive(stream, lambda found: len(found) >= len(GREETING)) == GREETING
    return stream


def echoed(stream: Stream, data: bytes) -> bytes:
    stream.write(data)
    return drive(stream, lambda found: len(found) >= len(data))


def starts(world: KeptWorld) -> int:
    return world.aws.calls.count("StartSession")
