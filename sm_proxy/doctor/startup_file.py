"""What the user's shell runs and prints before our ProxyCommand.

ssh starts a ProxyCommand by the user's shell, with a socket as stdin and stdout if it passes a
descriptor (`ProxyUseFdpass`). zsh, csh and fish read a startup file for every command. bash takes
a socket as stdin for a remote login, and reads `~/.bashrc`, unless another shell started ssh
(bash's shell.c: `run_startup_files`; SHLVL): that concerns the ssh of desktop programs, such as
editors. What the file prints goes to ssh, which expects a descriptor there and fails.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from sm_proxy.doctor.check import Context
from sm_proxy.errors import SmProxyError

_DEADLINE_S: Final = 10.0
_POLITE_S: Final = 1.0
"""How long the shell and its programs may take to end after SIGTERM."""
_TICK_S: Final = 0.02
_FILES: Final = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshenv",
    "csh": "~/.cshrc",
    "tcsh": "~/.tcshrc or ~/.cshrc",
    "fish": "~/.config/fish/config.fish",
}
_GUARD: Final = "case $- in *i*) ;; *) return ;; esac"
_DEFAULT: Final = "/bin/sh"
"""What ssh runs a ProxyCommand with if `$SHELL` is not set (OpenSSH's sshconnect.c)."""


def silent(context: Context) -> str:
    """The shell prints nothing for ssh before our ProxyCommand begins."""
    passes = context.effective.get("proxyusefdpass", ["no"]) == ["yes"]
    if sys.platform == "win32" or not passes:
        return "ssh does not get a descriptor from our ProxyCommand"
    shell = os.environ.get("SHELL") or _DEFAULT
    name = Path(shell).name
    file = _FILES.get(name, f"the startup file of {shell}")
    printed, seconds = _run(shell, file)
    if not printed:
        return f"{file} prints nothing for ssh (it takes {seconds * 1e3:.0f} ms)"
    failing, hint = "ssh fails", f"Let {file} print only in an interactive shell"
    if name == "bash":
        failing = "ssh fails in programs that no shell has started, such as editors"
        hint = f"Put this at the top of {file}: {_GUARD}"
    raise SmProxyError(
        "unsupported",
        f"{file} prints text even without a terminal: {failing}",
        f"{hint}; or run: sm-proxy config write --no-fdpass",
    )


def _run(shell: str, file: str) -> tuple[bool, float]:
    """Start the shell as the ssh of an editor would: whether it printed, and its seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "SHLVL"}
    near, far = socket.socketpair()
    began = time.monotonic()
    with near, far:
        try:
            started = subprocess.Popen(
                [shell, "-c", "exec true"],
                stdin=far.fileno(),
                stdout=far.fileno(),
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
            _wait_or_end(started)
        except OSError as error:
            raise SmProxyError(
                "unsupported",
                f"{shell} cannot be started: {error.strerror or error}",
                "ssh starts our ProxyCommand by this program: set SHELL to a shell that exists.",
            ) from None
        except subprocess.TimeoutExpired:
            raise SmProxyError(
                "unsupported",
                f"{shell} -c true does not end within {_DEADLINE_S:.0f} s",
                f"Look at {file}: ssh waits for it.",
            ) from None
        seconds = time.monotonic() - began
        near.setblocking(False)
        try:
            return bool(near.recv(1)), seconds
        except BlockingIOError:
            return False, seconds


def _wait_or_end(shell: subprocess.Popen[bytes]) -> None:
    """Wait for the shell; end it and all that it runs if it takes too long, or on a signal.

    Raises:
        TimeoutExpired: it took too long.
    """
    try:
        shell.wait(_DEADLINE_S)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            # First politely: a startup file may hold a lock, as pyenv's does, which a trap frees.
            os.killpg(shell.pid, signal.SIGTERM)
            until = time.monotonic() + _POLITE_S
            while time.monotonic() < until:
                shell.poll()
                os.killpg(shell.pid, 0)
                time.sleep(_TICK_S)
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        raise
