"""What can go wrong, as stable codes.

    SmProxyError    an expected failure: one line for the user, exit status 1

`Hangup` (see `local/signals.py`) is no error: ssh went away, and nobody reads what we would say.

Every expected failure says three things: what happened, why, and what to do next. The code is a
promise to scripts (`doctor`, CI, wrappers); the words are for people and may change.
"""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "bad-name",
    "job-not-found",
    "job-ambiguous",
    "job-ended",
    "job-failed",
    "no-vpc",
    "no-address",
    "address-refused",
    "no-bastion",
    "bastion-offline",
    "agent-too-old",
    "no-credentials",
    "expired-credentials",
    "access-denied",
    "throttled",
    "network",
    "sshd-silent",
    "connect-refused",
    "host-key-unknown",
    "host-key-changed",
    "wrong-user",
    "session-lost",
    "wait-timeout",
    "config-malformed",
    "config-read-only",
    "unsupported",
    "usage",
    "bug",
    "bad-setting",
    "missing-dependency",
    "aws-error",
    "output-failed",
    "login-refused",
    "file-edited",
    "bad-permissions",
    "no-identity",
    "no-keyring",
    "bad-passphrase",
    "key-refused",
    "busy",
]

EXIT_OK = 0
EXIT_EXPECTED = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class SmProxyError(Exception):
    """An expected failure: what happened and why, what to do next, and a stable code.

    Attributes:
        reported: whether its line has been shown already.
        kept: whether it stands in the state folder already.
    """

    def __init__(self, code: Code, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.hint = hint
        self.reported = False
        self.kept = False

    @property
    def line(self) -> str:
        """The last line on stderr: `sm-proxy: <code>: <what, why, next step>`."""
        return f"sm-proxy: {self.code}: {self.text}"

    @property
    def text(self) -> str:
        """Message and hint as one sentence or two, printable; a long message keeps its hint."""
        message = printable(self.message)
        if not self.hint:
            return message
        stop = "" if message.endswith((".", "?", "!", "\N{HORIZONTAL ELLIPSIS}")) else "."
        return f"{message}{stop} {printable(self.hint)}"


def printable(text: str, limit: int = 1500) -> str:
    """`text` on one line without control characters, at most `limit` characters.

    Job names, log lines and service messages end up here, and some of them are written by
    whoever runs code in the job: no escape sequence may reach the user's terminal.
    """
    flat = " ".join(text.split())
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat)
    return clean if len(clean) <= limit else clean[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
