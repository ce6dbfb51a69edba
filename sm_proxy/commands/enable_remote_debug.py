"""`sm-proxy enable-remote-debug`: lets Session Manager reach the containers of a training job."""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy import resolver
from sm_proxy.aws import caller, job_role
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.commands import job_argument, options
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname, kinds, lookup, search
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, training_target
from sm_proxy.jobs.times import in_words
from sm_proxy.launch import permissions, remote_debug, shapes
from sm_proxy.local import output, waits
from sm_proxy.local.output import Result
from sm_proxy.local.waits import Wait
from sm_proxy.routes.remote_debug import ROLE_HINT, agent_connected
from sm_proxy.settings import Settings

_CHANGEABLE: Final = frozenset({"Downloading", "Training"})
"""Statuses in which the service takes RemoteDebugConfig (SageMaker guide, UpdateTrainingJob)."""
_MARKER_S: Final = 10.0
"""How long the log of a container that has just started may lag."""

DESCRIPTION: Final = (
    "Switches RemoteDebug of a running training job on, so that Session Manager reaches its "
    "container. ssh then needs no VPC and no bastion."
)
EXAMPLES: Final = (("sm-proxy enable-remote-debug sm-myjob", "then ssh sm-myjob, or `bootstrap`"),)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`enable-remote-debug JOB [--timeout DURATION] [--json]`."""
    job_argument.add(parser)
    options.add_timeout(parser)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Switch RemoteDebug on, wait for the agent, and name the next command.

    Data: `{"job", "host", "status", "changed", "connected", "next"}`. `changed` tells whether this
    run switched it on; `connected` is null if the agent's state may not be asked for.
    """
    aws = Aws(settings.profile, settings.region)
    job_argument.refuse_unless_job(args.host, settings, "needs no RemoteDebug")
    job, typed = job_argument.find(aws, args.host, settings, lookup.ALIVE)
    _refuse(aws, job)
    node = typed.node if typed.names_node else None
    target = hostname.compose(settings.prefix, job.name, node)
    kinds.refuse_missing_node(job, target.node)
    with waits.waiting(f"asking about {job.name}", args.timeout) as wait:
        switch = _Switch(aws, job, target, time.monotonic() + args.timeout, wait)
        switch.turn_on()
        JobCache(aws).forget_all(job)  # what is cached may say that it is off
        failure = switch.wait_for_agent()
    data: dict[str, Any] = {
        "job": job.name,
        "host": target.host,
        "status": switch.job.status,
        "changed": switch.changed,
        "connected": switch.connected,
        "next": None,
    }
    if failure is not None:
        return Result(data, exit_status=1, failure=failure)
    data["next"] = _next_command(switch, settings)
    _warn_about_own_permissions(aws)
    what = "was switched on" if switch.changed else "was on already"
    return Result(data, (f"RemoteDebug of {job.noun} {job.name} {what}", data["next"]))


