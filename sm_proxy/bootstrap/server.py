"""Start our SSH server in a running container, through a shell there, and read its marker."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sm_proxy.bootstrap import files
from sm_proxy.bootstrap.shell import RemoteShell
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import marker
from sm_proxy.jobs.marker import Marker
from sm_proxy.local import container_files, debug_log

_START_S: Final = 90.0
"""serve.sh gives up after 30 s; a busy machine needs longer to get there."""
_PORTS: Final = range(20_000, 30_000)
"""Below the ports of outgoing connections, and away from 22, which MPI jobs need."""
_PORT_TAKEN: Final = re.compile(r"\b(?:in use|[Bb]ind|listen)\b")
"""What the servers say of a port on which something listens already."""
_ATTEMPTS: Final = 3
_SHOWN: Final = 300
_PYTHON: Final = (
    'p=$(command -v python3 || command -v python) && "$p" -c "import platform,sys; print('
    "'%d.%d' % sys.version_info[:2], platform.machine(), platform.libc_ver()[0] or 'musl')\""
)

FetchWheels = Callable[[str, str], Mapping[str, bytes]]
"""The files of an SSH server in Python, for a version such as `3.11` and a target such as
`x86_64-glibc`; empty if there are none."""


@dataclass(frozen=True)
class Started:
    """A server that runs.

    Attributes:
        line: the marker, as the container printed it.
        marker: the same, parsed.
    """

    line: str
    marker: Marker


def start(
    shell: RemoteShell, key: str, fetch_wheels: FetchWheels, on_status: Callable[[str], None]
) -> Started:
    """Send our files, start the first server that works, and return its marker.

    If the image has neither sshd nor dropbear, the server comes along: wheels for its Python.

    Args:
        shell: in the container, entered.
        key: the public key that may log in, "type base64".
        fetch_wheels: called only if they are needed.
        on_status: takes a line about each step.

    Raises:
        SmProxyError: `no-server`, none works, with the container's reasons; or as the shell's.
    """
    tools = files.find_tools(shell)
    ours = container_files.for_a_running_container()
    folder = files.make_folder(shell, ours)
    files.send(shell, tools, folder, ours, on_status)
    found = _run(shell, folder, key)
    if not found.marker.port and (wheels := _wheels(shell, fetch_wheels)):
        there = {f"wheels/{name}": content for name, content in wheels.items()}
        files.send(shell, tools, folder, there, on_status)
        found = _run(shell, folder, key)
    if not found.marker.port:
        raise SmProxyError(
            "no-server",
            "no SSH server starts in the container: "
            + printable("; ".join(found.marker.problems) or "it gives no reason", _SHOWN),
            "Install openssh-server in its image, or a Python from 3.9 to 3.14.",
        )
    return found


def _wheels(shell: RemoteShell, fetch_wheels: FetchWheels) -> Mapping[str, bytes]:
    words = shell.run(_PYTHON).text.split()
    debug_log.write("the image's Python", found=words)
    if len(words) != len(("version", "machine", "libc")):
        return {}
    version, machine, libc = words
    return fetch_wheels(version, f"{machine}-{'glibc' if libc == 'glibc' else 'musl'}")


def _run(shell: RemoteShell, folder: str, key: str) -> Started:
    """Run bootstrap.sh; another port is tried if something already listens on the first."""
    script = f"{folder}/{container_files.BOOTSTRAP}"
    for _ in range(_ATTEMPTS):
        command = f"sh {script} {secrets.choice(_PORTS)} {shlex.quote(key)}"
        text = shell.run(command, patience=_START_S).text
        found = _started(text)
        if found.marker.port or not _PORT_TAKEN.search("; ".join(found.marker.problems)):
            return found
    return found


def _started(text: str) -> Started:
    for line in text.splitlines():
        if (found := marker.parse(line)) is not None:
            debug_log.write("the container's marker", port=found.port, problems=found.problems)
            return Started(line, found)
    last = text.splitlines()[-1:] or ["nothing"]
    raise SmProxyError(
        "no-server",
        f"the server in the container did not start; our script says: {printable(last[0], _SHOWN)}",
        "Run it again with SM_PROXY_LOG=debug.",
    )
