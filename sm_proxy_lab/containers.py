"""Prepares, starts, watches and stops the containers of a job."""

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

from sm_proxy_lab.errors import JobError, LabError
from sm_proxy_lab.image_config import SSHD, ImageConfig
from sm_proxy_lab.job_data import JobData, Machine
from sm_proxy_lab.job_log import ControlQueue, JobLog
from sm_proxy_lab.job_output import JobOutput
from sm_proxy_lab.machines import agent, image_root, namespaces, role_credentials, rootfs
from sm_proxy_lab.machines import image as machine_files
from sm_proxy_lab.machines.processes import Child, chunks
from sm_proxy_lab.machines.software import Software, find_software
from sm_proxy_lab.python import python_module

if TYPE_CHECKING:
    from sm_proxy_lab.job_kinds.request import Instance, JobRequest
    from sm_proxy_lab.machines.network import Cable, Network


@dataclass
class Node:
    """One container."""

    instance: Instance
    cable: Cable
    root: Path
    software: Software
    log: JobLog
    child: Child | None = None
    copying: asyncio.Task[None] | None = None
    status: asyncio.Task[int] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    agent: Child | None = None
    output: JobOutput | None = None
    uploading: asyncio.Task[None] | None = None

    @property
    def host(self) -> str:
        """The name by which the job's machines know it."""
        return self.instance.host

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


