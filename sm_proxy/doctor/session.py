"""Checks of what only a session reaches: a Studio space, or a node of a HyperPod cluster."""

from __future__ import annotations

from sm_proxy import resolver
from sm_proxy.aws.job_kinds import has_nodes
from sm_proxy.doctor.check import Context, DoubtfulCheck, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import lookup


def botocore(context: Context) -> str:
    """The library botocore knows sagemaker:StartSession; an older one also hides RemoteAccess."""
    context.aws.refuse_unknown("sagemaker", "StartSession")
    return "it knows sagemaker:StartSession"


def exists(context: Context) -> str:
    """The space or cluster exists."""
    target = needed(context.target, "the host name")
    job = context.job = lookup.find(context.aws, target, lambda _: None)
    domain = f" of domain {job.place}" if job.place else ""
    return f"{job.noun} {job.name}{domain} is {job.status}"


def server(context: Context) -> str:
    """SageMaker, asked again, shows that a session can reach it: what it lacks is the error."""
    target = needed(context.target, "the host name")
    job = needed(context.job, "the job")
    container = resolver.resolve(target, context.settings, context.aws, fresh=True)
    context.container = container
    if has_nodes(container.kind):
        return f"node {container.node} is {container.status}"
    machine = f" on {job.instance_type}" if job.instance_type else ""
    image = f" with {job.image}" if job.image else ""
    return f"{job.app_type} runs{machine}{image}, and remote access is on"


def sshd(context: Context) -> str:
    """The node may run sshd, as far as its cluster tells; `banner` checks it."""
    container = needed(context.container, "the container")
    if container.problems:
        raise DoubtfulCheck("; ".join(container.problems))
    return "its cluster is not orchestrated by EKS"


def user(context: Context) -> str:
    """The user that ssh logs in as: the usual one, or whom the host name on our command line names.

    Our blocks name the usual user, and come first in the ssh config: another one there shows that
    it has no such block, as after an earlier version of ours.
    """
    container = needed(context.container, "the container")
    usual = str(container.user)
    configured = next(iter(context.effective.get("user", [])), None)
    login = context.login or configured
    if login in {None, usual}:
        return usual
    if context.login is None:
        raise SmProxyError(
            "config-malformed",
            f"the ssh config makes ssh log in as {login}, not as {usual}",
            f"Write our blocks again: sm-proxy config write. If you want that user: sm-proxy doctor"
            f" {login}@{context.host}",
        )
    raise SkipCheck(f"the usual user is {usual}, not {login}")
