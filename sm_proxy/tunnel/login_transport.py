"""paramiko's transport for several attempts to log in on one connection.

paramiko asks for the login service before each attempt. OpenSSH and dropbear accept that; asyncssh,
which our own server in Python uses, then ends the connection. So only the first request is sent.
"""

from __future__ import annotations

from typing import Any


def make(paramiko: Any, connection: Any) -> Any:
    """A transport on a connected socket, not started yet."""
    granted = paramiko.Message()
    granted.add_string("ssh-userauth")

    class LoginTransport(paramiko.Transport):  # type: ignore[misc]
        _has_asked = False

        def _send_message(self, data: Any) -> None:
            if data.asbytes()[0] == paramiko.common.MSG_SERVICE_REQUEST:
                if self._has_asked:
                    accept = paramiko.Message(granted.asbytes())
                    self.auth_handler._parse_service_accept(accept)  # noqa: SLF001
                    return
                self._has_asked = True
            super()._send_message(data)

    return LoginTransport(connection)
