"""The steps of a training job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy_lab import job_lifecycle
from sm_proxy_lab.aws.sagemaker.statuses import STATUSES
from sm_proxy_lab.containers import Node
from sm_proxy_lab.image_config import ImageConfig
from sm_proxy_lab.job_kinds.training import TrainingRequest
from sm_proxy_lab.machines.network import Cable

_TRAINING = ["Pending", "Downloading", "Training"]


class _Machines:
    """Makes no containers, and records each status that a job gets."""

    def __init__(self) -> None:
        self.control = self
        self.steps: list[str] = []

    async def prepare(self, *_: object) -> list[Node]:
        return []

    async def start(self, *_: object) -> None:
        pass

    async def call(self, method: str, *_: Any, **options: Any) -> None:
        if method == "set_status":
            self.steps.append(options["secondary"])


def _steps_to(status: str) -> list[str]:
    machines = _Machines()
    asyncio.run(_lifecycle(machines).move_to(status))
    return machines.steps


def _lifecycle(machines: _Machines, **request: Any) -> job_lifecycle.JobLifecycle:
    job = TrainingRequest("j", "us-east-1", request)
    image = ImageConfig(is_own=True)
    return job_lifecycle.JobLifecycle(machines, job, image, [None])  # type: ignore[arg-type]


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
def test_a_status_is_reached_through_the_steps_of_sagemaker(status: str, steps: list[str]) -> None:
    assert _steps_to(status) == steps


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_can_be_held(status: str) -> None:
    assert ["Starting", *_steps_to(status)][-1] == status


class _SlowMachines(_Machines):
    """Prepares containers until it is told to go on; starting them fails."""

    def __init__(self) -> None:
        super().__init__()
        self.preparing, self.go_on = asyncio.Event(), asyncio.Event()

    async def prepare(self, *_: object) -> list[Node]:
        self.preparing.set()
        await self.go_on.wait()
        return []

    async def start(self, *_: object) -> None:
        raise AssertionError


def test_a_job_that_is_stopped_while_it_starts_gets_no_containers() -> None:
    async def steps() -> list[str]:
        machines = _SlowMachines()
        life = _lifecycle(machines)
        running = asyncio.create_task(life.run())
        await machines.preparing.wait()
        await life.stop()
        machines.go_on.set()
        await running
        return machines.steps

    assert asyncio.run(steps()) == ["Pending", "Downloading", "Stopped"]


class _RunningMachines(_Machines):
    """Makes one container, which runs until it is stopped."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.node: Any = SimpleNamespace(
            host="algo-1",
            root=folder,
            cable=Cable("10.0.0.1", 20, "eth0"),
            status=None,
            agent=None,
        )
        self.agents: list[str] = []
        self.debugged = asyncio.Event()
        self.graces: list[float] = []

    async def prepare(self, *_: object) -> list[Node]:
        return [self.node]

    async def start(self, *_: object) -> None:
        self.node.status = asyncio.create_task(asyncio.sleep(3600, 0))

    def start_agent(self, node: Any, target: str, user: str) -> None:
        self.agents.append(f"{target} {user}")
        self.debugged.set()
        node.agent = SimpleNamespace(running=True, send=lambda _: self.agents.append("ended"))

    async def stop(self, nodes: list[Node], grace: float) -> None:
        assert nodes == [self.node]
        self.graces.append(grace)
        self.node.status.cancel()


def test_max_runtime_stops_the_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = _RunningMachines(tmp_path)
    monkeypatch.setattr(job_lifecycle, "stop", machines.stop)
    limit = {"MaxRuntimeInSeconds": 0}

    async def run() -> None:
        await _lifecycle(machines, StoppingCondition=limit).run()

    asyncio.run(run())
    assert machines.steps == [*_TRAINING, "Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert machines.graces == [120]


def test_remote_debug_starts_an_agent_in_each_container_that_trains(tmp_path: Path) -> None:
    machines = _RunningMachines(tmp_path)

    async def run() -> None:
        life = _lifecycle(machines, RemoteDebugConfig={"EnableRemoteDebug": False})
        life.set_remote_debug(on=True)  # while it downloads
        assert machines.agents == []
        running = asyncio.create_task(life.run())
        await machines.debugged.wait()
        life.set_remote_debug(on=True)
        life.set_remote_debug(on=False)
        assert machines.agents == ["sagemaker-training-job:j_algo-1 ", "ended"]
        machines.node.status.cancel()
        running.cancel()

    asyncio.run(run())
