"""A profile's credential_process: ended when we end, and believed only where it makes sense.

botocore starts it and reads what it prints. It takes anything for credentials, and falls over what
is none in ways that nobody can tell from a bug.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import threading
from datetime import datetime, timezone
from typing import Any, Final

from botocore.utils import parse_timestamp

from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, secret_values
from sm_proxy.local.threads import Background

_SAID_AFTER_S: Final = 3.0
_LIMIT_S: Final = 300.0
"""Some open a browser, and a person has to log in there."""
_WAITING: Final = "waiting for the credential_process of the AWS profile"
_LONG_WORD: Final = 16
_START_S: Final = 2.0
"""So long the system may take to start it, when we end meanwhile."""


class CredentialProcess(subprocess.Popen[bytes]):
    """In place of the `Popen` that botocore uses.

    One that hangs must not outlive the ssh that waited for it.

    Raises:
        SmProxyError: `aws-error`, the profile names no program.
    """

    def __init__(self, words: list[str], **options: Any) -> None:
        if not words:
            raise SmProxyError(
                "aws-error",
                "the credential_process of the AWS profile is empty",
                "Name a program there, or take the line away: `credential_process` in"
                " ~/.aws/config.",
            )
        begin = super().__init__
        # A signal that strikes while it is being started must not lose hold of it.
        starting = Background(lambda: begin(words, **options), begin=False)
        atexit.register(self._end, starting)
        starting.begin()
        starting.result()

    def _end(self, starting: Background[None]) -> None:
        starting.settled(_START_S)
        if getattr(self, "pid", None) is not None:
            self.terminate()

    def communicate(self, *words: Any, **options: Any) -> tuple[bytes, bytes]:
        """What it prints on stdout and stderr.

        Raises:
            SmProxyError: `no-credentials`, it has failed or does not end; `aws-error` or
                `expired-credentials`, it has printed none.
        """
        patience = threading.Timer(_SAID_AFTER_S, output.status, [_WAITING])
        patience.daemon = True
        patience.start()
        try:
            printed, complaints = super().communicate(*words, **{"timeout": _LIMIT_S, **options})
        except subprocess.TimeoutExpired:
            self.kill()
            raise _failed(f"has not ended within {_LIMIT_S:.0f} s", b"") from None
        finally:
            patience.cancel()
        _keep(printed)
        if self.returncode < 0:
            raise _failed(f"was ended by signal {-self.returncode}", complaints)
        if self.returncode:
            raise _failed(f"has failed with status {self.returncode}", complaints)
        _refuse_useless(printed)
        return printed, complaints


def _failed(how: str, complaints: bytes) -> SmProxyError:
    words = complaints.decode("utf-8", "replace").strip()
    return SmProxyError(
        "no-credentials",
        f"the credential_process of the AWS profile {how}{': ' * bool(words)}{words}",
        "Run it by hand: `credential_process` in ~/.aws/config.",
    )


def _keep(printed: bytes) -> None:
    """Remember its secrets, before anything is said of what it complained about."""
    try:
        secret_values.keep_fields(json.loads(printed))
    except (ValueError, RecursionError):
        # Half an answer may hold a whole secret; shorter words are those of a complaint.
        secret_values.keep(*(word for word in printed.split() if len(word) >= _LONG_WORD))


def _refuse_useless(printed: bytes) -> None:
    try:
        found = json.loads(printed)
    except (ValueError, RecursionError):
        raise _useless("no JSON") from None
    if not isinstance(found, dict):
        raise _useless("no JSON object")
    for name in ("AccessKeyId", "SecretAccessKey"):
        if not (isinstance(found.get(name), str) and found[name]):
            raise _useless(f"no {name}")
    if found.get("Version") != 1:
        raise _useless(f"version {found.get('Version')!r} of the format, where AWS has only 1")
    if not isinstance(found.get("SessionToken", ""), str | None):
        raise _useless("a SessionToken that is no text")
    if not isinstance(found.get("Expiration", ""), str | None):
        raise _useless("an Expiration that is no text")
    if found.get("Expiration") is not None:
        _refuse_expired(found["Expiration"])


def _refuse_expired(text: str) -> None:
    try:
        end: datetime = parse_timestamp(text)
    except (ValueError, OverflowError, OSError):
        raise _useless("an Expiration that is no time") from None
    if end.tzinfo is None:
        raise _useless("an Expiration without a time zone")
    if end <= datetime.now(timezone.utc):
        raise SmProxyError(
            "expired-credentials",
            f"the credential_process of the AWS profile gives credentials that ended at {end}",
            "Log in with it anew, as its own documentation says.",
        )


def _useless(what: str) -> SmProxyError:
    return SmProxyError(
        "aws-error",
        f"the credential_process of the AWS profile has printed {what}",
        "Run it by hand: `credential_process` in ~/.aws/config.",
    )
