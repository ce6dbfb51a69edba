"""Move a training job through its SecondaryStatus values, as SageMaker does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.control_client import ControlError
from sm_proxy_lab.containers import ContainerRunner, JobRequest, Node, stop

if TYPE_CHECKING:
    from pathlib import Path

_BEFORE = ("Pending", "Downloading")
# Requested status -> the steps from Training to it.
_AFTER = {
    "Uploading": ("Uploading",),
    "Completed": ("Uploading", "Completed"),
    "Failed": ("Uploading", "Failed"),
    "Stopping": ("Stopping",),
    "Stopped": ("Stopping", "Uploading", "Stopped"),
    "MaxRuntimeExceeded": ("Stopping", "Uploading", "MaxRuntimeExceeded"),
    "Interrupted": ("Interrupted",),
    "Restarting": ("Interrupted", "Restarting"),
    "Updating": ("Updating",),
}
# Requested status -> the steps to it, without any container.
_EARLY = {
    "Starting": (),
    "Pending": ("Pending",),
    "Downloading": ("Pending", "Downloading"),
    "MaxWaitTimeExceeded": ("Pending", "MaxWaitTimeExceeded"),
}
_ALIVE = {"Updating", "Stopping"}  # states of a job whose container still runs

_STOP_GRACE_S = 120.0  # SageMaker's time between SIGTERM and SIGKILL
_MARKER_TIMEOUT_S = 30.0


class JobLifecycle:
    """One job, from its creation to its end."""

    def __init__(self, machines: ContainerRunner, job: JobRequest, cidrs: list[str | None]) -> None:
        """Prepare; nothing is started yet.

        Args:
            machines: starts containers.
            job: the job, which has just been created.
            cidrs: CIDR blocks of the job's subnets; None for a job outside any VPC.
        """
        self._machines = machines
        self._job = job
        self._cidrs = cidrs
        self._stopping = False
        self._over = False
        self.nodes: list[Node] = []

    async def move_to(self, status: str) -> None:
        """Move the job to a SecondaryStatus and keep it there; at Training, let it train."""
        if status in _EARLY:
            await self._walk(*_EARLY[status])
            return
        await self._train()
        if status == "Training":
            return
        self._over = True  # from here on the status no longer depends on the containers
        if status not in _ALIVE:
            await stop(self.nodes, 0.0)
        await self._walk(*_AFTER[status])

    async def run(self) -> None:
        """Move the job to Training, then to the status in which its containers end it."""
        await self._train()
        await self.finish()

    async def finish(self) -> None:
        """Wait for the containers, then set the job's final status."""
        pending = {node.status for node in self.nodes if node.status}
        codes: list[int] = []
        while pending and not any(codes):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            codes += [task.result() for task in done]
        if self._over or self._stopping or not codes:
            return
        self._over = True
        code = next((code for code in codes if code), 0)
        # The job fails if one node fails.
        await stop(self.nodes, 0.0)
        await self._walk("Uploading")
        if code:
            await self._move("Failed", failure_reason=self._reason(code))
        else:
            await self._move("Completed")

    async def stop(self) -> None:
        """Stop as StopTrainingJob does; the AWS endpoint has set Stopping already."""
        self._stopping = True
        await stop(self.nodes, _STOP_GRACE_S)
        await self._walk(*(["Uploading"] if self.nodes else []), "Stopped")

    async def _walk(self, *steps: str) -> None:
        for step in steps:
            await self._move(step)

    async def _move(self, step: str, **options: Any) -> None:
        # A test may have ended the job through the control plane.
        with contextlib.suppress(ControlError):
            await self._machines.control.call("set_status", self._job.name, step, **options)

    async def _train(self) -> None:
        await self._walk(*_BEFORE)
        self.nodes = await self._machines.prepare(self._job, self._cidrs)
        hosts = [node.host for node in self.nodes]
        addresses = [node.cable.address for node in self.nodes]
        await self._machines.control.call("plugged", self._job.name, addresses)
        for node in self.nodes:
            await self._machines.start(self._job, node, hosts)
        await self._move("Training")
        await asyncio.gather(*(self._await_marker(node) for node in self.nodes))

    async def _await_marker(self, node: Node) -> None:
        """Wait until a node's marker is in the log or the node has ended; at most 30 s."""
        assert node.status is not None  # noqa: S101
        if self._bare():
            await _first(node.log.written.wait(), node.status, timeout=_MARKER_TIMEOUT_S)
            # Without our entrypoint there is no marker: wait until its output pauses.
            quiet_since = began = time.monotonic()
            while time.monotonic() - quiet_since < 0.3 and time.monotonic() - began < 3:
                node.log.written.clear()
                await asyncio.sleep(0.1)
                if node.log.written.is_set():
                    quiet_since = time.monotonic()
                if node.status.done():
                    return
        else:
            await _first(node.log.readable.wait(), node.status, timeout=_MARKER_TIMEOUT_S)

    def _bare(self) -> bool:
        algorithm = self._job.request.get("AlgorithmSpecification", {})
        return self._job.bare or bool(algorithm.get("ContainerEntrypoint"))

    def _reason(self, code: int) -> str:
        """The FailureReason in SageMaker's form: the container's message and its exit code."""
        words = ""
        for node in self.nodes:
            words = words or _failure_file(self._output(node))
        return f"AlgorithmError: {words}, exit code: {code}"

    def _output(self, node: Node) -> Path:
        return node.root / "opt" / "ml" / "output" / "failure"


def _failure_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:1024].strip()
    except OSError:
        return ""


async def _first(event: Any, ended: asyncio.Task[int], *, timeout: float) -> None:
    """Wait for an event or for the end of a task, which is not cancelled."""
    waiter = asyncio.ensure_future(event)
    await asyncio.wait({waiter, ended}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
