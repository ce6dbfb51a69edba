"""Checks of the job: it exists, runs, is in a VPC, and its log names an address."""

from __future__ import annotations

from sm_proxy import resolver
from sm_proxy.aws.errors import ServiceError
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.doctor.check import Context, DoubtfulCheck, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import failure, kinds, lookup
from sm_proxy.jobs.subnets import describe_if_allowed, describe_subnets


def name(context: Context) -> str:
    """The host name can be parsed."""
    if context.bad_name is not None:
        raise context.bad_name
    target = needed(context.target, "the host name")
    if target.kind in SESSION_KINDS:
        return f"{kinds.of(target.kind).NOUN} {target.job}{target.node and ', '}{target.node}"
    return f"job {target.job}, node {target.node}"


def state(context: Context) -> str:
    """The job exists and its containers run."""
    target = needed(context.target, "the host name")
    job = context.job = lookup.find(context.aws, target, lambda _: None)
    if job.over:
        raise failure.explain(context.aws, job, target.prefix, lambda _: None)
    kinds.refuse_missing_node(job, target.node)
    if not job.running:
        raise SmProxyError(
            "no-address",
            f"job {job.name} is {job.status}: it has no running container yet",
            f"Wait for it: sm-proxy wait {context.host}",
        )
    return f"{job.noun} {job.name} is {job.status}"


def vpc(context: Context) -> str:
    """The job runs in existing subnets."""
    job = needed(context.job, "the job")
    job.refuse_unless_reachable()
    if not job.subnets:
        raise SkipCheck("the job runs outside a VPC; its RemoteDebug is on")
    describe = describe_if_allowed if job.remote_debug else describe_subnets
    found = describe(context.aws, job.subnets)
    if found is None:
        raise DoubtfulCheck("the job's subnets are unknown; its RemoteDebug is on")
    return f"{found.vpc_id}, {', '.join(map(str, found.networks))}"


def marker(context: Context) -> str:
    """The log, read again, names an address in those subnets."""
    target = needed(context.target, "the host name")
    found = resolver.resolve(target, context.settings, context.aws, fresh=True)
    context.container = found
    if found.source == "session":
        return f"{found.place}, where bootstrap has put our server"
    return f"{found.place}, from the log's {found.source}"


def user(context: Context) -> str:
    """The container accepts the user that ssh logs in as."""
    container = needed(context.container, "the container")
    configured = next(iter(context.effective.get("user", [])), None)
    login = context.login or configured
    if container.user is None or login is None:
        raise SkipCheck("the log does not name the container's user")
    if login != container.user:
        raise SmProxyError(
            "wrong-user",
            f"the container accepts {container.user}, not {login}",
            f"Use: ssh {container.user}@{context.host}",
        )
    return login


def security_groups(context: Context) -> tuple[str, ...]:
    """The ids of the job's security groups, from where its kind keeps them."""
    job = needed(context.job, "the job")
    try:
        config = kinds.of(job.kind).vpc_config(context.aws, job)
    except ServiceError as error:
        raise DoubtfulCheck(f"the job's security groups are unknown: {error.error}") from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        raise DoubtfulCheck(f"the job's security groups are unknown: {error.message}") from None
    return tuple(config.get("SecurityGroupIds", []))