def _refuse(aws: Aws, job: Job) -> None:
    """Refuse a job that cannot have RemoteDebug, before anything is changed.

    Raises:
        SmProxyError: with the code that fits.
    """
    job.refuse_unless_training(remote_debug.INSTEAD)
    job.refuse_if_over()
    operation, parameters = kinds.of(job.kind).describe_call(job.name)
    try:
        description = aws.call("sagemaker", operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None
    remote_debug.refuse(description, shapes.of("CreateTrainingJob"))
    role = str(description.get("RoleArn", ""))
    missing = permissions.denied(aws, role, job_role.FOR_REMOTE_DEBUG)
    if missing:
        raise SmProxyError(
            "access-denied",
            f"the agent of RemoteDebug could not connect: the job's role {role} may not "
            f"{', '.join(missing)}",
            "Allow these actions in the role's policy; a running job uses the change.",
        )


@dataclass
class _Switch:
    """RemoteDebug of one job on its way from off to usable.

    Attributes:
        aws: for the calls.
        job: as described last.
        target: its host name, with the node whose agent we wait for.
        deadline: of all waiting, by `time.monotonic`.
        wait: what the user sees that we wait for.
        changed: whether we have switched it on.
        connected: whether the agent is connected; None if that call is denied.
        has_waited: whether the container has just started.
    """

    aws: Aws
    job: Job
    target: Target
    deadline: float
    wait: Wait
    changed: bool = False
    connected: bool | None = False
    has_waited: bool = False

    def turn_on(self) -> None:
        """Switch it on as soon as the job's status allows that; without effect if it is on.

        Raises:
            SmProxyError: `wait-timeout`, the job has ended, or the service refuses the change.
        """
        if self.job.remote_debug:
            return
        while self.job.status not in _CHANGEABLE:
            if not self._wait("RemoteDebug can be switched on when it is Downloading or Training"):
                raise SmProxyError(
                    "wait-timeout",
                    f"job {self.job.name} is still {self.job.status}: RemoteDebug can be switched "
                    "on when it is Downloading or Training",
                    f"To wait longer: sm-proxy enable-remote-debug {self.target.host} --timeout 1h",
                )
        try:
            self.aws.call(
                "sagemaker",
                "UpdateTrainingJob",
                TrainingJobName=self.job.name,
                RemoteDebugConfig={"EnableRemoteDebug": True},
            )
        except ServiceError as error:
            if self._describe().remote_debug:  # another run was faster, or the job has ended
                return
            raise SmProxyError(
                "remote-debug-off",
                f"RemoteDebug of {self.job.name} cannot be switched on: {error.message}",
                f"Start the job again: sm-proxy relaunch {self.job.name} --remote-debug.",
            ) from None
        self.changed = True

    def wait_for_agent(self) -> SmProxyError | None:
        """Wait until the agent is connected, or the time is up: then the error for that.

        Raises:
            SmProxyError: the job has ended, or a call failed.
        """
        agent = training_target(self.job.name, self.target.node)
        while (connected := agent_connected(self.aws, agent)) is False:
            if not self._wait("its agent is not connected to Session Manager yet"):
                return SmProxyError(
                    "remote-debug-off",
                    f"RemoteDebug of {self.job.name} is on, but the agent in {self.target.node} is "
                    "not connected to Session Manager",
                    ROLE_HINT,
                )
        self.connected = connected
        if connected is None:
            output.status(
                "not checked: whether the agent is connected (ssm:GetConnectionStatus is denied)"
            )
        return None

    def _wait(self, why: str) -> bool:
        """Wait a moment, then describe the job again; False if the time is up."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            return False
        words = f"job {self.job.name} is {self.job.status}: waiting"
        if self.has_waited:
            self.wait.what = f"{words}, {why}"
        else:
            self.has_waited = True
            self.wait.tell(f"{words} up to {in_words(math.ceil(left))}, {why}", output.status)
        time.sleep(min(left, random.uniform(*search.POLL_S)))  # noqa: S311 - jitter
        self._describe()
        return True

    def _describe(self) -> Job:
        self.job = kinds.describe_again(self.aws, self.job)
        self.job.refuse_if_over()
        return self.job


def _next_command(switch: _Switch, settings: Settings) -> str:
    """What leads into the container now: `ssh`, or `bootstrap` if it has no server of ours."""
    host = switch.target.host
    wait = _MARKER_S if switch.has_waited else 0
    try:
        found = resolver.resolve(switch.target, settings, switch.aws, wait=wait, fresh=True)
    except SmProxyError as error:
        if error.code in {"no-address", "wait-timeout"}:
            return f"sm-proxy bootstrap {host}"
        return f"sm-proxy doctor {host}"
    other = found.user not in {None, settings.user}
    return f"ssh {found.user}@{host}" if other else f"ssh {host}"


def _warn_about_own_permissions(aws: Aws) -> None:
    """Say what the user's own policies may lack for a session; they may depend on conditions."""
    owner = permissions.principal(caller.identify(aws).arn)
    missing = permissions.denied(aws, owner, ("ssm:StartSession",)) if owner else None
    if missing:
        output.status(
            "your policies may not allow ssm:StartSession on the container: see "
            "docs/permissions.md, RemoteDebug"
        )
