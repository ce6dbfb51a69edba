"""What a login is good for: a channel opens, a shell runs a command, and nothing else speaks."""

from __future__ import annotations

import time
from typing import Any, Final

from sm_proxy.doctor.check import Context, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.tunnel.blocking_socket import import_paramiko

_OPEN_S: Final = 10.0
_RUN_S: Final = 15.0
_TICK_S: Final = 0.05
_WORD: Final = "sm-proxy-is-here"
_SHOWN: Final = 160
_OUTPUT_LIMIT: Final = 4096


def answers(context: Context) -> str:
    """A command runs: what every use of ssh begins with."""
    paramiko = import_paramiko()
    ssh = needed(context.ssh, "the SSH connection")
    try:
        channel = ssh.open_session(timeout=_OPEN_S)
        channel.exec_command(f"echo {_WORD}")
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _failure(
            f"the server lets us in and opens no session: {error}",
            "Let its sshd_config have MaxSessions above 0, and a Subsystem or ForceCommand that is "
            "there; then look at the job's log.",
        ) from None
    with channel:
        said, status = _outcome(channel)
    shown = f': "{" ".join(said.split())[:_SHOWN]}"' if said.strip() else ""
    if status is None:
        raise _failure(
            f"the server lets us in, and a command does not end in {_RUN_S:.0f} s{shown}",
            "Does ~/.bashrc of the container start something that stays, or wait for a terminal?",
        )
    if status != 0:
        raise _failure(
            f"the server lets us in, and every command ends with status {status}{shown}",
            "Give the user a shell that is there and lets log in (usermod -s /bin/bash), and look "
            "for an `exit` in ~/.bashrc.",
        )
    if _WORD not in said:
        raise _failure(
            f"the server lets us in, and runs something else than our command{shown}",
            "Look for ForceCommand in its sshd_config, command= before the key in authorized_keys, "
            "and an `exit` in ~/.bashrc.",
        )
    if said.strip() != _WORD:
        raise _failure(
            f"the server's shell speaks before any command does{shown}",
            "scp, sftp and rsync take that for their own: in ~/.bashrc, print only where "
            "[ -t 1 ] is true.",
        )
    return "a command ran"


def _failure(message: str, hint: str) -> SmProxyError:
    return SmProxyError("login-refused", message, hint)


def _outcome(channel: Any) -> tuple[str, int | None]:
    """What the command said on both its streams, and its status; None if it has not ended."""
    until = time.monotonic() + _RUN_S
    out = b""
    while time.monotonic() < until:
        if channel.recv_ready() and len(out) < _OUTPUT_LIMIT:
            out += channel.recv(_OUTPUT_LIMIT)
        elif channel.status_event.wait(_TICK_S) and not channel.recv_ready():
            break
    ended = channel.status_event.is_set()
    status = channel.recv_exit_status() if ended else None
    errors = channel.recv_stderr(_OUTPUT_LIMIT) if channel.recv_stderr_ready() else b""
    return (out if status == 0 else out + errors).decode(errors="replace"), status
