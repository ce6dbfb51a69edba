"""Open an editor's window on a folder of a host."""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import sys
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import waits

_WORKSPACE: Final = ".code-workspace"
_BATCH_SPECIAL: Final = re.compile(r'["%^&|<>!\r\n]')
"""Characters that cmd.exe would interpret: `code` on Windows is a batch file."""


def remote_authority(host: str, user: str | None = None) -> str:
    """The editors' name for a host, such as `ssh-remote+sm-myjob`.

    The editors lower-case this name (microsoft/vscode-remote-release 9289), but job names are
    case-sensitive. So a host with capitals is written as the editors write it: as the hex digits
    of a JSON object.
    """
    if user is None and host == host.lower():
        return f"ssh-remote+{host}"
    parts = {"hostName": host, **({"user": user} if user else {})}
    return "ssh-remote+" + json.dumps(parts, separators=(",", ":")).encode().hex()


def editor_command(program: str, host: str, path: str | None, user: str | None = None) -> list[str]:
    """The editor's command line.

    Args:
        program: the editor's program.
        host: as ssh knows it.
        path: an absolute path in the container; None for a window without a folder.
        user: to log in as, if the ssh config names another one.

    Raises:
        SmProxyError: `unsupported`, the path cannot be passed to a batch file.
    """
    words = [program, "--remote", remote_authority(host, user)]
    if path is None:
        return words
    if sys.platform == "win32" and _BATCH_SPECIAL.search(path):
        raise SmProxyError(
            "unsupported",
            f"cmd.exe would change the path {path!r}",
            "Leave out PATH, and open the folder in the editor's window.",
        )
    return [*words, _as_folder(path)]


def _as_folder(path: str) -> str:
    """The path, with a slash at its end if its dot would make an editor take it for a file."""
    dotted = "." in posixpath.basename(path) and not path.endswith(_WORKSPACE)
    return path + "/" if dotted else path


def start(words: list[str]) -> None:
    """Run the editor's program, which ends when it has asked for the window.

    Raises:
        SmProxyError: `unsupported`, it cannot be started or reports a failure.
    """
    try:
        with waits.terminal_lent():
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=_stderr(), check=False)
    except OSError as error:
        raise _failed(words[0], str(error.strerror or error)) from None
    if done.returncode:
        raise _failed(words[0], f"it ended with status {done.returncode}")


def _stderr() -> int:
    """The descriptor for the editor's output: stdout is for our own result."""
    return 2


def _failed(program: str, why: str) -> SmProxyError:
    return SmProxyError(
        "unsupported",
        f"{program} could not open the window: {why}",
        "Run `Remote-SSH: Connect to Host...` in the editor's own window.",
    )
