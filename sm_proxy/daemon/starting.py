"""Start the daemon, from a `connect` that found none and whose own connection is up.

It has nothing of that process: no descriptor, no terminal, and only the variables that say where
things are. If two start at once, `listening` lets one of them be.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import sm_proxy
from sm_proxy.daemon import hardening, launcher, listening, place
from sm_proxy.local import debug_log, python_environment
from sm_proxy.settings import Settings

_PRIVATE: Final = 0o077
_LIMITS: Final = ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE")
_DESCRIPTORS: Final = 256
"""What macOS gives every process."""


def start_if_absent(settings: Settings) -> None:
    """Start a daemon if the launcher has found none; if that fails, the next `connect` will try."""
    if not (launcher.absent[0] and settings.daemon_idle):
        return
    launcher.absent[0] = False
    if not is_unlimited():
        debug_log.write("no daemon is started by a process with limits of its own")
        return
    own = hardening.clean_environment(os.environ)
    own["SM_PROXY_DAEMON_IDLE"] = str(settings.daemon_idle)
    if root := python_environment.pex_root():
        own["PEX_ROOT"] = root  # else it would unpack another copy, which no launcher looks for
    claim = None
    try:
        if (claim := listening.claim_start(place.identity())) is not None:
            own[listening.CLAIM] = str(claim)
        process = subprocess.Popen(
            [*program(), "daemon", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=own,
            pass_fds=() if claim is None else (claim,),
            start_new_session=True,
            umask=_PRIVATE,
        )
    except (OSError, subprocess.SubprocessError) as error:
        debug_log.write("no daemon could be started", why=error)
        return
    finally:
        if claim is not None:
            os.close(claim)
    debug_log.write("daemon started", pid=process.pid)
    # If another one was faster, it ends at once, and must not stay as a zombie.
    with contextlib.suppress(RuntimeError):  # no more threads
        threading.Thread(target=process.wait, daemon=True).start()


def is_unlimited() -> bool:
    """Whether other connections can do with the limits of this one: the daemon inherits them."""
    if sys.platform == "win32":
        return False
    import resource  # noqa: PLC0415 - there is none on Windows

    soft = {name: resource.getrlimit(getattr(resource, name))[0] for name in _LIMITS}
    enough = (
        soft["RLIMIT_NOFILE"] >= _DESCRIPTORS or soft["RLIMIT_NOFILE"] == resource.RLIM_INFINITY
    )
    rest = {value for name, value in soft.items() if name != "RLIMIT_NOFILE"}
    return enough and rest == {resource.RLIM_INFINITY}


def program() -> list[str]:
    """This program, as it was started: by its module's name, its path, or an archive's path."""
    words = [sys.executable, "-I"]
    if archive := python_environment.archive():
        return [*words, archive]
    if "-m" in sys.orig_argv[1:3]:
        return [*words, "-m", "sm_proxy"]
    return [*words, str(Path(sm_proxy.__file__).with_name("__main__.py"))]
