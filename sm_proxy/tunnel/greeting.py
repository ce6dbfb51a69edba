"""The greeting of an SSH server, and the error if there is none.

A server sends the first line. It begins with `SSH-`; other lines may come before it (RFC 4253,
section 4.2). Text without such a line often tells why the server refuses the connection.
"""

from __future__ import annotations

from typing import Final

from sm_proxy.errors import SmProxyError

SILENCE_S: Final = 10.0
"""A tunnel that is up but silent for so long does not lead to an SSH server."""
_LINE_LIMIT: Final = 1 << 13
_LINES_LIMIT: Final = 1024
"""The limits of OpenSSH's client (sshconnect.c, kex.c)."""
_SHOWN: Final = 160
_LOOK: Final = "Look at the job's log, and check what listens on that port."
_REASONS: Final = (
    (
        "Exceeded MaxStartups",
        "sshd at {where} has too many unfinished logins (its MaxStartups)",
        "Connect again in a moment, or raise `MaxStartups` in its sshd_config.",
    ),
    (
        "Not allowed at this time",
        "sshd at {where} blocks {origin} after failed logins (all its users share its address)",
        "Connect again in some minutes, or set `PerSourcePenalties no` in its sshd_config.",
    ),
    (
        "SSH-",
        "the server at {where} closed the connection within its greeting; sshd may have crashed",
        _LOOK,
    ),
    ("HTTP/", "a web server answers at {where}, not sshd: {text}", _LOOK),
)
"""The beginning of the text, what it means, and what to do."""


class Greeting:
    """Reads the first bytes from a server, up to its greeting.

    Attributes:
        given: whether the greeting is complete.
        impossible: whether these bytes cannot come from an SSH server.
        ended: whether no more bytes will come; set by the caller.
        version: the greeting, once it is complete.
        text: the beginning of the bytes, to show to the user.
    """

    def __init__(self) -> None:
        self.given = False
        self.impossible = False
        self.ended = False
        self.version = ""
        self.text = b""
        self._line = b""
        self._lines = 0

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        if self.given or self.impossible:
            return
        self.text += data[: max(0, _LINE_LIMIT - len(self.text))]
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if line.startswith(b"SSH-"):
                self.given = True
                self.version = line.decode("ascii", "replace").rstrip("\r")
                return
            self._judge(line)
        self._lines += len(lines)
        self._judge(self._line)

    def failure(self, where: str, through: str = "", look: str = "") -> SmProxyError:
        """The error for a missing greeting.

        Args:
            where: address and port, for the message.
            through: what the bytes went through: see `Stream.through`.
            look: where the user finds out more; empty for the job's log.
        """
        origin = through.partition(" ")[2] or "this machine"
        text = self.text.decode(errors="replace").strip()
        for start, reason, hint in _REASONS:
            if text.startswith(start):
                advice = look if look and hint is _LOOK else hint
                return _failure(
                    reason.format(where=where, origin=origin, text=_quoted(text)), advice
                )
        if text:
            what = f"the server at {where} is not sshd: it sends {_quoted(text)}"
            return _failure(what, look or _LOOK)
        if self.ended:
            return _failure(
                f"the server at {where} closes the connection without a greeting: it has reached "
                f"MaxStartups, refuses {origin} (hosts.deny, PerSourcePenalties), or crashes",
                look
                or "Connect again in a moment; then look at the job's log and its sshd_config.",
            )
        return _failure(
            f"the tunnel is up, but nothing answers at {where}: is sshd running?",
            look or f"Look at the job's log, and whether its security group lets {origin} in.",
        )

    def _judge(self, line: bytes) -> None:
        too_much = len(line) > _LINE_LIMIT or self._lines > _LINES_LIMIT
        other = b"\0" in line or line.startswith(b"HTTP/")
        self.impossible = self.impossible or too_much or other


def _failure(message: str, hint: str) -> SmProxyError:
    return SmProxyError("sshd-silent", message, hint)


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f'"{line[:_SHOWN]}"'
