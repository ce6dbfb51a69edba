"""What is remembered of jobs between connections, so that a second one asks nothing.

Two kinds of records in the cache folder. A job's: what it is and where its subnets lie, shared by
all its nodes, so that 64 connections to 64 nodes describe it once. A node's: where its container
was found. Neither outlives the time at which the job must have ended, and whatever comes from here
is marked as cached: the first byte from the container confirms it (`tunnel/stale_address.py`).
"""

from __future__ import annotations

import ipaddress
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

from sm_proxy import public_key
from sm_proxy.aws.clients import Aws
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.subnets import Subnets
from sm_proxy.state import json_records
from sm_proxy.state.cache import Cache

RUNNING_S: Final = 24 * 3600.0
"""A running job's record is good for so long at most, if its MaxRuntime allows."""
STARTING_S: Final = 2.0
"""A starting job changes: its record only spares processes that ask at the same moment."""


class JobCache:
    """The records of one scope: profile, region, endpoint.

    Args:
        aws: whose scope tells one account and region from another, and whose clock times jobs.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._scope = aws.scope
        self._cache = Cache("jobs")

    def container(self, target: Target) -> Container | None:
        """Where the node was last found."""
        record = self._cache.load(*self._node_key(target))
        if record is None:
            return None
        try:
            found = json_records.from_record(Container, record)
            _refuse_unless_possible(found)
        except ValueError:
            return None
        return replace(found, host=target.host, cached=True)

    def keep_container(self, target: Target, job: Job, container: Container) -> None:
        """Remember where the node is, until the job must have ended."""
        key = (*self._job_key(target, job.name), target.node)
        self._cache.save(*key, record=json_records.to_record(container), expires=self._end_of(job))

    def forget_container(self, target: Target) -> None:
        """It is not there any more."""
        self._cache.forget(*self._node_key(target))

    def job(self, target: Target, max_age: float) -> tuple[Job, Subnets | None] | None:
        """What the job was less than `max_age` seconds ago, and its subnets if they are known."""
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
        """Remember the job: shortly while it starts, until its end once it runs."""
        record = {
            "asked": time.time(),
            "job": json_records.to_record(job),
            "subnets": _plain_subnets(subnets),
        }
        expires = self._end_of(job) if job.running else time.time() + STARTING_S
        self._cache.save(*self._job_key(target, job.name), record=record, expires=expires)

    def forget_job(self, target: Target) -> None:
        """It is asked about anew."""
        self._cache.forget(*self._job_key(target))

    def asking_about_job(self, target: Target) -> AbstractContextManager[None]:
        """Held while the job is looked up: the others wait, and find it remembered."""
        return self._cache.alone(*self._job_key(target))

    def _end_of(self, job: Job) -> float:
        """When the job must have ended by this machine's clock, and at the latest in a day.

        Raises:
            OverflowError: that is no time.
        """
        last = time.time() + RUNNING_S
        if job.must_end_by is None:
            return last
        return min(last, job.must_end_by.timestamp() - self._aws.clock_offset_s)

    def _job_key(self, target: Target, name: str = "") -> tuple[str, ...]:
        """The key of the job's own name: `sm-bert` may be another job tomorrow."""
        return (self._scope, target.kind or "", name or target.job)

    def _node_key(self, target: Target) -> tuple[str, ...]:
        return (*self._job_key(target), target.node)


def _refuse_unless_possible(container: Container) -> None:
    """A log would not have been believed that says this, so a record is not."""
    ipaddress.ip_address(container.address)
    if not 0 < container.port < 1 << 16 or not all(
        map(public_key.is_public_key, container.host_keys)
    ):
        raise ValueError("no place to connect to")


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
        for item in (vpc_id, *networks)  # a number would do for an address
    ):
        raise ValueError("no record of subnets")
    return Subnets(vpc_id, tuple(map(ipaddress.ip_network, networks)))
