"""The screens of commands, drawn from fixed data at several widths.

`python -m tests.screens.drawings` writes them to files beside this one; `git diff` shows what has
changed. Look at it, then commit the files.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from sm_proxy.aws.job_kinds import Kind
from sm_proxy.commands import list as list_command
from sm_proxy.doctor import report
from sm_proxy.doctor.check import Finding
from sm_proxy.inventory.reachable import Reachability
from sm_proxy.jobs import hostname
from sm_proxy.jobs.job import Phase, Summary
from sm_proxy.local.screen import Screen
from tests.screens import states

FOLDER: Final = Path(__file__).parent
WIDTHS: Final = (60, 80, 200)
_NOW: Final = datetime(2026, 11, 30, tzinfo=timezone.utc)


def _job(name: str, status: str, hours: float, kind: Kind = "training") -> Summary:
    phase: Phase = {"Failed": "failed", "Completed": "ended"}.get(status, "running")  # type: ignore[assignment]
    created = _NOW - timedelta(hours=hours)
    return Summary(name=name, kind=kind, status=status, phase=phase, created=created)


def _found(nodes: int | None = 1, reason: str | None = None, **more: bool | None) -> Reachability:
    return Reachability(
        reachable=more.pop("reachable", reason is None), reason=reason, nodes=nodes, **more
    )


def _list(screen: Screen) -> str:
    no_address = "no IP address yet: its container has not written its marker to the log"
    denied = (
        "sagemaker:DescribeProcessingJob is denied: User:"
        " arn:aws:sts::123456789012:assumed-role/research/me is not authorized"
    )
    long_name = "a-job-whose-name-has-the-sixty-three-characters-that-aws-allows"
    rows = (
        (_job("bert", "Training", 3), _found(2)),
        (_job("pytorch-training-2026-11-29-10-11-12-123", "Downloading", 0.2),
         _found(500, no_address)),
        (_job(long_name, "Training", 30), _found(16)),
        (_job("prep", "InProgress", 1, "processing"), _found(None, denied, reachable=None)),
        (_job("notebook", "InService", 90, "space"), _found(1, "its remote access is off")),
        (_job("old", "Failed", 50), _found(1, "it has failed")),
        (_job("kept", "Completed", 55), _found(kept=True)),
    )  # fmt: skip
    drawn = [(job, hostname.shortest("sm-", job.name, job.kind), found) for job, found in rows]
    return list_command._text(drawn, _NOW, "eu-west-1", screen)


_FINDINGS: Final = (
    Finding("name", "passed", "the job bert of the kind training"),
    Finding("python", "passed", "3.11.7", 1),
    Finding("sagemaker:DescribeTrainingJob", "passed", "allowed", 120),
    Finding(
        "security-groups", "skipped", "ec2:DescribeSecurityGroups is denied", 80, doubtful=True
    ),
    Finding(
        "agent",
        "failed",
        "the bastion i-0123456789abcdef0 in vpc-0a1b2c3d is offline in Systems Manager: its agent"
        " has not answered for 3 h",
        240,
        "Start it: aws ec2 start-instances --instance-ids i-0123456789abcdef0 (or `sm-proxy infra"
        " resume`, if it is paused).",
        "bastion-offline",
    ),
    Finding("tunnel", "skipped", "not checked: agent failed", not_run=True),
    Finding("login", "skipped", "not checked: agent failed", not_run=True),
    Finding("startup-file", "skipped", "there is none"),
    Finding(
        "last-failure",
        "passed",
        "2 h ago: bastion-offline: no bastion of vpc-0a1b2c3d is online (through bastion)",
        3,
    ),
)


def _doctor(screen: Screen, *, verbose: bool = False) -> str:
    return report.text(_FINDINGS, "sm-proxy doctor sm-bert", screen, verbose=verbose)


SCREENS: Final[dict[str, Callable[[Screen], str]]] = {
    **states.SCREENS,
    "list": _list,
    "doctor": _doctor,
    "doctor-v": lambda screen: _doctor(screen, verbose=True),
    "doctor-well": lambda screen: report.text(
        _FINDINGS[:3], "sm-proxy doctor sm-bert", screen, verbose=False
    ),
}


def path(name: str, width: int) -> Path:
    """The file of a screen."""
    return FOLDER / f"{name}.{width}.txt"


def drawn(name: str, width: int) -> str:
    """A screen without colours."""
    return SCREENS[name](Screen(width)) + "\n"


def _write() -> None:
    for name in SCREENS:
        for width in WIDTHS:
            path(name, width).write_text(drawn(name, width), encoding="utf-8")


if __name__ == "__main__":
    _write()
