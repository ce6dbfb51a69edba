"""Auto Scaling groups as the lab keeps them, and as the service shows them."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any


def now() -> dt.datetime:
    """The time, for records."""
    return dt.datetime.now(dt.timezone.utc)


@dataclass(frozen=True)
class Member:
    """An instance of a group."""

    id: str
    type: str
    zone: str
    subnet: str
    version: str


@dataclass
class Group:
    """A group.

    Attributes:
        access_key: of the caller who made it, or changed it last: its instances are launched with
            that caller's permissions.
        via: the services through which that caller came, and this one.
        settings: parameters of CreateAutoScalingGroup and UpdateAutoScalingGroup.
    """

    name: str
    region: str
    arn: str
    access_key: str
    via: str
    settings: dict[str, Any]
    tags: list[dict[str, Any]]
    created: dt.datetime = field(default_factory=now)
    members: list[Member] = field(default_factory=list)
    activities: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def desired(self) -> int:
        """The desired number of instances."""
        return int(self.settings.get("DesiredCapacity", self.settings["MinSize"]))

    @property
    def subnets(self) -> list[str]:
        """The ids of its subnets."""
        text = str(self.settings.get("VPCZoneIdentifier", ""))
        return [item.strip() for item in text.split(",") if item.strip()]

    def record(self, description: str, cause: str, error: str | None = None) -> None:
        """Add an activity."""
        activity = {
            "ActivityId": str(uuid.uuid4()),
            "AutoScalingGroupName": self.name,
            "AutoScalingGroupARN": self.arn,
            "Description": description,
            "Cause": f"At {now():%Y-%m-%dT%H:%M:%SZ} {cause}",
            "StartTime": now(),
            "EndTime": now(),
            "StatusCode": "Failed" if error else "Successful",
            "StatusMessage": error,
            "Progress": 100,
        }
        self.activities.insert(0, activity)

    def shown(self) -> dict[str, Any]:
        """The group as DescribeAutoScalingGroups shows it."""
        with self.lock:
            template = self.settings.get("LaunchTemplate")
            return {
                "DefaultCooldown": 300,
                "HealthCheckType": "EC2",
                "HealthCheckGracePeriod": 0,
                "NewInstancesProtectedFromScaleIn": False,
                "TerminationPolicies": ["Default"],
                **self.settings,
                "AutoScalingGroupName": self.name,
                "AutoScalingGroupARN": self.arn,
                "DesiredCapacity": self.desired,
                "AvailabilityZones": sorted({member.zone for member in self.members}),
                "CreatedTime": self.created,
                "Tags": [
                    {**tag, "ResourceId": self.name, "ResourceType": "auto-scaling-group"}
                    for tag in self.tags
                ],
                "Instances": [
                    {
                        "InstanceId": member.id,
                        "InstanceType": member.type,
                        "AvailabilityZone": member.zone,
                        "LifecycleState": "InService",
                        "HealthStatus": "Healthy",
                        "LaunchTemplate": {**(template or {}), "Version": member.version},
                        "ProtectedFromScaleIn": False,
                    }
                    for member in self.members
                ],
            }
