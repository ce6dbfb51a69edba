"""`script/clients [NAME...]`: runs the clients in a lab and writes the table of docs/editors.md."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from tests.e2e.clients import table
from tests.e2e.clients.catalog import ALL, NOT_RUN, node_packages
from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import opened
from tests.e2e.clients.table import Run
from tests.e2e.labs import Lab, running


def main(names: list[str]) -> int:
    """Run the clients with these names, or all; 1 if one did not do what its row says."""
    if unknown := set(names) - {client.name for client in ALL}:
        print(f"no such client: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [client for client in ALL if not names or client.name in names]
    with tempfile.TemporaryDirectory(prefix="c") as name:
        folder = Path(name)
        modules = node_packages(folder)
        runs: dict[str, Run] = {}
        failed: list[str] = []
        with (
            running(_made(folder / "lab"), "--job", "myjob", "--nodes", "2") as bare,
            # As every user has it: a daemon serves, and keeps sessions.
            bare.with_daemon(SM_PROXY_KEEP_SESSION="2m") as lab,
        ):
            for client in chosen:
                version = client.found(modules)
                if not version:
                    continue
                if _tried(client, lab, folder, modules):
                    today = datetime.now(timezone.utc).date().isoformat()
                    runs[client.name] = Run(version, today)
                else:
                    failed.append(client.name)
    page = table.PAGE.read_text(encoding="utf-8")
    table.PAGE.write_text(table.written(page, ALL, runs, NOT_RUN), encoding="utf-8")
    _tell_missing([client for client in chosen if client.name not in [*runs, *failed]])
    print(f"{len(runs)} clients did what their rows say; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _tried(client: Client, lab: Lab, folder: Path, modules: Path | None) -> bool:
    """Run a client on a desk of its own; tell how it went."""
    started = time.monotonic()
    with opened(lab, Path(tempfile.mkdtemp(dir=folder)), modules) as desk:
        try:
            client.try_it(desk)
        except Exception as error:  # noqa: BLE001 - the others still run
            print(f"{client.name}: FAILED: {error!r}", flush=True)
            return False
    print(f"{client.name}: {client.result} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def _tell_missing(clients: list[Client]) -> None:
    if clients:
        print(f"not installed: {', '.join(client.name for client in clients)}")
    if packages := sorted({client.package for client in clients if client.package}):
        print(f"    sudo apt-get install --no-install-recommends {' '.join(packages)}")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
