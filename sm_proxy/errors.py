"""The stable codes of all expected failures, and the tree of all exception classes.

    BaseException
      Hangup                      local/signals.py         ssh is gone, or told us to stop
    Exception
      SmProxyError                errors.py                an expected failure, with a code
        AgentTooOldError          routes/bastion_lookup.py  the bastion's agent cannot forward
        CopyError                 transfer/from_python.py  a copy that is not complete
        EnableSshError            sagemaker.py             ssh cannot be switched on in an SDK's job
        LimitError                jobs/logs.py             the log is longer than we read
        UnseenError               jobs/kinds/_calls.py     Describe is denied; the job may exist
      DisconnectedError           ssm/dial.py              the websocket is lost, or never opened
        UnreachableError          ssm/dial.py              the network prevents a connection
        RefusedError              ssm/transport.py         the service answers with an HTTP error
      FinalError                  ssm/api.py               a call failed; do not retry it
      LargeMessageRefusedError    ssm/outbox.py            the target accepts small messages only
      NobodyToAskError            local/prompt.py          no terminal, no askpass, or no answer
      ServiceError                aws/errors.py            AWS refused a call; the caller judges
      SessionEndedError           ssm/api.py               an SSM session did not end cleanly
      SkipCheck                   doctor/check.py          a check does not apply here
        DoubtfulCheck             doctor/check.py          a check that cannot tell
      _WouldAskError              aws/credentials.py       credentials need a code from the user
      OSError
        ChangedError              local/atomic_write.py    the file was saved since we read it
        PermissionError
          NotOursError            local/private_files.py   others could have written the file
        StrangerError             daemon/peers.py          another user may be at the other end
      ValueError
        HandshakeError            ssm/handshake.py         the agent's handshake makes no sense
        JsoncError                editors/jsonc.py         not JSON with comments
        MalformedMessageError     ssm/message.py           not an AgentMessage
        SmuxError                 ssm/smux.py              not smux version 1

Of these, only `SmProxyError` and `Hangup` may reach `error_handler.py`; any other class there is a
bug. The message of an expected failure tells what happened, why, and what to do next. Scripts rely
on its code; the words may change.
"""

from __future__ import annotations

from typing import Any, Literal

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
    "network-isolation",
    "serverless",
    "request-limit",
    "image-unreadable",
    "bucket-unreadable",
    "no-server",
    "route-unusable",
    "remote-debug-off",
    "no-stack",
    "stack-failed",
    "in-use",
    "build-failed",
    "copy-failed",
    "source-changed",
    "not-verified",
    "space-stopped",
    "remote-access-off",
    "space-busy",
    "space-not-ready",
]

EXIT_OK = 0
EXIT_EXPECTED = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class SmProxyError(Exception):
    """An expected failure: one line for the user, and exit status 1.

    Attributes:
        code: what happened, for scripts.
        message: what happened and why, for people.
        hint: what to do next; may be empty.
        mendable: whether another route may avoid it, where the code alone does not tell.
        passing: whether a long wait outlives it: the same call may succeed later.
        reported: whether its line has been printed.
        kept: whether it has been written to the state folder.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        hint: str = "",
        *,
        mendable: bool = False,
        passing: bool = False,
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.hint = hint
        self.mendable = mendable
        self.passing = passing or code in {"network", "throttled"}
        self.reported = False
        self.kept = False

    def __reduce__(self) -> tuple[Any, ...]:
        """For a pool of processes, which pickles what a worker raises."""
        return type(self), (self.code, self.message, self.hint), self.__dict__

    @property
    def line(self) -> str:
        """The last line on stderr: `sm-proxy: <code>: <what, why, next step>`."""
        return f"sm-proxy: {self.code}: {self.text}"

    @property
    def text(self) -> str:
        """Message and hint on one printable line; a long message is cut before the hint."""
        message = printable(self.message)
        if not self.hint:
            return message
        stop = "" if message.endswith((".", "?", "!", "\N{HORIZONTAL ELLIPSIS}")) else "."
        return f"{message}{stop} {printable(self.hint)}"


def printable(text: str, limit: int = 1500) -> str:
    """`text` on one line without control characters, at most `limit` characters.

    Job names, log lines and service messages come through here. People who run code in the job
    write some of them, and their escape sequences must not reach the user's terminal.
    """
    flat = " ".join(text.split())
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in flat)
    return clean if len(clean) <= limit else clean[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"
