"""What the user's own ssh makes of a host name."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sm_proxy.errors import SmProxyError


def effective_options(host: str, ssh_config: Path | None = None) -> dict[str, str]:
    """The options that `ssh -G` shows for a host, by lower-case name; of several the first.

    Args:
        host: as the user would type it.
        ssh_config: read instead of the user's and the system's.

    Raises:
        SmProxyError: `missing-dependency`, there is no ssh; `config-malformed`, it refuses its
            config.
    """
    words = ["ssh", *(["-F", str(ssh_config)] if ssh_config else []), "-G", host]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise SmProxyError(
            "missing-dependency",
            f"ssh cannot be started: {error.strerror or error}",
            "Install the OpenSSH client.",
        ) from None
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip() or "it gives no reason"
        raise SmProxyError(
            "config-malformed", f"ssh refuses its config: {complaint}", "Mend the line it names."
        )
    options: dict[str, str] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        name, _, value = line.partition(" ")
        options.setdefault(name, value)
    return options
