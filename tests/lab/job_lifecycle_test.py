"""The life of a training job, step by step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sm_proxy_lab import job_lifecycle
from sm_proxy_lab.containers import JobRequest, Node

_TRAINING = ["Pending", "Downloading", "Training"]


class _Machines:
    """Makes no container, and notes the status that each step of a job sets."""

    def __init__(self) -> None:
        self.control = self
        self.steps: list[str] = []

    async def prepare(self, *_: object) -> list[Node]:
        return []

    async def call(self, method: str, *arguments: Any) -> None:
        if method == "set_status":
            self.steps.append(arguments[1])


def _steps_to(status: str) -> list[str]:
    machines = _Machines()
    job = JobRequest("j", "us-east-1", {})
    life = job_lifecycle.JobLifecycle(machines, job, [None])  # type: ignore[arg-type]
    asyncio.run(life.until(status))
    return machines.steps


@pytest.mark.parametrize(
    ("status", "steps"),
    [
        ("Downloading", ["Pending", "Downloading"]),
        ("Training", _TRAINING),
        ("Completed", [*_TRAINING, "Uploading", "Completed"]),
        ("Failed", [*_TRAINING, "Uploading", "Failed"]),
        ("Stopped", [*_TRAINING, "Stopping", "Uploading", "Stopped"]),
        ("MaxRuntimeExceeded", [*_TRAINING, "Stopping", "Uploading", "MaxRuntimeExceeded"]),
        ("MaxWaitTimeExceeded", ["Pending", "MaxWaitTimeExceeded"]),
    ],
)
def test_the_steps_to_a_status(status: str, steps: list[str]) -> None:
    assert _steps_to(status) == steps


@pytest.mark.parametrize("status", job_lifecycle.STATUSES)
def test_every_status_can_be_held(status: str) -> None:
    assert ["Starting", *_steps_to(status)][-1] == status
