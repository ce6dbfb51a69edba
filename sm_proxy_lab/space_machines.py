"""The containers of Studio spaces: an app's first process, and its ssh server for the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab import space_account
from sm_proxy_lab.machines import agent, image
from sm_proxy_lab.machines.processes import Child
from sm_proxy_lab.python import python_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sm_proxy_lab.account import Account
    from sm_proxy_lab.containers import ContainerRunner
    from sm_proxy_lab.machines.network import Cable

USER: Final = "sagemaker-user"
_UID, _GID = 1000, 100  # as in SageMaker Distribution
_ENTRY: Final = f"{USER}:x:{_UID}:{_GID}::/home/{USER}:/bin/bash"
_APP: Final = ("/bin/sh", "-c", "while :; do sleep 1000000; done")
"""What stands in for the app. As the first process, the shell also reaps orphans."""


@dataclass
class _Machine:
    """One running app."""

    cable: Cable
    init: Child
    agent: Child


@dataclass
class SpaceMachines:
    """Starts and stops the containers of apps. A space's home folder outlives its apps.

    Attributes:
        folder: for the containers' files.
        machines: the runner of the jobs' containers.
        account: calls the AWS endpoint.
    """

    folder: Path
    machines: ContainerRunner
    account: Account
    _running: dict[str, _Machine] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)

    async def create_all(self, names: Sequence[str]) -> dict[str, str]:
        """Make spaces with a running app; return the variables for CMD.

        Raises:
            LabError: an app does not start.
        """
        if not names:
            return {}
        return await asyncio.to_thread(space_account.create, self.account, names)

    async def handle(self, event: dict[str, Any]) -> None:
        """Do what an event of the AWS endpoint says about an app."""
        if event["event"] == "app-created":
            await self.start(event)
        else:
            await self.stop(event["job"])

    async def start(self, event: dict[str, Any]) -> None:
        """Start the container of an app; `event` is the AWS endpoint's."""
        target = event["job"]
        home = self.folder / event["region"] / event["domain"] / event["space"]
        root = home / target.rpartition("-")[2]
        async with self.machines.plugging:  # the network is not thread-safe
            cable = await asyncio.to_thread(self.machines.network.plug_alone)
        await asyncio.to_thread(self._write, root, home, event)
        environment = self._environment(home, event)
        file = root / "spec.json"
        file.write_text(json.dumps(self._spec(root, home, cable, environment)), encoding="utf-8")
        init = Child(
            [*python_module("sm_proxy_lab.machines.container_init"), str(file)],
            pass_fds=[cable.netns] if cable.netns is not None else [],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        machine = _Machine(cable, init, self._start_agent(target, cable, init, environment))
        self._running[target] = machine
        if target in self._gone:  # deleted while it was made
            await self.stop(target)

    async def stop(self, target: str) -> None:
        """Kill the container of an app."""
        machine = self._running.pop(target, None)
        if machine is None:
            self._gone.add(target)
            return
        machine.agent.send(signal.SIGTERM)
        machine.init.send(signal.SIGUSR1)  # see container_init
        await asyncio.gather(machine.agent.wait(), machine.init.wait())
        if machine.cable.netns is not None:
            os.close(machine.cable.netns)

    def _write(self, root: Path, home: Path, event: dict[str, Any]) -> None:
        """Write the container's own files, and make the space's home folder."""
        own_root = self.machines.software.root
        root.mkdir(parents=True)
        document = {
            "AppType": event["app_type"],
            "DomainId": event["domain"],
            "SpaceName": event["space"],
            "ResourceArn": event["arn"],
            "ResourceName": "default",
        }
        name = "metadata/resource-metadata.json"
        image.write_ml(root, ("metadata",), {name: document})
        image.write_etc(root, host="default", addresses={}, own_users=own_root is not None)
        image.add_user(root, _ENTRY, own_root)
        folder = home / "home" / USER
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):  # without root it is the lab's own user
            os.chown(folder, _UID, _GID)

    def _environment(self, home: Path, event: dict[str, Any]) -> dict[str, str]:
        isolated = self.machines.isolated
        return {
            "PATH": agent.PATH,
            "LANG": "C.UTF-8",
            "HOME": f"/home/{USER}" if isolated else str(home / "home" / USER),
            "USER": USER if isolated else self.machines.user,
            "AWS_REGION": event["region"],
            "AWS_DEFAULT_REGION": event["region"],
            "SAGEMAKER_APP_TYPE": event["app_type"].lower(),
            "SAGEMAKER_SPACE_NAME": event["space"],
        }

    def _spec(
        self, root: Path, home: Path, cable: Cable, environment: dict[str, str]
    ) -> dict[str, Any]:
        """The instructions for `container_init`."""
        return {
            "isolated": self.machines.isolated,
            "netns": cable.netns,
            "hostname": "default",
            "root": str(root),
            "image": str(self.machines.software.root or ""),
            "binds": {},
            "mounts": {"/home": str(home / "home")},
            "argv": _APP,
            "environment": environment,
            "user": USER,
        }

    def _start_agent(
        self, target: str, cable: Cable, init: Child, environment: dict[str, str]
    ) -> Child:
        isolated = self.machines.isolated
        spec = {
            "gateway": str(self.machines.agents),
            "target": target,
            "addresses": [cable.address],
            "launcher": init.process.pid if isolated else None,
            "user": USER if isolated else "",
            "environment": environment,
            "ssh": True,
        }
        return Child(
            [*python_module("sm_proxy_lab.machines.agent"), json.dumps(spec)],
            netns=cable.netns,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
