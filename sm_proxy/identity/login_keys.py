"""The keys that paramiko logs in with: the ones that ssh offers, in ssh's order.

As with `IdentitiesOnly yes`, a key of the agent counts only if it is one of ours. The agent signs
first, because it needs no passphrase. A passphrase comes from the keyring; the user is never
prompted.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, passphrases, ssh_agent
from sm_proxy.identity.identities import Identity
from sm_proxy.identity.ssh_agent import FROM_ENVIRONMENT
from sm_proxy.local.threads import Background
from sm_proxy.public_key import wire_form
from sm_proxy.settings import Settings

_AGENT_S: Final = 5.0
"""How long an agent may take to list its keys; ssh would wait for it forever."""
_LOAD: Final = "Run: sm-proxy keys load"
_NO_AGENT: Final = "none"
"""ssh_config's word for no agent."""


@contextlib.contextmanager
def opened(settings: Settings, paramiko: Any) -> Iterator[list[Any]]:
    """The keys to offer, as paramiko's objects; our own key is created if it does not exist.

    The agent is connected while the caller uses them.

    Args:
        settings: of this run.
        paramiko: the module.

    Raises:
        SmProxyError: `bad-passphrase`, every key has a passphrase that is not known; or as
            `identities.ensure`.
    """
    offered = identities.offered(settings)
    with contextlib.ExitStack() as agent:
        held = _of_agent(settings.identity_agent, paramiko, agent)
        yield _usable(offered, held, settings, paramiko)


def _usable(
    offered: list[Identity], held: Mapping[bytes, Any], settings: Settings, paramiko: Any
) -> list[Any]:
    each = [
        held.get(wire_form(identity.public_key)) or _of_file(identity, paramiko)
        for identity in offered
    ]
    if found := [key for key in each if key is not None]:
        return found
    path = offered[0].path
    raise SmProxyError(
        "bad-passphrase",
        f"{path} has a passphrase that no keyring knows, and no ssh-agent holds the key",
        f"Run: ssh-add {shlex.quote(str(path))}" if settings.identity_file else _LOAD,
    )


def _of_agent(named: str | None, paramiko: Any, end: contextlib.ExitStack) -> Mapping[bytes, Any]:
    """The agent's keys, by their wire form; none if it does not answer in time.

    Args:
        named: the setting `identity_agent`.
        paramiko: the module.
        end: closes the connection to the agent.
    """
    path = os.environ.get(FROM_ENVIRONMENT) if named in {None, FROM_ENVIRONMENT} else named
    if named == _NO_AGENT:
        return {}
    if sys.platform == "win32":
        work: Background[Iterable[Any]] = Background(lambda: paramiko.Agent().get_keys())
    elif not path:
        return {}
    else:
        connection = end.enter_context(socket.socket(socket.AF_UNIX))
        end.callback(_shut, connection)  # before it is closed: a thread may wait for it
        work = Background(lambda: _listed(connection, Path(path).expanduser(), paramiko))
    return {key.asbytes(): key for key in work.settled(_AGENT_S) or ()}


def _listed(connection: socket.socket, path: Path, paramiko: Any) -> Iterable[Any]:
    """The keys of an agent.

    Raises:
        OSError: there is no agent at that path.
        paramiko.SSHException: it has no list of keys.
    """
    connection.connect(str(path))
    # `paramiko.Agent` knows SSH_AUTH_SOCK only, and another thread may read that variable.
    agent = paramiko.agent.AgentSSH()
    agent._connect(connection)  # noqa: SLF001
    return tuple(agent.get_keys())


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _of_file(identity: Identity, paramiko: Any) -> Any | None:
    """The private key of a file; None if its passphrase is unknown, or only an agent has it.

    Raises:
        SmProxyError: `bad-setting`, the file cannot be used.
    """
    path = identity.path
    try:
        if not key_files.is_encrypted(path.read_bytes()):
            return None if path.suffix == ".pub" else paramiko.PKey.from_path(path)
        passphrase = passphrases.find(identity)
        return None if passphrase is None else _decrypted(identity, passphrase, paramiko)
    except (OSError, paramiko.PasswordRequiredException, TypeError):
        return None  # cryptography raises TypeError for a key with a passphrase
    except Exception as error:  # noqa: BLE001 - paramiko and cryptography raise many types
        raise SmProxyError(
            "bad-setting",
            f"the key {path} cannot be used: {type(error).__name__}",
            "Name another key with identity_file, or load this one into an ssh-agent.",
        ) from None


def _decrypted(identity: Identity, passphrase: str, paramiko: Any) -> Any | None:
    """Our own key, an ed25519 one, decrypted; None if the keyring has a wrong passphrase.

    `PKey.from_path` takes a passphrase as text or as bytes, according to paramiko's version.
    """
    with contextlib.suppress(SmProxyError):
        text = ssh_agent.decrypted(identity, passphrase).decode()
        return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
    return None
