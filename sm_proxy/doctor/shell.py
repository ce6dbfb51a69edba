"""Check that a login is usable: a shell runs a command, and nothing else prints."""

from __future__ import annotations

import time
from typing import Any, Final

from sm_proxy.doctor.check import Context, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel.blocking_socket import import_paramiko

_OPEN_S: Final = 10.0
_RUN_S: Final = 15.0
_DRAIN_S: Final = 5.0
"""How long to wait for output after the exit status, which sshd may send first."""
_TICK_S: Final = 0.05
_WORD: Final = "sm-proxy-is-here"
_SHOWN: Final = 160
_OUTPUT_LIMIT: Final = 4096


def answers(context: Context) -> str:
    """A command runs, and only its own output comes back."""
    paramiko = import_paramiko()
    ssh = needed(context.ssh, "the SSH connection")
    try:
        channel = ssh.open_session(timeout=_OPEN_S)
        channel.exec_command(f"echo {_WORD}")
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _failure(
            f"the login succeeds, but the server opens no session: {error}",
            "In its sshd_config, set MaxSessions above 0, and let Subsystem or ForceCommand name a "
            "program that exists; then look at the job's log.",
        ) from None
    with channel:
        printed, status = _outcome(channel)
    shown = f': "{" ".join(printed.split())[:_SHOWN]}"' if printed.strip() else ""
    if status is None:
        raise _failure(
            f"the login succeeds, but a command does not end within {_RUN_S:.0f} s{shown}",
            "Does the container's ~/.bashrc start a program that does not end, or wait for input?",
        )
    if status != 0:
        raise _failure(
            f"the login succeeds, but every command ends with status {status}{shown}",
            "Give the user a login shell that exists (usermod -s /bin/bash), and look for an "
            "`exit` in ~/.bashrc.",
        )
    if _WORD not in printed:
        raise _failure(
            f"the login succeeds, but the server does not run our command{shown}",
            "Look for ForceCommand in its sshd_config, command= before the key in authorized_keys, "
            "and an `exit` in ~/.bashrc.",
        )
    if printed.strip() != _WORD:
        raise _failure(
            f"the server's shell prints text before a command runs{shown}",
            "scp, sftp and rsync fail on such text: in ~/.bashrc, print only if [ -t 1 ] is true.",
        )
    return "a command ran"


def _failure(message: str, hint: str) -> SmProxyError:
    return SmProxyError("login-refused", message, hint)


def _outcome(channel: Any) -> tuple[str, int | None]:
    """The command's output on both streams, and its exit status; None if it did not end in time."""
    until = time.monotonic() + _RUN_S
    out, ended = b"", False
    while time.monotonic() < until:
        over = channel.eof_received or channel.closed
        if channel.recv_ready() and len(out) < _OUTPUT_LIMIT:
            out += channel.recv(_OUTPUT_LIMIT)
        elif not channel.status_event.wait(_TICK_S):
            continue
        elif over or _WORD.encode() in out:
            break
        elif not ended:
            ended, until = True, min(until, time.monotonic() + _DRAIN_S)
        else:
            time.sleep(_TICK_S)
    status = channel.recv_exit_status() if channel.status_event.is_set() else None
    errors = channel.recv_stderr(_OUTPUT_LIMIT) if channel.recv_stderr_ready() else b""
    return (out if status == 0 else out + errors).decode(errors="replace"), status
