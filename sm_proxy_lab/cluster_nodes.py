"""Starts and ends the machines of HyperPod clusters, as the AWS endpoint asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.account import REGION, Account
from sm_proxy_lab.aws.control_client import ControlError
from sm_proxy_lab.aws.gateway_client import GatewayClient
from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import cluster_node, role_credentials
from sm_proxy_lab.machines.cluster_node import ClusterMachine
from sm_proxy_lab.machines.software import find_software

if TYPE_CHECKING:
    from pathlib import Path

    from sm_proxy_lab.containers import ContainerRunner
    from sm_proxy_lab.machines.network import Cable

_CONNECT_S: Final = 60.0
_TICK_S: Final = 0.02
_TYPE: Final = "ml.m5.xlarge"
_LIFE_CYCLE: Final = {"SourceS3Uri": "s3://sagemaker-lab/scripts", "OnCreate": "on_create.sh"}


@dataclass
class ClusterNodes:
    """The machines of all clusters.

    Attributes:
        folder: the lab's folder.
        runner: has the network and the software.
        account: calls the AWS endpoint.
        key: the public key that may log in everywhere.
    """

    folder: Path
    runner: ContainerRunner
    account: Account
    key: str
    _machines: dict[str, ClusterMachine] = field(default_factory=dict)  # by target
    _starting: set[str] = field(default_factory=set)
    _settled: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def create_all(self, clusters: list[tuple[str, dict[str, int]]]) -> dict[str, str]:
        """Make clusters, each with a name and the number of nodes of each instance group.

        Returns:
            The variable of CMD that has the host name of the first node.
        """
        for name, groups in clusters:
            await self._create(name, groups)
        if not clusters:
            return {}
        name, groups = clusters[0]
        return {"SM_PROXY_LAB_CLUSTER": f"sm-{name}.{next(iter(groups))}.1.hyperpod"}

    async def _create(self, name: str, groups: dict[str, int]) -> None:
        """Make a cluster; return when all its nodes accept sessions."""
        there = len(self._machines) + sum(groups.values())
        wanted = [
            {
                "InstanceGroupName": group,
                "InstanceType": _TYPE,
                "InstanceCount": count,
                "ExecutionRole": role_credentials.ARN,
                "LifeCycleConfig": _LIFE_CYCLE,
            }
            for group, count in groups.items()
        ]
        request: dict[str, object] = {"ClusterName": name, "InstanceGroups": wanted}
        await asyncio.to_thread(self.account.sagemaker, "CreateCluster", request)
        async with self._settled:
            await self._settled.wait_for(
                lambda: len(self._machines) >= there and not self._starting
            )

    async def handle(self, event: dict[str, Any]) -> None:
        """Do what an event of the AWS endpoint asks for.

        Raises:
            LabError: a machine does not start.
        """
        if event["event"] == "cluster-node":
            await self._start(event)
        elif event["event"] == "cluster-node-ended":
            await self._end(event["target"])
        elif event["event"] == "cluster-deleted":
            async with self._settled:
                prefix = event["target"]
                await self._settled.wait_for(
                    lambda: not any(target.startswith(prefix) for target in self._machines)
                )
            await self.runner.control.call("remove_cluster", event["job"])

    async def _start(self, event: dict[str, Any]) -> None:
        target = event["target"]
        folder = self.folder / "clusters"
        runner = self.runner
        self._starting.add(target)
        try:
            cable = await self._plug(event)
            home = self._home(folder, target)
            software = find_software() if runner.software.root else runner.software
            self._machines[target] = machine = ClusterMachine(
                folder / event["instance"],
                home,
                cable,
                target,
                runner.isolated,
                software,
                event["ssh"],
            )
            await machine.start(self.runner.agents)
            await self._connected(target)
            where = event["job"], event["instance"], "Running"
            with contextlib.suppress(ControlError):  # the node was deleted meanwhile
                await self.runner.control.call("set_node_status", *where, address=cable.address)
        finally:
            async with self._settled:
                self._starting.discard(target)
                self._settled.notify_all()

    async def _end(self, target: str) -> None:
        async with self._settled:
            await self._settled.wait_for(lambda: target not in self._starting)
        if target in self._machines:
            await self._machines[target].stop()
        async with self._settled:
            self._machines.pop(target, None)
            self._settled.notify_all()

    async def _plug(self, event: dict[str, Any]) -> Cable:
        """Connect a node to the cluster's subnets, or to SageMaker's own network."""
        subnets = event["vpc"].get("Subnets", [])[:1]
        region = event.get("region", REGION)
        cidrs = await asyncio.to_thread(self.account.cidrs_of, subnets, region)
        async with self.runner.plugging:  # the network is not thread-safe
            return await asyncio.to_thread(self.runner.network.plug_node, cidrs[0])

    def _home(self, folder: Path, target: str) -> Path:
        """The folder that all nodes of a cluster have as `/home`."""
        home = folder / f"home-{target.partition('_')[0].rpartition(':')[2]}"
        if not home.exists():
            home.mkdir(parents=True)
            cluster_node.authorize(home, self.key, isolated=self.runner.isolated)
        return home

    async def _connected(self, target: str) -> None:
        """Wait until the gateway knows a node's agent."""
        gateway = GatewayClient(self.folder / "gateway.sock")
        until = time.monotonic() + _CONNECT_S
        while not (await asyncio.to_thread(gateway.ask, "agent", target=target)).get("connected"):
            if time.monotonic() > until:
                raise LabError(f"the agent of {target} does not connect")
            await asyncio.sleep(_TICK_S)
