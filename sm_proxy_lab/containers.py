"""Prepares, starts, watches and stops the containers of a training job."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.job_log import ControlQueue, JobLog
from sm_proxy_lab.machines import image, image_root, namespaces, role_credentials
from sm_proxy_lab.machines.processes import Child, chunks
from sm_proxy_lab.python import python_module

if TYPE_CHECKING:
    from sm_proxy_lab.machines.network import Cable, Network


_TOOLS = "lab-tools"  # below /opt in a container


@dataclass(frozen=True)
class JobRequest:
    """A job as it was requested, and the lab's options for it.

    Attributes:
        name: the job's name.
        region: the region of the job.
        request: the CreateTrainingJob request.
        program: path of a training program on the host; None for the demo's.
        bare: run the program without our entrypoint.
        filler: number of log lines after the marker.
        filler_before: number of log lines before the container's first.
    """

    name: str
    region: str
    request: dict[str, Any]
    program: str | None = None
    bare: bool = False
    filler: int = 0
    filler_before: int = 0

    @property
    def arn(self) -> str:
        """The job's ARN, in which SageMaker writes the name in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{ACCOUNT}:training-job/{self.name.lower()}"

    @property
    def requested_command(self) -> list[str]:
        """The entrypoint and arguments of the request; empty if it has none."""
        algorithm = self.request.get("AlgorithmSpecification", {})
        names = ("ContainerEntrypoint", "ContainerArguments")
        return [word for name in names for word in algorithm.get(name, [])]

    @property
    def is_demo(self) -> bool:
        """Whether the job runs the demo's training program."""
        return self.program is None and not self.requested_command


@dataclass
class Node:
    """One container."""

    host: str
    cable: Cable
    root: Path
    log: JobLog
    child: Child | None = None
    copying: asyncio.Task[None] | None = None
    status: asyncio.Task[int] | None = None

    @property
    def port(self) -> int:
        """The port of its sshd: from the marker, else the port that the lab chose, else 22."""
        return int((self.log.marker or {}).get("port", self.cable.port or 22))


def _refuse_without_login() -> None:
    """Raise LabError if sshd would refuse this user: no passwd entry, or no login shell."""
    try:
        entry = pwd.getpwuid(os.geteuid())
    except KeyError:
        raise LabError(f"uid {os.geteuid()} has no passwd entry: use an ordinary user") from None
    if Path(entry.pw_shell).name in {"nologin", "false"}:
        raise LabError(f"{entry.pw_name} has no login shell: run the lab as an ordinary user")


@dataclass(frozen=True)
class Software:
    """The software in containers: this machine's programs or an image.

    Attributes:
        sshd: absolute path of an sshd of this machine; empty if there is an image.
        tools: folder with this sshd, to be mounted in containers; None if that is not needed.
        root: the root of the image (see `machines.rootfs`), or None for this machine's own.
    """

    sshd: str = ""
    tools: Path | None = None
    root: Path | None = None


