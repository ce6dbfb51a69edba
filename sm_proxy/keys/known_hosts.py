"""Our own known_hosts: one file per host name, written before ssh asks for it.

ssh reads `UserKnownHostsFile` only after the ProxyCommand's first byte, so a file written before
that byte is honoured for that same connection under `StrictHostKeyChecking yes` (measured on
OpenSSH 9.2, no cost). One file per host, so two connections never write the same file, and a
key of one job is never accepted for another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from sm_proxy import paths
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings

FOLDER = "known_hosts.d"
_ANY_NAME = "*"
"""The file belongs to one host: whatever alias or port ssh looks up, these are its keys."""


def path_of(settings: Settings, host: str) -> Path:
    """The file for `host`, spelled as the user typed it (ssh's %n)."""
    return settings.ssh_folder / FOLDER / host


def pin(settings: Settings, host: str, host_keys: Iterable[str]) -> None:
    """Let ssh accept exactly `host_keys` (each `"type base64"`) for `host`.

    Raises:
        SmProxyError: `config-read-only`, the folder cannot be written.
    """
    content = "".join(f"{_ANY_NAME} {key}\n" for key in host_keys).encode("ascii")
    path = path_of(settings, host)
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    try:
        paths.write_private(path, content)
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"the host key of {host} cannot be written to {path}: {error}",
            "Make the folder writable.",
        ) from None
