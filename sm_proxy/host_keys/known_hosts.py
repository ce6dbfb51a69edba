"""Our own known_hosts: one file per host name, written before ssh reads it.

ssh reads `UserKnownHostsFile` only after the ProxyCommand's first byte. A file written before that
byte is used for the same connection under `StrictHostKeyChecking yes` (measured on OpenSSH 9.2, at
no cost). ssh reads the file again when it has the server's key, so the key of a restarted container
can be pinned until then. With one file per host, two connections never write the same file, and a
key of one job is never accepted for another.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISREG

from sm_proxy.errors import SmProxyError
from sm_proxy.local import permissions, private_files
from sm_proxy.settings import Settings

_LIFE_S = 30 * 24 * 60 * 60
_ANY_NAME = "*"
"""The file belongs to one host, so its keys are valid under every alias and port of it."""


def path_of(settings: Settings, host: str) -> Path:
    """The file for `host`, spelled as the user typed it (ssh's %n)."""
    return settings.known_hosts_folder / host


def pin(settings: Settings, host: str, host_keys: Iterable[str]) -> None:
    """Make ssh accept exactly `host_keys` (each `"type base64"`) for `host`.

    Raises:
        SmProxyError: `config-read-only`, the folder cannot be written; `bad-permissions`, others
            could put their own host keys into the folder.
    """
    content = "".join(f"{_ANY_NAME} {key}\n" for key in host_keys).encode("ascii")
    path = path_of(settings, host)
    for folder in (settings.ssh_folder, path.parent):
        permissions.check_folder(folder)
    with contextlib.suppress(OSError):
        if private_files.read_own(path, len(content) + 1) == content:
            os.utime(path)  # `sweep` needs the time of the last use
            return
    try:
        private_files.write_private(path, content)
    except OSError as error:
        raise SmProxyError(
            "config-read-only",
            f"the host key of {host} cannot be written to {path}: {error.strerror or error}",
            "Make the folder writable.",
        ) from None


def sweep(settings: Settings) -> None:
    """Remove the files of hosts whose job must have ended.

    A training job runs for 28 days at most, so a file unused for 30 days belongs to no job.
    """
    sweep_folder(settings.known_hosts_folder)


def sweep_folder(folder: Path) -> None:
    """Remove the files that were unused for longer than a job may run."""
    before = time.time() - _LIFE_S
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if found.st_mtime < before and S_ISREG(found.st_mode):
                    path.unlink()


def forget(settings: Settings, host: str) -> None:
    """Remove the file of a host whose job has ended."""
    with contextlib.suppress(OSError):
        path_of(settings, host).unlink()
