"""The user's ssh-agent: our keys go into it for a lifetime, through ssh-add.

The private key goes through ssh-add's stdin, opened already: no passphrase stands in an argument,
in the environment or in a log, and ssh-add knows every agent and every platform.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import key_files
from sm_proxy.identity.identities import Identity

FROM_ENVIRONMENT: Final = "SSH_AUTH_SOCK"
"""ssh_config's own word for the usual agent."""
_PATIENCE_S: Final = 60.0
"""Some agents ask their owner in a window."""
_NO_AGENT: Final = 2
"""ssh-add's status where it cannot reach an agent."""


def load(key: Identity, passphrase: str | None, lifetime: int, socket: str | None = None) -> None:
    """Hand the private half of `key` to the agent.

    Args:
        key: of ours.
        passphrase: None where it has none.
        lifetime: seconds until the agent forgets it, 0 for as long as the agent lives.
        socket: of the agent; None for SSH_AUTH_SOCK.

    Raises:
        SmProxyError: `bad-passphrase`, it is not the passphrase; `unsupported`, there is no agent
            or it takes no keys; `missing-dependency`, there is no ssh-add.
    """
    opened = _opened(key, passphrase)
    done = _ssh_add(["-q", *(["-t", str(lifetime)] if lifetime else []), "-"], socket, opened)
    if done.returncode == _NO_AGENT:
        raise _no_agent()
    if done.returncode:
        raise SmProxyError(
            "unsupported",
            f"the agent does not take the key: {done.stderr.decode(errors='replace').strip()}",
            "Some agents hold their own keys only (1Password, hardware), and Windows' agent knows "
            "no lifetime: try --lifetime 0, or let ssh ask for the passphrase.",
        )


def forget(key: Identity, socket: str | None = None) -> bool:
    """Take `key` out of the agent again; whether it was there.

    Raises:
        SmProxyError: the agent cannot be asked, so it may hold the key still: `unsupported`, it
            is not there or does not answer; `missing-dependency`, there is no ssh-add.
    """
    public = key_files.public_path(key.path)
    with contextlib.suppress(OSError):  # ssh-add goes by it, and a killed run may have left it out
        key_files.restore_public_half(key.path, key_files.read(key.path))
    done = _ssh_add(["-q", "-d", str(public)], socket)
    if done.returncode == _NO_AGENT:
        raise _no_agent()
    return done.returncode == 0


def environment_of(socket: str | None) -> dict[str, str]:
    """The variable that leads other programs to the agent that ssh_config names."""
    if not socket or socket == FROM_ENVIRONMENT:
        return {}
    return {FROM_ENVIRONMENT: str(Path(socket).expanduser())}


def _opened(key: Identity, passphrase: str | None) -> bytes:
    """The private key as ssh-add takes it from its stdin."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - seldom
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_ssh_private_key,
    )

    private = key_files.read(key.path).private
    if not key_files.is_encrypted(private):
        return private
    try:
        loaded = load_ssh_private_key(private, (passphrase or "").encode())
    except ValueError:
        raise SmProxyError(
            "bad-passphrase",
            f"that is not the passphrase of {key.path}",
            "Try again, or make a new key: sm-proxy keys rotate",
        ) from None
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _ssh_add(
    words: list[str], socket: str | None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", **environment_of(socket)}
    try:
        return subprocess.run(
            ["ssh-add", *words],
            input=stdin,
            capture_output=True,
            check=False,
            env=environment,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        raise SmProxyError(
            "unsupported", f"the ssh-agent did not answer within {_PATIENCE_S:.0f} s", ""
        ) from None
    except OSError as error:
        raise SmProxyError(
            "missing-dependency",
            f"ssh-add cannot be run: {error.strerror or error}",
            "Install the OpenSSH client.",
        ) from None


def _no_agent() -> SmProxyError:
    if sys.platform == "win32":
        hint = "Start it once, as administrator: Get-Service ssh-agent | Set-Service -StartupType "
        hint += "Automatic -PassThru | Start-Service"
    else:
        hint = 'Start one with: eval "$(ssh-agent)"; without one ssh asks for the passphrase.'
    return SmProxyError("unsupported", "there is no ssh-agent that can be reached", hint)
