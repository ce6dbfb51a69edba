"""An SSH server at the end of a socket, which opens `direct-tcpip` channels."""

from __future__ import annotations

import socket
import threading
from typing import Any

from sm_proxy.tunnel.blocking_socket import import_paramiko
from sm_proxy.tunnel.socket_stream import SocketStream

paramiko = import_paramiko()


class Below(SocketStream):
    """The stream inside the tunnel: a session, for the test."""

    session_id = "s-1"

    def __init__(self, connected: socket.socket, through: str) -> None:
        super().__init__(connected, through)
        self.through = through
        self.cut = False

    @property
    def ended(self) -> bool:
        return self.cut or super().ended


class ForwardingSshd(paramiko.ServerInterface):  # type: ignore[name-defined,misc]
    """Accepts one client.

    Args:
        connected: the socket to the client.
        answer: to a request for a channel.
        key: its host key; None for a new one.

    Attributes:
        key: its host key.
        accepts: whether it accepts a login.
        logins: user and `"type base64"` of each login.
        asked: host and port of each channel that was asked for.
    """

    def __init__(
        self, connected: socket.socket, answer: int = paramiko.OPEN_SUCCEEDED, key: Any = None
    ) -> None:
        self.key = key or paramiko.ECDSAKey.generate()
        self.accepts = True
        self.logins: list[tuple[str, str]] = []
        self.asked: list[tuple[str, int]] = []
        self._answer = answer
        self.transport = paramiko.Transport(connected)
        self.transport.add_server_key(self.key)
        self.transport.start_server(threading.Event(), self)

    @property
    def public_key(self) -> str:
        """Its host key as `"type base64"`."""
        return f"{self.key.get_name()} {self.key.get_base64()}"

    def channel(self) -> Any:
        """The next channel: the container's end."""
        opened = self.transport.accept(60)
        assert opened is not None
        opened.settimeout(60)
        return opened

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - of paramiko
        return "publickey"

    def check_auth_publickey(self, username: str, key: Any) -> int:
        self.logins.append((username, f"{key.get_name()} {key.get_base64()}"))
        verdict: int = paramiko.AUTH_SUCCESSFUL if self.accepts else paramiko.AUTH_FAILED
        return verdict

    def check_auth_none(self, username: str) -> int:  # noqa: ARG002 - of paramiko
        verdict: int = paramiko.AUTH_SUCCESSFUL
        return verdict

    def check_channel_direct_tcpip_request(
        self, _chanid: int, _origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self.asked.append(destination)
        return self._answer
