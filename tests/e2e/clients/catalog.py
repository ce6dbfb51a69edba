"""All clients, in the order of the table."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.e2e.clients import copying, editing, libraries, many, openssh, other_clients
from tests.e2e.clients.client import Client

ALL: tuple[Client, ...] = (
    *editing.CLIENTS,
    *openssh.CLIENTS,
    *other_clients.CLIENTS,
    *copying.CLIENTS,
    *many.CLIENTS,
    *libraries.CLIENTS,
)
NOT_RUN = editing.NOT_RUN
"""What the table names besides."""
_NODE = Path(__file__).with_name("node")


def node_packages(folder: Path) -> Path | None:
    """Install what `node/package-lock.json` names; the folder node_modules, or None if npm cannot.

    No package's own scripts run.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return None
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_NODE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=90)
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode else folder / "node_modules"
