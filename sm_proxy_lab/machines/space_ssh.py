"""The ssh server in a Studio space: like AWS's own, it asks for no key and is not OpenSSH.

It serves connections that the agent hands to the gateway, and listens nowhere: without namespaces,
other users of this machine could log in. The banner, the user and a login without authentication
are known. The rest is assumed: exec, shell, pty, SFTP, and connections to the space's localhost.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - for names of hosts: the container's root has no such file
import io
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sm_proxy_lab.machines.space_files import SftpServer, SpaceFiles
from sm_proxy_lab.machines.space_program import Program, copy

_BANNER: Final = "SSH-2.0-Go"
_LOCALHOST: Final = {"localhost", "127.0.0.1", "::1"}
_DIAL_S: Final = 10.0


class SpaceServer:
    """The server of one app, with a host key of its own.

    Args:
        environment: of the programs that it starts; HOME is where they start.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._key = _new_key()
        # Else Python prints a traceback when a client goes after the greeting, as `wait` does.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())

    def connect(self) -> socket.socket:
        """Serve a new connection; return the client's end of it."""
        ours, theirs = socket.socketpair()
        transport = paramiko.Transport(ours)
        transport.local_version = _BANNER
        transport.daemon = True
        transport.add_server_key(self._key)
        home = self._environment["HOME"]
        transport.set_subsystem_handler("sftp", SftpServer, SpaceFiles, home)
        login = _Login(self._environment)
        # With an event, this returns before the client has said anything.
        transport.start_server(threading.Event(), login)
        _thread(login.relay, transport)
        return theirs


def _new_key() -> paramiko.PKey:
    """Make an Ed25519 key; paramiko can only load one."""
    form = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    text = Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, *form)
    return paramiko.Ed25519Key.from_private_key(io.StringIO(text.decode()))


class _Login(paramiko.ServerInterface):  # type: ignore[misc]
    """What a client may do. The base class refuses agent forwarding and `-R`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._programs: dict[int, Program] = {}
        self._targets: dict[int, socket.socket] = {}
        self._open: list[Any] = []  # paramiko drops a channel without a reference

    def relay(self, transport: paramiko.Transport) -> None:
        """Connect each new channel that has a target with it, until the connection ends."""
        while transport.is_active():
            # The end wakes it; but it may have come just before.
            channel = transport.accept(60)
            if channel is None:
                continue
            self._open = [*(one for one in self._open if not one.closed), channel]
            target = self._targets.pop(channel.chanid, None)
            if target is not None:
                _thread(_relay, channel, target)

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - paramiko's signature
        """Only the method without a secret."""
        return "none"

    def check_auth_none(self, username: str) -> Any:  # noqa: ARG002
        """Accept every login, under any name: Systems Manager has checked the caller."""
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> Any:  # noqa: ARG002
        """Open sessions only."""
        if kind == "session":
            return paramiko.OPEN_SUCCEEDED
        return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_direct_tcpip_request(
        self,
        chanid: int,
        origin: tuple[str, int],  # noqa: ARG002
        destination: tuple[str, int],
    ) -> Any:
        """Connect to a port of the container's own localhost."""
        if destination[0] not in _LOCALHOST:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            target = socket.create_connection(destination, _DIAL_S)
        except OSError:
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        target.settimeout(None)
        self._targets[chanid] = target  # `relay` gets the channel
        return paramiko.OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: Any, name: bytes, value: bytes) -> bool:
        """Set a variable for the channel's program."""
        self._program(channel).environment[name.decode()] = value.decode()
        return True

    def check_channel_pty_request(
        self, channel: Any, term: bytes, width: int, height: int, *_: Any
    ) -> bool:
        """Give the channel's program a terminal."""
        self._program(channel).environment["TERM"] = term.decode()
        self._program(channel).resize(height, width)
        return True

    def check_channel_window_change_request(
        self, channel: Any, width: int, height: int, *_: Any
    ) -> bool:
        """Change the size of the terminal."""
        self._program(channel).resize(height, width)
        return True

    def check_channel_shell_request(self, channel: Any) -> bool:
        """Start a login shell."""
        _thread(self._program(channel).run, channel, None)
        return True

    def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
        """Start a command."""
        _thread(self._program(channel).run, channel, command)
        return True

    def _program(self, channel: Any) -> Program:
        """The channel's program, which may not run yet. One thread makes all these requests."""
        return self._programs.setdefault(channel.chanid, Program(self._environment))


def _thread(work: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()


def _relay(channel: Any, target: socket.socket) -> None:
    """Copy both ways until both sides have said all."""

    def answer() -> None:
        copy(target.recv, channel.sendall, channel.shutdown_write)

    answers = threading.Thread(target=answer, daemon=True)
    answers.start()
    copy(channel.recv, target.sendall, lambda: target.shutdown(socket.SHUT_WR))
    answers.join()
    channel.close()
    target.close()
