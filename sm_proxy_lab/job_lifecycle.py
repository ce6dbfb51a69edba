"""Move a job through the steps of SageMaker: for training jobs, the values of SecondaryStatus."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.control_client import ControlError
from sm_proxy_lab.containers import ContainerRunner, Node, stop
from sm_proxy_lab.errors import JobError
from sm_proxy_lab.machines.image import starts_ours

if TYPE_CHECKING:
    from pathlib import Path

    from sm_proxy_lab.image_config import ImageConfig
    from sm_proxy_lab.job_kinds.request import JobRequest

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

    def __init__(
        self,
        machines: ContainerRunner,
        job: JobRequest,
        image: ImageConfig,
        cidrs: list[str | None],
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            machines: starts containers.
            job: the job, which has just been created.
            image: the image of its containers.
            cidrs: CIDR blocks of the job's subnets; None for a job outside any VPC.
        """
        self._machines = machines
        self._job = job
        self._image = image
        self._cidrs = cidrs
        self._stopping = False
        self._over = False
        self._deadline = 0.0  # set when the containers start
        self._trains = False
        self._remote_debug = job.remote_debug
        self.nodes: list[Node] = []

    async def move_to(self, status: str) -> None:
        """Move the job to a SecondaryStatus and keep it there; at Training, let it train."""
        if status in _EARLY:
            await self._walk(*_EARLY[status])
            return
        await self._train()
        await asyncio.gather(*(self._await_marker(node) for node in self.nodes))
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
        """Wait for the containers or MaxRuntimeInSeconds, then set the job's final status."""
        codes = await self._exit_codes()
        if self._over or self._stopping or not self.nodes:
            return
        self._over = True
        code = next((code for code in codes if code), 0)
        if not code and len(codes) < len(self.nodes):  # the time is up
            await self._move("Stopping")
            await stop(self.nodes, _STOP_GRACE_S)
            await self._walk("Uploading", "MaxRuntimeExceeded")
            return
        # The job fails if one node fails.
        await stop(self.nodes, 0.0)
        await self._walk("Uploading")
        if code:
            await self._move("Failed", self._job.failure_reason(self._words(), code))
        else:
            await self._move("Completed")

    async def _exit_codes(self) -> list[int]:
        """The exit codes of the containers that have ended: all, one that failed, or time is up."""
        pending = {node.status for node in self.nodes if node.status}
        codes: list[int] = []
        while pending and not any(codes):
            left = max(0.0, self._deadline - time.monotonic())
            done, pending = await asyncio.wait(
                pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            codes += [task.result() for task in done]
        return codes

    async def stop(self) -> None:
        """Stop as the Stop operation does; the AWS endpoint has set Stopping already."""
        self._stopping = True
        await stop(self.nodes, _STOP_GRACE_S)
        await self._walk(*(["Uploading"] if self.nodes else []), "Stopped")

    def set_remote_debug(self, *, on: bool) -> None:
        """Switch RemoteDebug on or off, as UpdateTrainingJob does."""
        self._remote_debug = on
        if not self._trains:
            return
        for node in self.nodes:
            runs = node.agent is not None and node.agent.running
            if on and not runs:
                target = f"sagemaker-training-job:{self._job.name}_{node.host}"
                self._machines.start_agent(node, target, self._image.user)
            elif node.agent and not on:
                node.agent.send(signal.SIGTERM)

    async def _walk(self, *steps: str) -> None:
        for step in steps:
            await self._move(step)

    async def _move(self, step: str, reason: str | None = None) -> None:
        if self._stopping and step in {*_BEFORE, "Training"}:
            return  # told to stop while it was starting
        change = self._job.status_change(step, reason, self._words())
        if change is None:
            return
        method, options = change
        # A test may have ended the job through the control plane.
        with contextlib.suppress(ControlError):
            await self._machines.control.call(method, **options)

    async def _train(self) -> None:
        await self._walk(*_BEFORE)
        try:
            nodes = await self._machines.prepare(self._job, self._image, self._cidrs)
        except JobError as error:
            self._over = True
            await self._move("Failed", str(error))
            return
        if not self._job.is_isolated():
            addresses = [node.cable.address for node in nodes]
            groups = self._job.vpc().get("SecurityGroupIds", [])
            macs = [node.cable.mac for node in nodes]
            await self._machines.control.call(
                "plugged",
                addresses,
                groups,
                macs=macs,
                owner=self._job.name,
                region=self._job.region,
            )
        if self._stopping:
            return
        self.nodes = nodes
        self._deadline = time.monotonic() + self._job.max_runtime_s
        await self._machines.start(self._job, self._image, nodes)
        await self._move("Training")
        self._trains = True
        self.set_remote_debug(on=self._remote_debug)

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
        """Whether the containers run without our entrypoint, as far as the request shows."""
        ours = self._image.is_own and starts_ours(self._image.entrypoint)
        return not ours or bool(self._job.requested_entrypoint)

    def _words(self) -> str:
        """What the containers wrote to their message files; at most 1024 characters."""
        files = (node.root / "opt" / "ml" / self._job.MESSAGE for node in self.nodes)
        return next(filter(None, map(_read, files)), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:1024].strip()
    except OSError:
        return ""


async def _first(event: Any, ended: asyncio.Task[int], *, timeout: float) -> None:
    """Wait for an event or for the end of a task, which is not cancelled."""
    waiter = asyncio.ensure_future(event)
    await asyncio.wait({waiter, ended}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
