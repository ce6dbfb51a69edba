"""SM_PROXY_LOG=debug: each step with its time, redacted, on stderr and in the state folder.

Steps are named by us and carry only values chosen for it; still, whatever looks like a token, a
key or a signature is struck out before it is written. Nothing here costs when the log is off.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import output, paths, private_files

ENABLED: Final = os.environ.get("SM_PROXY_LOG", "").lower() == "debug"
LOG_LIMIT_BYTES: Final = 1 << 20

_SECRETS: Final = re.compile(
    r"(?P<url>(?i:wss?)://[^\s?]+)\?\S+"
    r"|(?P<key>\b(?:AKIA|ASIA)[A-Z0-9]{4})[A-Z0-9]+"
    # Behind a bare colon only what is too long for a word: "the credentials: The token ..."
    r"|(?P<name>(?i:token|secret|signature|password|credential)\w*"
    r"(?:[\"']?\s*=\s*|[\"']\s*:\s*|\s*:\s*(?=\S{16})))[^\s,}]+"
    r"|(?P<blob>\b[A-Za-z0-9+/_-]{12})[A-Za-z0-9+/=_-]{88,}"
)
_LETTERS_PER_SLASH: Final = 16
"""Base64 has a slash in 64 letters, a path one in ten: that is how a long path is told from it."""
_started = time.monotonic()


def write(name: str, **values: object) -> None:
    """Note that a step was reached, with values that are safe to show."""
    if not ENABLED:
        return
    shown = "".join(f" {key}={value}" for key, value in values.items())
    elapsed = (time.monotonic() - _started) * 1000
    line = f"{elapsed:9.1f} ms  {printable(redact(name + shown))}"
    output.write_to_stderr(line)
    _append(line)


def redact(text: str) -> str:
    """`text` without tokens, secrets, signatures and key material."""
    return _SECRETS.sub(_shortened, text)


def _shortened(match: re.Match[str]) -> str:
    if match["blob"] and match[0].count("/") * _LETTERS_PER_SLASH > len(match[0]):
        return match[0]
    kept = next((part for part in match.groups() if part), "")
    return f"{kept}[redacted]"


def _append(line: str) -> None:
    # A log that cannot be written, on a full disk for instance, is no reason to fail.
    with contextlib.suppress(OSError, SmProxyError):
        path = paths.state_dir() / "debug.log"
        stamped = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} [{os.getpid()}] {line}"
        if private_files.append_own(path, stamped.encode(errors="replace")) > LOG_LIMIT_BYTES:
            os.truncate(path, 0)
