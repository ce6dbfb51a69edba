"""A profile's credential_process: it ends when we end, and its output is checked.

botocore starts it and reads its output unchecked. Invalid output would make botocore fail in ways
that look like a bug.
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
from sm_proxy.local import output, secret_values, waits
from sm_proxy.local.threads import Background

_REPORTED_AFTER_S: Final = 3.0
_LIMIT_S: Final = 300.0
"""Some of these programs open a browser, in which a person must log in."""
_WAITING: Final = "waiting for the credential_process of the AWS profile"
BY_HAND: Final = "Run it by hand; its command is `credential_process` in ~/.aws/config."
"""The hint for a credential_process that fails."""
_LONG_WORD: Final = 16
_START_S: Final = 2.0
"""Seconds: if we end while the program starts, we wait this long for the start, to end it too."""


class CredentialProcess(subprocess.Popen[bytes]):
    """Replaces the `Popen` that botocore uses.

    A hanging program is ended with us, so that it does not outlive the ssh that waits for it.

    Raises:
        SmProxyError: `aws-error`, the profile names no program.
    """

    def __init__(self, words: list[str], **options: Any) -> None:
        if not words:
            raise SmProxyError(
                "aws-error",
                "the credential_process of the AWS profile is empty",
                "Name a program, or remove the line `credential_process` from ~/.aws/config.",
            )
        begin = super().__init__
        # In a thread: a signal during the start must not lose the process.
        starting = Background(lambda: begin(words, **options), begin=False)
        atexit.register(self._end, starting)
        starting.begin()
        starting.result()

    def _end(self, starting: Background[None]) -> None:
        starting.settled(_START_S)
        if getattr(self, "pid", None) is not None:
            self.terminate()

    def communicate(self, *words: Any, **options: Any) -> tuple[bytes, bytes]:
        """Its stdout and stderr.

        Raises:
            SmProxyError: `no-credentials`, it has failed or does not end; `aws-error` or
                `expired-credentials`, it has printed no valid credentials.
        """
        patience = threading.Timer(_REPORTED_AFTER_S, output.status, [_WAITING])
        patience.daemon = True
        patience.start()
        try:
            with waits.terminal_lent():  # some of these programs ask on it
                printed, stderr = super().communicate(*words, **{"timeout": _LIMIT_S, **options})
        except subprocess.TimeoutExpired:
            self.kill()
            raise _failed(f"did not end within {_LIMIT_S:.0f} s", b"") from None
        finally:
            patience.cancel()
        _note_secrets(printed)
        if self.returncode < 0:
            raise _failed(f"was ended by signal {-self.returncode}", stderr)
        if self.returncode:
            from sm_proxy.local import prompt  # noqa: PLC0415 - only after a failure

            prompt.leave_to_terminal()  # on which the program may have wanted to ask
            raise _failed(f"has failed with status {self.returncode}", stderr)
        _check_output(printed)
        return printed, stderr


def _failed(how: str, stderr: bytes) -> SmProxyError:
    words = stderr.decode("utf-8", "replace").strip()
    return SmProxyError(
        "no-credentials",
        f"the credential_process of the AWS profile {how}{': ' * bool(words)}{words}",
        BY_HAND,
    )


def _note_secrets(printed: bytes) -> None:
    """Note its secrets for redaction, before any text of it is shown."""
    try:
        secret_values.keep_fields(json.loads(printed))
    except (ValueError, RecursionError):
        # Broken JSON may hold a whole secret. Shorter words belong to an error message.
        secret_values.keep(*(word for word in printed.split() if len(word) >= _LONG_WORD))


def _check_output(printed: bytes) -> None:
    try:
        found = json.loads(printed)
    except (ValueError, RecursionError):
        raise _invalid("no JSON") from None
    if not isinstance(found, dict):
        raise _invalid("JSON that is not an object")
    for name in ("AccessKeyId", "SecretAccessKey"):
        if not (isinstance(found.get(name), str) and found[name]):
            raise _invalid(f"no {name}")
    if found.get("Version") != 1:
        raise _invalid(f"version {found.get('Version')!r} of the format; only version 1 exists")
    if not isinstance(found.get("SessionToken", ""), str | None):
        raise _invalid("a SessionToken that is not a string")
    if not isinstance(found.get("Expiration", ""), str | None):
        raise _invalid("an Expiration that is not a string")
    if found.get("Expiration") is not None:
        _refuse_expired(found["Expiration"])


def _refuse_expired(text: str) -> None:
    try:
        end: datetime = parse_timestamp(text)
    except (ValueError, OverflowError, OSError):
        raise _invalid("an Expiration that is not a time") from None
    if end.tzinfo is None:
        raise _invalid("an Expiration without a time zone")
    if end <= datetime.now(timezone.utc):
        raise SmProxyError(
            "expired-credentials",
            f"the credential_process of the AWS profile printed credentials that expired at {end}",
            "Log in with it again, as its own documentation says.",
        )


def _invalid(what: str) -> SmProxyError:
    return SmProxyError(
        "aws-error",
        f"the credential_process of the AWS profile has printed {what}",
        BY_HAND,
    )
