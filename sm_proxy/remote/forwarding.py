"""Local ports that lead to ports of a container, for as long as its job runs.

One SSH connection carries all of them. When it is lost, the local ports stay: what was under way is
reset, and new connections wait for a bounded time until there is an SSH connection again.

paramiko carries 70 MB/s here where `ssh -L` carries 155 MB/s (the lab, route `direct`, one
connection); a session of Session Manager carries less than 1. In return it works the same on
Windows, knows why it was lost, and tells which port nothing listens on.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from sm_proxy.errors import SmProxyError
from sm_proxy.local import poll
from sm_proxy.local.threads import Background
from sm_proxy.remote.relay import Relay

WAIT_S: Final = 30.0
"""How long a new connection waits for a lost SSH connection to come back."""
_PAUSES_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Before each attempt to connect again; the last one repeats."""
_PASSING: Final = frozenset(
    {
        *("bastion-offline", "busy", "connect-refused", "expired-credentials", "network"),
        *("no-address", "session-lost", "sshd-silent", "throttled", "wait-timeout"),
    }
)
"""Errors that a later attempt may not meet."""
_PULSE_S: Final = 30.0
"""How often to ask the server whether it is there: `ServerAliveInterval` of our Host block."""
_PULSES: Final = 4
"""After how many of these times without an answer it is lost: `ServerAliveCountMax`."""
_TICK_S: Final = 0.5
_SHORT_S: Final = 0.1
_OPEN_S: Final = 30.0
_END_S: Final = 5.0
_AGAIN_S: Final = 60.0
"""How often to report that a port cannot be reached."""
_LOCALHOST: Final = ("localhost", "127.0.0.1", "::1")
"""The names to try in the container, whose `localhost` may lack one of the two addresses."""
_REFUSED: Final = 2
"""SSH_OPEN_CONNECT_FAILED (RFC 4254, section 5.1)."""


class Client(Protocol):
    """An SSH connection: `ssh_client.Client`."""

    @property
    def failure(self) -> SmProxyError | None:
        """Why it is lost."""

    def get_transport(self) -> Any:
        """The transport of paramiko."""

    def close(self) -> None:
        """End it."""


class Forwarding:
    """Serves local connections over an SSH connection, which it makes again when it is lost.

    Args:
        listeners: the port of the container for each listening socket; they are closed at the end.
        connect: makes an SSH connection; it raises SmProxyError.
        on_status: takes lines for the user.
    """

    def __init__(
        self,
        listeners: Mapping[socket.socket, int],
        connect: Callable[[], Client],
        on_status: Callable[[str], None],
    ) -> None:
        self._listeners = listeners
        self._connect = connect
        self._on_status = on_status
        self._changed = threading.Condition()
        self._transport: Any = None
        self._told: dict[int, float] = {}
        self._wake, self._woken = socket.socketpair()

    def run(self, when_up: Callable[[], None]) -> None:
        """Serve until the SSH connection is lost for good, or until this is interrupted.

        Args:
            when_up: called once the first SSH connection is up.

        Raises:
            SmProxyError: why there is no SSH connection (any more).
        """
        client: Client | None = None
        accepting = Background(self._accept, begin=False)
        try:
            client = self._connect()
            self._use(client.get_transport())
            accepting.begin()
            when_up()
            while True:
                self._watch(client.get_transport())
                client = self._connected_again(client)
                self._use(client.get_transport())
        finally:
            self._use(None)
            self._wake.close()
            if client is not None:
                client.close()
            accepting.settled(_END_S)  # else it would wait for descriptors that are others' by then
            for end in (self._woken, *self._listeners):
                end.close()

    def _use(self, transport: Any) -> None:
        with self._changed:
            self._transport = transport
            self._changed.notify_all()

    def _watch(self, transport: Any) -> None:
        """Return once the connection is lost, or its server does not answer for two minutes."""
        due, asked, silent = time.monotonic() + _PULSE_S, None, 0
        while transport.is_active():
            transport.join(_TICK_S)
            if time.monotonic() < due:
                continue
            silent = silent + 1 if asked is not None and not asked.done else 0
            if silent + 1 >= _PULSES:  # one time passed before it was asked
                return
            if not silent:
                asked = Background(lambda: transport.global_request("keepalive@openssh.com"))
            due = time.monotonic() + _PULSE_S

    def _connected_again(self, lost: Client) -> Client:
        failure = lost.failure or SmProxyError("session-lost", "its server does not answer")
        self._use(None)
        lost.close()
        self._on_status(f"the connection is lost ({failure.message}): connecting again")
        pauses = itertools.chain(_PAUSES_S, itertools.repeat(_PAUSES_S[-1]))
        while True:
            time.sleep(next(pauses))
            try:
                client = self._connect()
            except SmProxyError as error:
                if not (error.passing or error.code in _PASSING):
                    raise
                if error.message != failure.message:
                    failure = error
                    self._on_status(f"{error.code}: {error.text}; trying again")
            else:
                self._on_status("connected again")
                return client

    def _accept(self) -> None:
        """Take local connections, until `_wake` is closed."""
        by_descriptor = {listener.fileno(): listener for listener in self._listeners}
        woken = self._woken.fileno()
        while True:
            ready = poll.wait([*by_descriptor, woken], [], [], float("inf")).readable
            if woken in ready:
                return
            for listener in map(by_descriptor.__getitem__, ready):
                self._begin(listener)

    def _begin(self, listener: socket.socket) -> None:
        port = self._listeners[listener]
        try:
            near, peer = listener.accept()
        except OSError:  # it has left already, or this process has no descriptor left
            time.sleep(_SHORT_S)
            return
        try:
            near.setblocking(True)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Background(lambda: self._serve(near, peer, port))
        except (OSError, RuntimeError):  # macOS: it has left; or the system starts no more threads
            near.close()

    def _serve(self, near: socket.socket, peer: tuple[str, int], port: int) -> None:
        with near:
            channel = self._channel(peer, port)
            if channel is not None:
                Relay(near, channel).run()

    def _channel(self, peer: tuple[str, int], port: int) -> Any | None:
        """A channel to the port; None if there is none in time."""
        import paramiko  # noqa: PLC0415 - `connect` has imported it, and silenced it

        until = time.monotonic() + WAIT_S
        names = iter(_LOCALHOST)
        name = next(names)
        while (transport := self._usable(until)) is not None:
            try:
                return transport.open_channel("direct-tcpip", (name, port), peer, timeout=_OPEN_S)
            except paramiko.ChannelException as error:  # noqa: PERF203 - a few rounds
                name = next(names, "")
                if error.code != _REFUSED or not name:
                    refused = error.code == _REFUSED
                    why = "nothing listens on" if refused else "its server forbids connections to"
                    self._report(port, f"{why} port {port} in the container")
                    return None
            except (paramiko.SSHException, EOFError, OSError):
                if transport.is_active():
                    self._report(port, f"no answer from the container for port {port}")
                time.sleep(_SHORT_S)  # lost, or it is just about to be
        return None

    def _usable(self, until: float) -> Any | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._transport is not None and self._transport.is_active(),
                max(0.0, until - time.monotonic()),
            )
            return self._transport if time.monotonic() < until else None

    def _report(self, port: int, line: str) -> None:
        """Give the user a line about a port, unless there was one in the last minute."""
        now = time.monotonic()
        with self._changed:
            if now < self._told.get(port, 0.0):
                return
            self._told[port] = now + _AGAIN_S
        self._on_status(line)
