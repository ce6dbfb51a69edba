"""What the user's own ssh makes of a host name, as `ssh -G` tells."""

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
    """Every value that `ssh -G` shows for a host, by lower-case name.

    Args:
        host: as the user would type it.
        ssh_config: read instead of the user's and the system's; the user's own file means both;
            None for the one that SM_PROXY_SSH_CONFIG names, else OpenSSH's own choice.

    Raises:
        SmProxyError: `missing-dependency`, there is no ssh; `bad-permissions`, it reads no file
            that others could have written; `config-malformed`, it refuses its config or hangs
            in it.
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
            f"ssh does not end within {_DEADLINE_S} s",
            f"Something in its config may hang, such as a Match exec: {shlex.join(words)}",
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
    """As `all_options`; of several values the first."""
    return {name: values[0] for name, values in all_options(host, ssh_config).items()}


def _refused(complaint: str) -> SmProxyError:
    lines = [line for line in complaint.splitlines() if line.strip()]
    if found := next(filter(None, map(_BAD_OWNER.search, lines)), None):
        return _bad_owner(Path(found[1].strip()))
    shown = printable("; ".join(lines[:2])) or "it gives no reason"
    return SmProxyError(
        "config-malformed",
        f"ssh refuses its config: {shown}",
        "Mend or take out the line that it names.",
    )


def _bad_owner(path: Path) -> SmProxyError:
    """Files have to be the user's or root's, and nobody else may write them (ssh_config(5))."""
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
        "bad-permissions", f"ssh reads no config, for no host, because of {path}: {why}", fix
    )
