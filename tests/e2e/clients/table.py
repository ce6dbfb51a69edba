"""The table in docs/editors.md: a row for each client, with the result and day of its last run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.clients.client import Client, NotRun

PAGE = Path(__file__).parents[3] / "docs" / "editors.md"
_NOT_RUN = "not run here"
_HEADER = (
    "| Client | Version | What was done | In the container | Result | Date |",
    "|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Run:
    """What a run has found.

    Attributes:
        version: the client's version.
        date: the day, as 2026-11-30.
    """

    version: str
    date: str


def read(page: str) -> dict[str, tuple[str, Run, str]]:
    """What was done, the run, and the result, by the client's name."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _lines(page)[2:]]
    return {
        name: (what, Run(version, date), result)
        for name, version, what, _, result, date in cells
        if result != _NOT_RUN
    }


def written(
    page: str, clients: Sequence[Client], runs: Mapping[str, Run], others: Sequence[NotRun]
) -> str:
    """The page with a row for each client that has been run, now or before; then the others."""
    known = {name: run for name, (_, run, _) in read(page).items()} | dict(runs)
    rows = [_row(client, known[client.name]) for client in clients if client.name in known]
    rows += [f"| {other.name} | | {other.instead} | | {_NOT_RUN} | |" for other in others]
    before = page[: page.index(_HEADER[0])]
    after = page[page.index(_HEADER[0]) :].partition("\n\n")[2]
    return "\n".join([before + _HEADER[0], _HEADER[1], *rows]) + f"\n\n{after}"


def _row(client: Client, run: Run) -> str:
    needs = ", ".join(client.needs).replace("sftp", "an SFTP server")
    cells = (client.name, run.version, client.what, needs, client.result, run.date)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _lines(page: str) -> list[str]:
    return page[page.index(_HEADER[0]) :].partition("\n\n")[0].splitlines()