@dataclass
class ContainerRunner:
    """Starts containers with the isolation that this machine permits.

    Attributes:
        folder: for the containers' files.
        network: the network to which containers are connected.
        control: calls the AWS endpoint, for logs.
        software: the containers' software.
        role: the endpoint for the credentials of the job's role.
        isolated: whether containers have namespaces of their own.
    """

    folder: Path
    network: Network
    control: ControlQueue
    software: Software
    role: role_credentials.RoleCredentials = field(default_factory=role_credentials.RoleCredentials)
    isolated: bool = field(
        default_factory=lambda: os.geteuid() == 0 and namespaces.may_isolate(namespaces.CONTAINER)
    )
    _plugging: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def user(self) -> str:
        """The user that sshd in the containers accepts."""
        return "root" if self.isolated else getpass.getuser()

    def check(self) -> None:
        """Raise LabError if no container could have a working sshd."""
        if self.software.root and not (self.isolated and image_root.may_overlay()):
            raise LabError(
                "--image needs root and permission to mount an overlay in a namespace:"
                " run the lab without --image"
            )
        if not self.isolated:
            _refuse_without_login()
        if os.geteuid() == 0 and not self.isolated:
            try:
                pwd.getpwnam("sshd")
            except KeyError:
                raise LabError(
                    "mount namespaces are not permitted here, and without them root's sshd needs"
                    " the user `sshd`: install openssh-server, or run the lab as another user"
                ) from None

    async def prepare(self, job: JobRequest, cidrs: list[str | None]) -> list[Node]:
        """Connect the job's nodes to the network and write their files."""
        count = int(job.request.get("ResourceConfig", {}).get("InstanceCount", 1))
        hosts = [f"algo-{index + 1}" for index in range(count)]
        async with self._plugging:  # the network is not thread-safe
            cables = await asyncio.to_thread(
                self._plug, [cidrs[i % len(cidrs)] for i in range(count)]
            )
        addresses = {host: cable.address for host, cable in zip(hosts, cables, strict=True)}
        nodes = []
        for host, cable in zip(hosts, cables, strict=True):
            root = self.folder / f"{job.name}-{host}"
            root.mkdir(parents=True)
            image.write_image(root)
            image.write_ml(root, host=host, hosts=hosts, device=cable.device, request=job.request)
            if job.is_demo:
                image.write_checkpoint(root)
            own_users = self.software.root is not None
            image.write_etc(root, host=host, addresses=addresses, own_users=own_users)
            stream = f"{job.name}/{host}-{int(time.time() * 1000)}"
            log = JobLog(self.control, stream, job.region, filler=job.filler)
            nodes.append(Node(host, cable, root, log))
        return nodes

    def _plug(self, cidrs: list[str | None]) -> list[Cable]:
        return [self.network.plug_node(cidr) for cidr in cidrs]

    async def start(self, job: JobRequest, node: Node, hosts: list[str]) -> None:
        """Run a node's first process and copy its output to the log."""
        spec = {
            "isolated": self.isolated,
            "netns": node.cable.netns,
            "hostname": node.host,
            "root": str(node.root),
            "image": str(self.software.root or ""),
            "binds": {_TOOLS: str(self.software.tools)} if self.software.tools else {},
            "argv": self._command(job, node),
            "environment": self._environment(job, node, hosts),
        }
        file = node.root / "spec.json"
        file.write_text(json.dumps(spec), encoding="utf-8")
        if job.filler_before:
            await node.log.fill(job.filler_before)
        node.child = Child(
            [*python_module("sm_proxy_lab.machines.container_init"), str(file)],
            pass_fds=[node.cable.netns] if node.cable.netns is not None else [],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        node.copying = asyncio.create_task(node.log.copy(chunks(node.child.process.stdout)))
        node.status = asyncio.create_task(_status(node))

    def _inside(self, node: Node, path: str) -> str:
        """Return the path of one of the image's files inside the container."""
        return f"/{path}" if self.isolated else str(node.root / path)

    def ml_dir(self, node: Node) -> str:
        """Return the path of `/opt/ml` for a program in the container."""
        return self._inside(node, "opt/ml")

    def _command(self, job: JobRequest, node: Node) -> list[str]:
        if job.requested_command:
            home = f"/{image.HOME}/"
            return [
                self._inside(node, word[1:]) if word.startswith(home) else word
                for word in job.requested_command
            ]
        if job.program is None:
            program = f"{image.HOME}/train_demo.sh"
        else:
            program = image.add_program(node.root, job.program)
        entrypoint = [] if job.bare else [self._inside(node, f"{image.HOME}/entrypoint.sh")]
        return [*entrypoint, self._inside(node, program)]

    def _environment(self, job: JobRequest, node: Node, hosts: list[str]) -> dict[str, str]:
        environment = image.environment(
            job=job.name,
            arn=job.arn,
            region=job.region,
            host=node.host,
            hosts=hosts,
            device=node.cable.device,
            request=job.request,
        )
        if node.cable.netns is not None:
            self.role.paths.add(environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
            environment.setdefault("AWS_ENDPOINT_URL_S3", role_credentials.S3_ENDPOINT)
        environment["HOME"] = "/root" if self.isolated else str(node.root)
        if self.software.sshd:
            environment["SM_PROXY_SSHD"] = self._sshd_inside()
        if node.cable.port is not None:
            environment["SM_PROXY_LISTEN"] = node.cable.address
            environment.setdefault("SM_PROXY_PORT", str(node.cable.port))
        if not self.isolated:
            environment["SM_PROXY_RUN_DIR"] = str(node.root / "run")
            environment["SM_PROXY_ML_DIR"] = str(node.root / "opt" / "ml")
            environment["USER"] = self.user
        return environment

    def _sshd_inside(self) -> str:
        sshd, tools = self.software.sshd, self.software.tools
        if tools is None or not self.isolated:
            return sshd
        return f"/opt/{_TOOLS}/{Path(sshd).relative_to(tools)}"


async def _status(node: Node) -> int:
    """Wait until a container has ended and all its output is in the log; return its exit status."""
    assert node.child is not None  # noqa: S101 - set just before this task is made
    assert node.copying is not None  # noqa: S101
    status = await node.child.wait()
    await node.copying
    return status


async def stop(nodes: list[Node], grace: float) -> None:
    """Send SIGTERM to containers, as SageMaker does; kill them after `grace` seconds."""
    running = [node for node in nodes if node.child and node.child.running]
    for node in running:
        if node.child:
            node.child.send(signal.SIGTERM)
    waiting = [node.status for node in running if node.status]
    if waiting:
        await asyncio.wait(waiting, timeout=grace)
    for node in running:
        if node.child:
            node.child.send(signal.SIGUSR1)  # see container_init
    await asyncio.gather(*waiting)