@dataclass
class ContainerRunner:
    """Starts containers with the isolation that this machine permits.

    Attributes:
        folder: for the containers' files.
        network: the network to which containers are connected.
        control: calls the AWS endpoint, for logs.
        endpoint: the URL of the AWS endpoint, for S3.
        software: the containers' software, unless their image says otherwise.
        role: the endpoint for the credentials of the job's role.
        agents: the gateway's unix socket for containers' agents.
        isolated: whether containers have namespaces of their own.
        plugging: held while the network is changed.
    """

    folder: Path
    network: Network
    control: ControlQueue
    endpoint: str
    software: Software
    role: role_credentials.RoleCredentials = field(default_factory=role_credentials.RoleCredentials)
    agents: Path = Path("agents.sock")
    isolated: bool = field(
        default_factory=lambda: os.geteuid() == 0 and namespaces.may_isolate(namespaces.CONTAINER)
    )
    plugging: asyncio.Lock = field(default_factory=asyncio.Lock)

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

    async def prepare(
        self, job: JobRequest, image: ImageConfig, cidrs: list[str | None]
    ) -> list[Node]:
        """Connect the job's nodes to the network and write their files.

        Raises:
            JobError: the job's data cannot be read.
        """
        software = await asyncio.to_thread(self._software_of, image)
        instances = job.instances()
        async with self.plugging:  # the network is not thread-safe
            cables = await asyncio.to_thread(self._plug, job, cidrs, len(instances))
        hosts = {each.host: cable.address for each, cable in zip(instances, cables, strict=True)}
        nodes = []
        for instance, cable in zip(instances, cables, strict=True):
            # Jobs of different kinds may have the same name.
            root = self.folder / f"{job.KIND}-{job.name}-{instance.host}"
            root.mkdir(parents=True)
            documents = job.documents(instance, instances, cable.device)
            machine_files.write_ml(root, job.FOLDERS, documents)
            if image.is_own:
                machine_files.write_image(root)
                if job.program:
                    machine_files.add_program(root, job.program)
            for files in (image.files, *(() if software.root else image.layers)):
                if files:
                    machine_files.add_folder(root, files)
            if image.is_own and job.program is None and not job.requested_entrypoint:
                machine_files.write_checkpoint(root)
            own_users = software.root is not None
            machine_files.write_etc(root, host=instance.host, addresses=hosts, own_users=own_users)
            stream = f"{job.name}/{instance.host}-{int(time.time() * 1000)}"
            log = JobLog(self.control, job.LOG_GROUP, stream, region=job.region, filler=job.filler)
            nodes.append(Node(instance, cable, root, software, log))
        await self._copy_data(job, nodes)
        return nodes

    def _software_of(self, image: ImageConfig) -> Software:
        """The software of an image; it may have to be built first, which takes minutes.

        Raises:
            JobError: this machine cannot run the image.
        """
        if image.root in {"", rootfs.HOST}:
            return find_software() if image.root and self.software.root else self.software
        may_overlay = self.isolated and image_root.may_overlay()
        if image.layers and not may_overlay:  # it was built without a root either
            return find_software()
        if image.root == rootfs.EMPTY:
            return Software(root=rootfs.empty())
        if image.root not in rootfs.IMAGES:
            raise JobError(f"InternalServerError: no image {image.root}")
        if not may_overlay:
            raise JobError(f"InternalServerError: this machine cannot run the image {image.root}")
        try:
            return find_software(image.root, image.packages)
        except LabError as error:
            raise JobError(f"InternalServerError: {error}") from None

    def _plug(self, job: JobRequest, cidrs: list[str | None], count: int) -> list[Cable]:
        wanted = [cidrs[index % len(cidrs)] for index in range(count)]
        if job.is_isolated():
            return self.network.plug_isolated(wanted)
        return [self.network.plug_node(cidr) for cidr in wanted]

    async def _copy_data(self, job: JobRequest, nodes: list[Node]) -> None:
        data = JobData(self.endpoint, job.region, job.role)
        machines = [Machine(node.instance, node.root) for node in nodes]
        for wanted in job.inputs():
            await asyncio.to_thread(data.copy, wanted, machines)

    async def start(self, job: JobRequest, image: ImageConfig, nodes: list[Node]) -> None:
        """Run each node's first process and copy its output to the log."""
        hosts = [node.host for node in nodes]
        for node in nodes:
            if job.filler_before:
                await node.log.fill(job.filler_before)
            data = JobData(self.endpoint, job.region, job.role)
            node.output = JobOutput(data, job.outputs(), node.root)
            self._start(node, self._spec(job, image, node, hosts))
            node.uploading = asyncio.create_task(node.output.run())

    def _start(self, node: Node, spec: dict[str, Any]) -> None:
        node.environment = spec["environment"]
        file = node.root / "spec.json"
        file.write_text(json.dumps(spec), encoding="utf-8")
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

    def start_agent(self, node: Node, target: str, user: str) -> None:
        """Let a container accept sessions of Systems Manager.

        Without namespaces the container has no loopback of its own: its own address stands in for
        it, and 127.0.0.1 is this machine's. Its shells have the whole environment of the container,
        because nothing else tells them where its files are.

        Args:
            node: the container, which was started.
            target: the name that StartSession uses.
            user: the USER of its image.
        """
        own_loopback = node.cable.netns is not None
        assert node.child is not None  # noqa: S101
        spec = {
            "gateway": str(self.agents),
            "target": target,
            "addresses": ["::1" if own_loopback else node.cable.address, "127.0.0.1"],
            "launcher": node.child.process.pid if self.isolated else None,
            "user": user if self.isolated else "",
            "environment": {"PATH": agent.PATH, "HOME": "/root"}
            if self.isolated
            else node.environment,
        }
        node.agent = Child(
            [*python_module("sm_proxy_lab.machines.agent"), json.dumps(spec)],
            netns=node.cable.netns,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )

    def _spec(
        self, job: JobRequest, image: ImageConfig, node: Node, hosts: list[str]
    ) -> dict[str, Any]:
        """The instructions for `container_init`."""
        software = node.software
        return {
            "isolated": self.isolated,
            "netns": node.cable.netns,
            "hostname": node.host,
            "root": str(node.root),
            "image": str(software.root or ""),
            "binds": software.binds,
            "argv": self._command(job, image, node),
            "environment": self._environment(job, image, node, hosts),
            "user": image.user,
            "folder": image.folder,
            "files": image.files,
            "layers": image.layers,
            "hidden": image.hidden,
            "read_only": [f"/{each.folder}" for each in job.inputs() if each.read_only],
        }

    def _inside(self, node: Node, path: str) -> str:
        """Return the path of one of the image's files inside the container."""
        return f"/{path}" if self.isolated else str(node.root / path)

    def ml_dir(self, node: Node) -> str:
        """Return the path of `/opt/ml` for a program in the container."""
        return self._inside(node, "opt/ml")

    def _command(self, job: JobRequest, image: ImageConfig, node: Node) -> list[str]:
        return [
            self._inside(node, word[1:])
            if word.startswith("/opt/") and (node.root / word[1:]).exists()
            else word
            for word in job.command(image)
        ]

    def _environment(
        self, job: JobRequest, image: ImageConfig, node: Node, hosts: list[str]
    ) -> dict[str, str]:
        environment = job.environment(image, node.instance, hosts, node.cable.device)
        if node.cable.netns is not None:
            path = environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
            self.role.roles[path] = job.role
            environment.setdefault("AWS_ENDPOINT_URL_S3", role_credentials.S3_ENDPOINT)
        environment["HOME"] = "/root" if self.isolated else str(node.root)
        if node.software.sshd and SSHD not in image.hidden:
            software = node.software
            environment["SM_PROXY_SSHD"] = software.sshd_inside if self.isolated else software.sshd
        if node.cable.port is not None:
            environment["SM_PROXY_LISTEN"] = node.cable.address
            environment.setdefault("SM_PROXY_PORT", str(node.cable.port))
        if not self.isolated:
            environment["SM_PROXY_RUN_DIR"] = str(node.root / "run")
            environment["SM_PROXY_ML_DIR"] = str(node.root / "opt" / "ml")
            environment["USER"] = self.user
        return environment


async def _status(node: Node) -> int:
    """Wait until a container has ended and all its output is in the log; return its exit status."""
    assert node.child is not None  # noqa: S101 - set just before this task is made
    assert node.copying is not None  # noqa: S101
    status = await node.child.wait()
    await node.copying
    return status


async def stop(nodes: list[Node], grace: float) -> None:
    """Send SIGTERM to containers, as SageMaker does; kill them after `grace` seconds.

    What they have changed in folders that S3 has a copy of is copied a last time.
    """
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
    for node in nodes:
        if node.output and node.uploading and not node.uploading.done():
            node.uploading.cancel()
            await asyncio.to_thread(node.output.copy)
