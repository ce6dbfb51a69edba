from __future__ import annotations

import socket
import threading

import pytest

from sm_proxy.tunnel import login_transport
from sm_proxy.tunnel.blocking_socket import import_paramiko


def test_the_login_service_is_asked_for_only_once_by_several_attempts() -> None:
    """asyncssh ends the connection at the second request."""
    paramiko = import_paramiko()
    requests: list[int] = []
    wrong, right = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()

    class Login(paramiko.ServerInterface):  # type: ignore[misc, name-defined]
        def get_allowed_auths(self, _: str) -> str:
            return "publickey"

        def check_auth_publickey(self, _: str, key: object) -> int:
            accepted = key == right
            found = paramiko.AUTH_SUCCESSFUL if accepted else paramiko.AUTH_FAILED
            return int(found)

    class Counting(paramiko.Transport):  # type: ignore[misc, name-defined]
        def _send_message(self, data: object) -> None:
            if bytes(data.asbytes())[0] == 6:  # type: ignore[attr-defined]  # SERVICE_ACCEPT
                requests.append(1)
            super()._send_message(data)

    near, far = socket.socketpair()
    server, client = Counting(far), login_transport.make(paramiko, near)
    try:
        server.add_server_key(paramiko.ECDSAKey.generate())
        server.start_server(server=Login(), event=threading.Event())
        client.start_client(timeout=60)
        with pytest.raises(paramiko.BadAuthenticationType):
            client.auth_none("root")
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_publickey("root", wrong)
        assert client.auth_publickey("root", right) == []
        assert client.is_authenticated()
        assert requests == [1]
    finally:
        client.close()
        server.close()
        near.close()
        far.close()
