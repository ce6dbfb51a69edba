"""Trust on first use, for containers whose log names no host key. Off unless the user opts in.

The key is read through the tunnel once, before ssh connects, and pinned for that job and node in
the state folder; ssh itself stays strict. The first connection cannot show whether it
reaches the right container, so the user opts in host by host. Later connections need no opt-in, and
any key other than the pinned one is refused. The node of a HyperPod cluster is its instance id: one
that replaces it is not trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from sm_proxy import public_key
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import accept_new, known_hosts
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output, paths, private_files
from sm_proxy.local.threads import Background
from sm_proxy.settings import Settings
from sm_proxy.state import pinned_key
from sm_proxy.tunnel.blocking_socket import BlockingSocket, import_paramiko, prefer_kinds
from sm_proxy.tunnel.stream import Stream

_SCAN_S: Final = 15.0
_TICK_S: Final = 0.1
_KEY_LIMIT: Final = 1 << 14

Dial = Callable[[Container], Stream]


def with_host_keys(container: Container, settings: Settings, scope: str, dial: Dial) -> Container:
    """The container with its pinned host key, which is read and pinned now if there is none.

    Args:
        container: one whose log names no host key.
        settings: of this run.
        scope: identifies the account and region (`Aws.scope`).
        dial: opens a stream to the container.

    Raises:
        SmProxyError: `host-key-unknown`, the user has not opted in; `config-read-only` or
            `bad-permissions`, the key cannot be kept; or an error of dialling.
    """
    path = pin_path(container, scope)
    key = pinned(container, settings, scope)
    if key is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # `sweep` needs the time of the last use
    else:
        key = _scan_host_key(dial(container), container)
        pinned_key.write(path, key)
        shown = public_key.describe(key)
        output.status(f"trusting {container.job}/{container.node} on first use: {shown}")
    return replace(container, host_keys=(key,))


def pinned(container: Container, settings: Settings, scope: str) -> str | None:
    """The pinned host key of a container; None before its first use.

    An app of Studio needs no opt-in: see `accept_new`.

    Raises:
        SmProxyError: `host-key-unknown`, no key is pinned and the user has not opted in.
    """
    if container.accepts_first_key:
        return accept_new.pinned(container)
    key = pinned_key.read(pin_path(container, scope))
    if key is None and not settings.trusts_first_use(container.host):
        raise _opt_in_missing(container)
    return key


def pin_path(container: Container, scope: str) -> Path:
    """The file that holds the pinned key of a container."""
    if container.accepts_first_key:
        return accept_new.pin_path(container)
    return _pin_file(scope, container.job, container.node)


def forget(scope: str, job: str, node: str) -> None:
    """Remove the pinned key of a container whose job has ended."""
    with contextlib.suppress(OSError, SmProxyError):
        _pin_file(scope, job, node).unlink()


def sweep() -> None:
    """Remove the pinned keys of jobs that must have ended: see `known_hosts.sweep`."""
    with contextlib.suppress(OSError, SmProxyError):
        private_files.refuse_shared(_folder())
        known_hosts.sweep_folder(_folder())


def _opt_in_missing(container: Container) -> SmProxyError:
    trust = (
        "trust the key of the first connection: "
        f"`sm-proxy settings {container.host} --set trust_first_use=true`, or set "
        "SM_PROXY_TRUST_FIRST_USE=1 for the first connection."
    )
    if container.source is None:
        return SmProxyError(
            "host-key-unknown",
            f"AWS does not tell the host key of {container.node} in {container.job}, so the node "
            "cannot be verified",
            f"{trust[0].upper()}{trust[1:]} The key is kept for this instance only.",
        )
    return SmProxyError(
        "host-key-unknown",
        f"the log of {container.host} names no host key, so the container cannot be verified",
        f"Use the sm-proxy entrypoint in the image, which prints the key. Or {trust}",
    )


def _pin_file(scope: str, job: str, node: str) -> Path:
    digest = hashlib.sha256(f"{scope}\0{job}\0{node}".encode()).hexdigest()
    return _folder() / f"{job}.{node}.{digest[:16]}"


def _folder() -> Path:
    return paths.state_dir() / "first-use"


def _scan_host_key(stream: Stream, container: Container) -> str:
    """Read the host key of the server behind the stream, and close the stream.

    It is closed without a farewell, because ssh is waiting for its own connection and a hang-up
    leaves two seconds.
    """
    tunnel = BlockingSocket(stream)
    scan = Background(lambda: _read_greeting_and_key(tunnel, container))
    until = time.monotonic() + _SCAN_S
    try:
        while not scan.done and time.monotonic() < until:
            scan.settled(_TICK_S)
        answered = scan.done
        if scan.settled(0) is None:
            tunnel.raise_failure()
    finally:
        tunnel.close(farewell=False)
    if not answered:
        raise SmProxyError(
            "sshd-silent",
            f"no server showed a host key at {container.place}",
            container.look
            or "Look at the job's log: is sshd running? Do the network ACLs allow the connection?",
        )
    return scan.result()


def _read_greeting_and_key(tunnel: BlockingSocket, container: Container) -> str:
    tunnel.await_greeting(container.place, container.look)
    return read_host_key(tunnel.socket)


def read_host_key(far: socket.socket, expected: Iterable[str] = ()) -> str:
    """Do the handshake of an SSH client, and return the server's key as `"type base64"`.

    Args:
        far: a socket to the server.
        expected: keys `"type base64"`. A server with several keys shows one of these types, as it
            does to ssh.

    Raises:
        SmProxyError: `host-key-unknown`, the handshake failed.
    """
    paramiko = import_paramiko()
    transport = paramiko.Transport(far)
    transport.banner_timeout = 2 * _SCAN_S  # the caller gives up before that
    prefer_kinds(transport, expected)
    try:
        transport.start_client(timeout=2 * _SCAN_S)
        key = transport.get_remote_server_key()
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise SmProxyError(
            "host-key-unknown",
            f"the container's host key could not be read: {error}",
            "Is the server on that port an SSH server?",
        ) from None
    finally:
        transport.close()
    debug_log.write("host key read", type=key.get_name())
    return f"{key.get_name()} {key.get_base64()}"
