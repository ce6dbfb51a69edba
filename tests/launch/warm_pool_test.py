"""Whether a repeated job starts on the old job's instances."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.launch import warm_pool

OLD: dict[str, Any] = {
    "RoleArn": "role",
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    "EnableNetworkIsolation": False,
    "WarmPoolStatus": {"Status": "Available"},
}
SAME = {name: value for name, value in OLD.items() if name != "WarmPoolStatus"}


def test_a_job_that_matches_starts_in_seconds() -> None:
    assert "starts in seconds" in warm_pool.outlook(OLD, {**SAME, "EnableNetworkIsolation": None})


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"RoleArn": "other"}, "RoleArn"),
        ({"VpcConfig": {"Subnets": ["subnet-2"], "SecurityGroupIds": ["sg-1"]}}, "Subnets"),
        ({"ResourceConfig": {**OLD["ResourceConfig"], "InstanceCount": 2}}, "InstanceCount"),
        ({"ResourceConfig": {**OLD["ResourceConfig"], "InstanceGroups": [{}]}}, "InstanceGroups"),
    ],
)
def test_differences_that_prevent_the_warm_pool_are_named(
    change: dict[str, Any], name: str
) -> None:
    assert warm_pool.outlook(OLD, {**SAME, **change}) == (
        f"it cannot use the warm pool that the old job has left: it differs in {name}"
    )


@pytest.mark.parametrize("status", [None, "Reused", "Terminated", "InUse"])
def test_without_a_waiting_pool_nothing_is_reported(status: str | None) -> None:
    told = {**OLD, "WarmPoolStatus": {"Status": status}} if status else SAME
    assert warm_pool.outlook(told, SAME) == ""
