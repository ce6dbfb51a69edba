"""The managed instances: all running ones, with the ping status that the faults set."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.moto_app import Instance

# Filter key -> member of the answer that it compares.
_KEYS = {
    "InstanceIds": "InstanceId",
    "PingStatus": "PingStatus",
    "AgentVersion": "AgentVersion",
    "PlatformTypes": "PlatformType",
    "ResourceType": "ResourceType",
}


AGENT_START_S: Final = 0.5
"""From the launch of an instance until its agent is online; minutes in AWS."""


class ManagedInstances:
    """The managed instances of every region.

    Args:
        faults: the lab's faults.
        running: region -> its running instances.
        reaches: whether an agent (region, instance id) reaches Systems Manager.
        start_s: how long an agent takes to start. If positive, Systems Manager does not know an
            instance until it was online. Otherwise it knows all that run.
    """

    def __init__(
        self,
        faults: Faults,
        running: Callable[[str], list[Instance]],
        reaches: Callable[[str, str], bool],
        *,
        start_s: float = 0.0,
    ) -> None:
        self._faults = faults
        self._running = running
        self._reaches = reaches
        self._start_s = start_s
        self._registered: set[str] = set()

    def online(self, region: str, target: str) -> bool:
        """Whether that instance accepts sessions."""
        if self._faults["ping_status"] != "Online":
            return False
        found = next((i for i in self._running(region) if i.instance_id == target), None)
        return found is not None and self._is_online(region, found)

    def runs(self, region: str, target: str) -> bool:
        """Whether that instance is running."""
        return any(instance.instance_id == target for instance in self._running(region))

    def lines(self, region: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        """The entries of DescribeInstanceInformation that match the request's filters."""
        filters = _filters(params)
        if self._faults["ping_status"] == "absent":
            return []
        instances = self._running(region)
        online = {each.instance_id: self._is_online(region, each) for each in instances}
        lines = [
            self._line(instance, online=online[instance.instance_id])
            for instance in instances
            if not self._start_s or instance.instance_id in self._registered
        ]
        for key, values in filters:
            lines = [line for line in lines if line[key] in values]
        return lines

    def _is_online(self, region: str, instance: Instance) -> bool:
        """Whether its agent has started and reaches Systems Manager."""
        if time.time() < instance.launched + self._start_s:
            return False
        online = self._reaches(region, instance.instance_id)
        if online:
            self._registered.add(instance.instance_id)
        return online

    def _line(self, instance: Instance, *, online: bool) -> dict[str, Any]:
        ping = self._faults["ping_status"]
        if ping == "Online" and not online:
            ping = "ConnectionLost"
        seen = time.time() - (0 if ping == "Online" else 3600)
        return {
            "InstanceId": instance.instance_id,
            "PingStatus": ping,
            "LastPingDateTime": round(seen, 3),
            "AgentVersion": self._faults["agent_version"],
            "IsLatestVersion": False,
            "PlatformType": "Linux",
            "PlatformName": "Amazon Linux",
            "PlatformVersion": "2023",
            "ResourceType": "EC2Instance",
            "IPAddress": instance.address,
            "ComputerName": f"ip-{instance.address.replace('.', '-')}.ec2.internal",
        }


def _filters(params: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The filters in both spellings, as (member of the answer, allowed values)."""
    asked = [(f["Key"], f["Values"]) for f in params.get("Filters", [])]
    asked += [(f["key"], f["valueSet"]) for f in params.get("InstanceInformationFilterList", [])]
    for key, _ in asked:
        if key not in _KEYS:
            raise AwsError("InvalidFilterKey", f"The specified filter key isn't valid: {key}")
    return [(_KEYS[key], values) for key, values in asked]
