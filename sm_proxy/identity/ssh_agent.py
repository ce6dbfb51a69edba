"""Load our keys into the user's ssh-agent for a lifetime, and remove them, with ssh-add.

ssh-add works with every agent on every platform. It gets the private key decrypted on its stdin, so
no passphrase appears in an argument, in the environment or in a log.
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
"""ssh_config's word for the agent that the environment names."""
_TIMEOUT_S: Final = 60.0
"""Some agents ask the user in a window."""
_NO_AGENT: Final = 2
"""ssh-add's exit status if it cannot reach an agent."""


def load(key: Identity, passphrase: str | None, lifetime: int, socket: str | None = None) -> None:
    """Load the private half of `key` into the agent.

    Args:
        key: one of our own.
        passphrase: None if the key has none.
        lifetime: seconds until the agent drops the key; 0 keeps it as long as the agent runs.
        socket: of the agent; None for SSH_AUTH_SOCK.

    Raises:
        SmProxyError: `bad-passphrase`, the passphrase is wrong; `unsupported`, there is no agent,
            or it accepts no keys; `missing-dependency`, there is no ssh-add.
    """
    opened = decrypted(key, passphrase)
    done = _ssh_add(["-q", *(["-t", str(lifetime)] if lifetime else []), "-"], socket, opened)
    if done.returncode == _NO_AGENT:
        raise _no_agent()
    if done.returncode:
        raise SmProxyError(
            "unsupported",
            f"the agent refused the key: {done.stderr.decode(errors='replace').strip()}",
            "Some agents accept no keys (1Password, hardware), and Windows' agent supports no "
            "lifetime: try --lifetime 0, or let ssh ask for the passphrase.",
        )


def forget(key: Identity, socket: str | None = None) -> bool:
    """Remove `key` from the agent.

    Returns:
        Whether the agent had it.

    Raises:
        SmProxyError: the agent cannot be asked and may still hold the key. `unsupported`, there
            is no agent or it does not answer; `missing-dependency`, there is no ssh-add.
    """
    public = key_files.public_path(key.path)
    with contextlib.suppress(OSError):  # ssh-add reads it, and a killed run may have left it out
        key_files.restore_public_half(key.path, key_files.read(key.path))
    done = _ssh_add(["-q", "-d", str(public)], socket)
    if done.returncode == _NO_AGENT:
        raise _no_agent()
    return done.returncode == 0


def environment_of(socket: str | None) -> dict[str, str]:
    """The environment variable that makes other programs use the agent in ssh_config."""
    if not socket or socket == FROM_ENVIRONMENT:
        return {}
    return {FROM_ENVIRONMENT: str(Path(socket).expanduser())}


def decrypted(key: Identity, passphrase: str | None) -> bytes:
    """The private half of `key` without its passphrase.

    Raises:
        OSError: it cannot be read.
        SmProxyError: `bad-passphrase`, the passphrase is wrong.
    """
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
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise SmProxyError(
            "unsupported", f"the ssh-agent did not answer within {_TIMEOUT_S:.0f} s", ""
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
    return SmProxyError("unsupported", "no ssh-agent can be reached", hint)
