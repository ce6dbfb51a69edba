"""Checks of RemoteDebug: the agent in the container is connected, and the job's role allows it."""

from __future__ import annotations

from sm_proxy.aws import job_role
from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor.check import Context, DoubtfulCheck, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.job import Job, training_target
from sm_proxy.launch import permissions
from sm_proxy.routes.remote_debug import ROLE_HINT, agent_connected


def agent(context: Context) -> str:
    """The agent in the node's container is connected to Session Manager."""
    job = _debugged(context)
    node = needed(context.target, "the host name").node
    connected = agent_connected(context.aws, training_target(job.name, node))
    if connected is None:
        raise DoubtfulCheck("ssm:GetConnectionStatus is denied")
    if not connected:
        raise SmProxyError(
            "remote-debug-off",
            f"the agent in the container of {job.name}/{node} is not connected to Session Manager",
            ROLE_HINT,
        )
    return f"the agent in {node} is connected"


def role(context: Context) -> str:
    """The job's role lets the agent connect."""
    job = _debugged(context)
    operation, parameters = kinds.of(job.kind).describe_call(job.name)
    try:
        found = context.aws.call("sagemaker", operation, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None
    arn = str(found.get("RoleArn", ""))
    missing = permissions.denied(context.aws, arn, job_role.FOR_REMOTE_DEBUG)
    if missing is None:
        raise DoubtfulCheck("iam:SimulatePrincipalPolicy does not answer")
    if missing:
        raise SmProxyError(
            "remote-debug-off",
            f"the job's role {arn} may not {', '.join(missing)}, which the agent needs",
            "Allow these actions in the role's policy.",
        )
    return f"{arn} lets the agent connect"


def _debugged(context: Context) -> Job:
    """The job, if its RemoteDebug is on.

    Raises:
        SkipCheck: it is off, or the job is unknown.
    """
    job: Job = needed(context.job, "the job")
    if not job.remote_debug:
        raise SkipCheck("the job's RemoteDebug is off")
    return job
