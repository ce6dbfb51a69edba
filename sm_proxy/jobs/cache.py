"""Cache jobs and containers, so that a second connection makes no calls.

The cache has three kinds of records. A job's record has its description and subnets; all its nodes
share it, so 64 connections to 64 nodes describe the job once. A node's record has its container.
A group's record has those of many nodes, so 64 connections to a cluster list its nodes once.
A record expires when the job must have ended. A container from here is marked as cached: the first
byte from it confirms the address (`tunnel/stale_address.py`).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

from sm_proxy import public_key
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.subnets import Subnets
from sm_proxy.state import json_records
from sm_proxy.state.cache import Cache

RUNNING_S: Final = 24 * 3600.0
"""Seconds until the record of a running job expires; sooner if its MaxRuntime ends sooner."""
LISTED_S: Final = 60.0
"""Seconds for what a list has shown of a group's nodes: for a program that connects to all."""
STARTING_S: Final = 2.0
"""Seconds for a starting job, which changes: enough for processes that ask at the same time."""


class JobCache:
    """The records of one scope: profile, region, endpoint.

    Args:
        aws: gives the scope, and the offset between its clock and ours.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._scope = aws.scope
        self._cache = Cache("jobs")

    def container(self, target: Target) -> Container | None:
        """The container that was last found for the node; None if unknown."""
        record = self._cache.load(*self._node_key(target)) or self._listed(target)
        if record is None:
            return None
        try:
            found = json_records.from_record(Container, record)
            _refuse_unless_possible(found)
        except ValueError:
            return None
        return replace(found, host=target.host, cached=True)

    def keep_container(self, target: Target, job: Job, container: Container) -> None:
        """Save the node's container until the job must have ended."""
        key = (*self._job_key(target, job.name), target.node)
        self._cache.save(*key, record=json_records.to_record(container), expires=self._end_of(job))

    def keep_listed(self, target: Target, job: Job, containers: Mapping[str, Container]) -> None:
        """Save what a list has shown of the group of a node, for `LISTED_S`.

        Args:
            target: any node of the group.
            job: the cluster.
            containers: of nodes of the group, by the last label of their names.
        """
        record = {label: json_records.to_record(each) for label, each in containers.items()}
        key = (*self._job_key(target, job.name), _group_of(target))
        self._cache.save(*key, record=record, expires=time.time() + LISTED_S)

    def forget_container(self, target: Target) -> None:
        """Delete the node's record: its container is gone. What a list showed is old, too."""
        self._cache.forget(*self._node_key(target))
        if group := _group_of(target):
            self._cache.forget(*self._job_key(target), group)

    def job(self, target: Target, max_age: float) -> tuple[Job, Subnets | None] | None:
        """The job as described at most `max_age` seconds ago, and its subnets if known."""
        record = self._cache.load(*self._job_key(target))
        if record is None:
            return None
        try:
            asked, job = record["asked"], json_records.from_record(Job, record["job"])
            subnets = _subnets(record["subnets"])
            self._end_of(job)
        except (KeyError, OverflowError, TypeError, ValueError):
            return None
        if not isinstance(asked, float):
            return None
        age = time.time() - asked
        return (job, subnets) if 0 <= age < max_age else None

    def keep_job(self, target: Target, job: Job, subnets: Subnets | None) -> None:
        """Save the job: for `STARTING_S` while it starts, until its end once it runs."""
        record = {
            "asked": time.time(),
            "job": json_records.to_record(job),
            "subnets": _plain_subnets(subnets),
        }
        expires = self._end_of(job) if job.running else time.time() + STARTING_S
        self._cache.save(*self._job_key(target, job.name), record=record, expires=expires)

    def forget_job(self, target: Target) -> None:
        """Delete the job's record, so that it is described again."""
        self._cache.forget(*self._job_key(target))

    def forget_all(self, job: Job) -> None:
        """Delete what is known about a job and its nodes under its full name.

        Nodes of a HyperPod cluster stay: only they know their names.
        """
        for kind in (None, job.kind):
            nodes = [f"algo-{number + 1}" for number in range(job.nodes)]
            for node in ["", job.place] if job.kind in SESSION_KINDS else nodes:
                target = Target("", "", job.name, node, kind)
                self.forget_container(target)
                self.forget_job(target)

    def asking_about_job(self, target: Target) -> AbstractContextManager[None]:
        """Hold the lock while the job is looked up; others wait and then use the record."""
        return self._cache.alone(*self._job_key(target))

    def _end_of(self, job: Job) -> float:
        """Unix time by our clock at which the job must have ended, in a day at the latest.

        Raises:
            OverflowError: the time is out of range.
        """
        last = time.time() + RUNNING_S
        if job.must_end_by is None:
            return last
        return min(last, job.must_end_by.timestamp() - self._aws.clock_offset_s)

    def _job_key(self, target: Target, name: str = "") -> tuple[str, ...]:
        """The key by the job's full name: the prefix `bert` may mean another job tomorrow.

        Each domain may have a Studio space of the same name.
        """
        kind = SESSION_KINDS.get(target.kind or "")
        domain = (target.node,) if kind and not kind.unique_names and target.node else ()
        return (self._scope, target.kind or "", name or target.job, *domain)

    def _node_key(self, target: Target) -> tuple[str, ...]:
        return (*self._job_key(target), target.node)

    def _listed(self, target: Target) -> dict[str, Any] | None:
        """The node's record in what a list has shown of its group."""
        group = _group_of(target)
        listed = self._cache.load(*self._job_key(target), group) if group else None
        record = (listed or {}).get(target.node.rpartition(".")[2])
        return record if isinstance(record, dict) else None


def _group_of(target: Target) -> str:
    """The instance group of a cluster's node; else empty."""
    return target.node.rpartition(".")[0]


def _refuse_unless_possible(container: Container) -> None:
    """Check the record as strictly as the log that it came from."""
    if container.address is not None:
        ipaddress.ip_address(container.address)
        if container.vpc_id is None:
            raise ValueError("an address without its VPC")
    elif not (container.remote_debug or container.session_target):
        raise ValueError("no way to the container")
    if not 0 < container.port < 1 << 16 or not all(
        map(public_key.is_public_key, container.host_keys)
    ):
        raise ValueError("not a possible container")


def _plain_subnets(subnets: Subnets | None) -> dict[str, Any] | None:
    if subnets is None:
        return None
    return {"vpc_id": subnets.vpc_id, "networks": [str(item) for item in subnets.networks]}


def _subnets(record: dict[str, Any] | None) -> Subnets | None:
    if record is None:
        return None
    vpc_id, networks = record["vpc_id"], record["networks"]
    if not isinstance(networks, list) or not all(
        isinstance(item, str)
        for item in (vpc_id, *networks)  # ip_network also accepts a number
    ):
        raise ValueError("not a record of subnets")
    return Subnets(vpc_id, tuple(map(ipaddress.ip_network, networks)))
