"""What keeps the secrets of a request inside the process that serves it.

The daemon itself gets none: it forks before it reads a request, and starts with a clean
environment. The forks hold credentials, so their memory must not end in a core file. We lock no
memory: it may go to the machine's swap, like that of ssh and of every AWS tool.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_KEPT: Final = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "TMPDIR", "USER"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"),
        *("SM_PROXY_CACHE_DIR", "SM_PROXY_CONFIG_DIR", "SM_PROXY_STATE_DIR"),
        *("SM_PROXY_DAEMON_IDLE", "SM_PROXY_KEEP_SESSION"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OPENSSL_CONF", "OPENSSL_MODULES"),
        *("LANG", "LC_ALL", "LC_CTYPE", "__PYVENV_LAUNCHER__"),
        "SHIV_ROOT",  # where a zipapp unpacks itself
    }
)
"""Variables that say where files are, or act when a process starts; none has a secret."""
_NO_KEYS: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The daemon makes a client that makes no call, so that its forks need not import for one."""
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of an environment that the daemon starts with, and what keeps it from reading keys.

    The environment of a process can be read in /proc as long as it lives. Each request brings a
    whole environment for its own fork.
    """
    return {name: value for name, value in environment.items() if name in _KEPT} | _NO_KEYS


def forbid_dumps() -> None:
    """Let neither this process nor its forks leave a core file, or be traced.

    A program that a fork starts is free again: exec undoes it.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - there is none on Windows

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    # The limit does not count where the kernel pipes core files to a program (core(5)).
    if sys.platform == "linux" and not _hides_processes():
        import ctypes  # noqa: PLC0415 - only here

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def name_process(name: str) -> None:
    """Give this process a short name of its own, such as `ps` and `top` show; Linux only.

    Args:
        name: at most 15 ASCII characters.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only here

        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def _hides_processes() -> bool:
    """Whether a process that cannot be dumped is invisible to its own user (`hidepid`, proc(5)).

    Then another run would take it for dead, and end its session.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    options = [line.split()[-1] for line in mounts.splitlines() if " - proc " in line]
    return any("hidepid=" in found for found in options)
