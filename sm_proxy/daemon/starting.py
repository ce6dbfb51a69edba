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
from sm_proxy.daemon import hardening, launcher
from sm_proxy.local import debug_log
from sm_proxy.settings import Settings

_PRIVATE: Final = 0o077


def start_if_absent(settings: Settings) -> None:
    """Start a daemon if the launcher has found none; if that fails, the next `connect` will try."""
    if not (launcher.absent[0] and settings.daemon_idle):
        return
    launcher.absent[0] = False
    own = hardening.clean_environment(os.environ)
    own["SM_PROXY_DAEMON_IDLE"] = str(settings.daemon_idle)
    try:
        process = subprocess.Popen(
            [*program(), "daemon", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=own,
            start_new_session=True,
            umask=_PRIVATE,
        )
    except (OSError, subprocess.SubprocessError) as error:
        debug_log.write("no daemon could be started", why=error)
        return
    debug_log.write("daemon started", pid=process.pid)
    # If another one was faster, it ends at once, and must not stay as a zombie.
    with contextlib.suppress(RuntimeError):  # no more threads
        threading.Thread(target=process.wait, daemon=True).start()


def program() -> list[str]:
    """This program, as it was started: by its module's name, or by its path."""
    words = [sys.executable, "-I"]
    if "-m" in sys.orig_argv[1:3]:
        return [*words, "-m", "sm_proxy"]
    return [*words, str(Path(sm_proxy.__file__).with_name("__main__.py"))]
