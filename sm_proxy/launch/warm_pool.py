"""Whether a repeated job may start on the instances that the old one left running."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sm_proxy.launch.changes import Path, value_at

_MATCHED: Final[tuple[Path, ...]] = (
    ("RoleArn",),
    ("ResourceConfig", "InstanceType"),
    ("ResourceConfig", "InstanceCount"),
    ("ResourceConfig", "InstanceGroups"),
    ("ResourceConfig", "VolumeSizeInGB"),
    ("ResourceConfig", "VolumeKmsKeyId"),
    ("VpcConfig", "SecurityGroupIds"),
    ("VpcConfig", "Subnets"),
    ("EnableNetworkIsolation",),
    ("EnableInterContainerTrafficEncryption",),
)
"""What must be the same, by "SageMaker AI Managed Warm Pools" in the Developer Guide."""


def outlook(description: Mapping[str, Any], request: Mapping[str, Any]) -> str:
    """One sentence on the warm pool of the old job; empty if it has none that waits.

    Args:
        description: what DescribeTrainingJob returned for the old job.
        request: for the new job.
    """
    if value_at(description, ("WarmPoolStatus", "Status")) != "Available":
        return ""
    other = [
        str(path[-1])
        for path in _MATCHED
        if (value_at(description, path) or None) != (value_at(request, path) or None)
    ]
    if not other:
        return "it starts in seconds, on the warm pool that the old job has left"
    named = ", ".join(other)
    return f"it cannot use the warm pool that the old job has left: it differs in {named}"
