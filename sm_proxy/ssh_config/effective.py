"""The options that ssh uses for a host name, according to `ssh -G`."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import paths

_DEADLINE_S: Final = 10
_BAD_OWNER: Final = re.compile(r"Bad owner or permissions on (.+)")


def all_options(host: str, ssh_config: Path | None = None) -> dict[str, list[str]]:
    """The values that `ssh -G` shows for a host, by lower-case keyword.

    Args:
        host: as the user would type it.
        ssh_config: the only file to read; the user's own `~/.ssh/config` means that one and the
            system's; None for the file in SM_PROXY_SSH_CONFIG, else OpenSSH's own choice.

    Raises:
        SmProxyError: `missing-dependency`, there is no ssh; `bad-permissions`, ssh refuses a file
            that others could have written; `config-malformed`, ssh refuses its config or hangs.
    """
    named = ssh_config or paths.named_ssh_config()
    own_choice = named is None or named == paths.default_ssh_config()
    words = ["ssh", *([] if own_choice else ["-F", str(named)]), "-G", host]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        raise SmProxyError(
            "config-malformed",
            f"ssh did not end within {_DEADLINE_S} s",
            f"Something in its config may hang, such as a Match exec. Try: {shlex.join(words)}",
        ) from None
    except OSError as error:
        raise SmProxyError(
            "missing-dependency",
            f"ssh cannot be started: {error.strerror or error}",
            "Install the OpenSSH client.",
        ) from None
    if done.returncode:
        raise _refused(done.stderr.decode(errors="replace"))
    options: dict[str, list[str]] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition(" ")
        options.setdefault(name.lower(), []).append(value)
    return options


def effective_options(host: str, ssh_config: Path | None = None) -> dict[str, str]:
    """As `all_options`, with the first value of each option."""
    return {name: values[0] for name, values in all_options(host, ssh_config).items()}


def _refused(complaint: str) -> SmProxyError:
    lines = [line for line in complaint.splitlines() if line.strip()]
    if found := next(filter(None, map(_BAD_OWNER.search, lines)), None):
        return _bad_owner(Path(found[1].strip()))
    shown = printable("; ".join(lines[:2])) or "it gives no reason"
    return SmProxyError(
        "config-malformed",
        f"ssh refuses its config: {shown}",
        "Correct or delete the line that it names.",
    )


def _bad_owner(path: Path) -> SmProxyError:
    """The error for a file that others may write or own, which ssh refuses (ssh_config(5))."""
    quoted = shlex.quote(str(path))
    why, fix = "others could have written it", f"chmod go-w {quoted}"
    if sys.platform == "win32":
        fix = f'icacls "{path}" /inheritance:r /grant:r %USERNAME%:F'
    else:
        with contextlib.suppress(OSError):
            found = path.stat()
            if found.st_uid not in {0, os.getuid()}:
                why = f"it belongs to another user (uid {found.st_uid})"
                fix = f"{'sudo ' if os.getuid() else ''}chown {os.getuid()} {quoted}"
                fix += f" && chmod go-w {quoted}" if found.st_mode & 0o022 else ""
    return SmProxyError(
        "bad-permissions", f"ssh does not start, for any host, because of {path}: {why}", fix
    )
