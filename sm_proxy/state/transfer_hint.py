"""One line about `sm-proxy cp`, in the first long transfer of a day."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import output, paths, private_files, sizes

_PREFIX: Final = "transfer-hint-"


def show(rate: float) -> None:
    """Print the line on stderr, unless one of this user's processes has done so today (UTC).

    Args:
        rate: what the transfer gets, in bytes a second.
    """
    if _is_first():
        output.status(
            f"this transfer gets {sizes.in_words(rate)}/s. `sm-proxy cp` copies over several "
            "sessions at once, and resumes after a break (SM_PROXY_TRANSFER_HINT=0 hides this hint)"
        )


def _is_first() -> bool:
    """Whether no process has told it today; False if the state folder cannot be written."""
    with contextlib.suppress(OSError, SmProxyError):
        folder = private_files.ensure_own_dir(paths.state_dir())
        today = folder / f"{_PREFIX}{time.strftime('%Y-%m-%d', time.gmtime())}"
        os.close(os.open(today, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        for old in folder.glob(f"{_PREFIX}*"):
            if old != today:
                old.unlink(missing_ok=True)
        return True
    return False
