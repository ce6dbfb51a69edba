"""What the description of a job repeats of its request, read from the service model."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sm_proxy_lab.aws import models


@lru_cache
def described(operation: str) -> frozenset[str]:
    """The members that the answer of `operation`, such as DescribeTrainingJob, can have."""
    shape = models.of_service("sagemaker").operation_model(operation).output_shape
    return frozenset(shape.members if shape else ())


def repeated(operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """The members of a request that the answer of `operation` repeats: never Tags, for one."""
    names = described(operation)
    return {name: value for name, value in request.items() if name in names}


def with_selected(cluster: dict[str, Any]) -> dict[str, Any]:
    """What a description shows of a cluster: also which of the preferred instances it got."""
    preferred = cluster.get("InstancePreferences")
    if not preferred:
        return cluster
    selected = {
        "SelectedInstanceType": preferred[0]["InstanceType"],
        "SelectedInstanceCount": preferred[0].get("InstanceCount", 1),
    }
    return cluster | selected
