"""The greeting of an SSH server, and what it means where there is none.

A server speaks first: a line that begins with `SSH-`, and before it any lines of its own (RFC 4253,
section 4.2). What stands there instead says why the server does not serve.
"""

from __future__ import annotations

from typing import Final

from sm_proxy.errors import SmProxyError

SILENCE_S: Final = 10.0
"""An SSH server greets first: a tunnel that is up and silent for so long has none behind it."""
_LINE_LIMIT: Final = 1 << 13
_LINES_LIMIT: Final = 1024
"""OpenSSH's client takes no longer lines, nor more of them (sshconnect.c, kex.c)."""
_SHOWN: Final = 160
_LOOK: Final = "Look at the job's log, and at what listens on that port."
_REASONS: Final = (
    (
        "Exceeded MaxStartups",
        "sshd at {where} has too many logins under way (its MaxStartups)",
        "Connect again in a moment; or raise MaxStartups in its sshd_config.",
    ),
    (
        "Not allowed at this time",
        "sshd at {where} punishes the bastion, which all users share, for failed logins",
        "Connect again in some minutes; or put PerSourcePenalties no into its sshd_config.",
    ),
    (
        "SSH-",
        "the server at {where} ended in the middle of its greeting: did sshd crash?",
        _LOOK,
    ),
    ("HTTP/", "a web server answers at {where}, not sshd: {said}", _LOOK),
)
"""What the text begins with, what that means, what to do."""


class Greeting:
    """Reads the beginning of what a server sends; nothing after the greeting is looked at.

    Attributes:
        given: whether the greeting is complete.
        impossible: whether what came is no beginning of SSH.
        ended: whether no more will come; its reader says so.
        version: the greeting, once it is complete.
        text: what came, or as much of it as a user wants to see.
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

    def failure(self, where: str) -> SmProxyError:
        """Why there is no greeting.

        Args:
            where: address and port, for people.
        """
        said = self.text.decode(errors="replace").strip()
        for start, reason, hint in _REASONS:
            if said.startswith(start):
                return _failure(reason.format(where=where, said=_quoted(said)), hint)
        if said:
            return _failure(f"what answers at {where} is not sshd: it says {_quoted(said)}", _LOOK)
        if self.ended:
            return _failure(
                f"the server at {where} hangs up without a greeting: it is at its MaxStartups, "
                "refuses the bastion (hosts.deny, PerSourcePenalties), or crashes",
                "Connect again in a moment; then look at the job's log and at its sshd's settings.",
            )
        return _failure(
            f"the tunnel is up, nothing answers at {where}: is sshd running?",
            "Look at the job's log, and let the bastion in through the job's security group.",
        )

    def _judge(self, line: bytes) -> None:
        too_much = len(line) > _LINE_LIMIT or self._lines > _LINES_LIMIT
        other = b"\0" in line or line.startswith(b"HTTP/")
        self.impossible = self.impossible or too_much or other


def _failure(message: str, hint: str) -> SmProxyError:
    return SmProxyError("sshd-silent", message, hint)


def _quoted(said: str) -> str:
    line = " ".join(said.split())
    return f'"{line[:_SHOWN]}"'
