"""SM_PROXY_LOG=debug: each step with its time, redacted, on stderr and in the state folder.

A step has a fixed name and values that are safe to show. Even so, all text is redacted before it is
written. While the log is off, a step costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import output, paths, private_files
from sm_proxy.local.redaction import redact

LOG_LIMIT_BYTES: Final = 1 << 20

_began: Final = [time.monotonic()]


def restart() -> None:
    """Count the time of each step from now."""
    _began[:] = [time.monotonic()]


def write(name: str, **values: object) -> None:
    """Log a step, with values that are safe to show."""
    if os.environ.get("SM_PROXY_LOG", "").lower() != "debug":
        return
    shown = "".join(f" {key}={value}" for key, value in values.items())
    elapsed = (time.monotonic() - _began[0]) * 1000
    line = f"{elapsed:9.1f} ms  {printable(redact(name + shown))}"
    output.write_to_stderr(line)
    _append(line)


def _append(line: str) -> None:
    # Do not fail because the log cannot be written, for example on a full disk.
    with contextlib.suppress(OSError, SmProxyError):
        path = paths.state_dir() / "debug.log"
        stamped = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} [{os.getpid()}] {line}"
        if private_files.append_own(path, stamped.encode(errors="replace")) > LOG_LIMIT_BYTES:
            os.truncate(path, 0)
