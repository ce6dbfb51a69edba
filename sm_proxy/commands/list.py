"""`sm-proxy list`: jobs, Studio spaces and HyperPod clusters, and whether ssh can reach them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import partial
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import Kind
from sm_proxy.commands import options
from sm_proxy.errors import printable
from sm_proxy.inventory import reachable, remembered, session_kinds
from sm_proxy.inventory.reachable import Reachability
from sm_proxy.jobs import kinds, listing
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Summary
from sm_proxy.jobs.times import in_words
from sm_proxy.local import layout, output
from sm_proxy.local.layout import Cell, Row
from sm_proxy.local.output import Result
from sm_proxy.local.screen import Screen
from sm_proxy.settings import Settings

_RECENT: Final = 10
"""How many ended jobs of each kind are shown."""
_REASON_SHOWN: Final = 200
_HEADINGS: Final = ("HOST", "KIND", "STATUS", "AGE", "NODES", "REACHABLE")
_WORDS: Final = {True: Cell("yes", "good"), False: Cell("no", "bad"), None: Cell("?")}

DESCRIPTION: Final = (
    "Lists running and recent jobs, Studio spaces and HyperPod clusters with their host "
    "names. The first thing to type if you do not know a name."
)
EXAMPLES: Final = (
    ("sm-proxy list", "what runs, and its host name"),
    ("sm-proxy list --check", "which of them ssh can reach"),
    ("sm-proxy list --json", "for a script"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list [--check] [--json]`."""
    parser.add_argument(
        "--check", action="store_true", help="try to reach each running job, as ssh would"
    )
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """List one page of each kind, concurrently; with `--check`, also try each running job."""
    aws = Aws(settings.profile, settings.region)
    listed = listing.list_all(aws, output.status, asked=listing.EVERY)
    clashes = session_kinds.clashing(listed)
    jobs = _shown(listed)
    targets = [session_kinds.target_of(job, settings.prefix, clashes) for job in jobs]
    found = (
        reachable.check_all(jobs, targets, settings, aws)
        if args.check
        else reachable.guess_all(jobs, targets, aws)
    )
    rows = list(zip(jobs, targets, found, strict=True))
    remembered.keep(rows)
    return Result(
        {"jobs": [_data(*row) for row in rows]}, partial(_text, rows, aws.now(), aws.region)
    )


def _shown(jobs: Sequence[Summary]) -> list[Summary]:
    """Starting and running jobs, then some that have ended, each newest first."""
    newest = sorted(jobs, key=lambda job: job.created, reverse=True)
    over = [job for job in newest if job.phase in {"ended", "failed"}]
    recent = [job for kind in listing.EVERY for job in _of(kind, over)[:_RECENT]]
    return [job for job in newest if job not in over] + [job for job in over if job in recent]


def _of(kind: Kind, jobs: Sequence[Summary]) -> list[Summary]:
    return [job for job in jobs if job.kind == kind]


def _data(job: Summary, target: Target, found: Reachability) -> dict[str, Any]:
    return {
        "job": job.name,
        "host": target.host,
        "kind": job.kind,
        "status": job.status,
        "created": f"{job.created.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}",
        "nodes": found.nodes,
        "reachable": found.reachable,
        "reason": found.reason,
        "kept": found.kept,
        "relaunchable": _can_be_relaunched(job),
    }


def _can_be_relaunched(job: Summary) -> bool:
    return job.phase in {"ended", "failed"} and kinds.of(job.kind).CAN_BE_RELAUNCHED


def _text(
    jobs: Sequence[tuple[Summary, Target, Reachability]],
    now: datetime,
    region: str,
    screen: Screen,
) -> str:
    if not jobs:
        return f"no jobs in {printable(region) or 'no region'}"
    rows = [_row(*each, now) for each in jobs]
    return "\n".join(layout.table(_HEADINGS, rows, screen))


def _row(job: Summary, target: Target, found: Reachability, now: datetime) -> Row:
    notes = [printable(found.reason, _REASON_SHOWN)] if found.reason else []
    if found.kept:
        notes.append("its program has ended, and its container is kept")
    if job.phase == "failed" and _can_be_relaunched(job):
        notes.append("`sm-proxy relaunch` runs it again")
    over = job.phase in {"ended", "failed"}
    reachable_word = _WORDS[found.reachable]
    return Row(
        (
            printable(target.host),
            job.kind,
            Cell(printable(job.status), "bad" if job.phase == "failed" else None),
            in_words((now - job.created).total_seconds()),
            "?" if found.nodes is None else str(found.nodes),
            Cell(reachable_word.text) if over else reachable_word,
        ),
        "; ".join(notes),
    )
