"""The job: found, alive, in a VPC, and told by its log."""

from __future__ import annotations

from sm_proxy import resolver
from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor.findings import Patient, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import ending, hostname, names, network


def name(patient: Patient) -> str:
    """The host name is one of ours."""
    target = hostname.parse(str(patient.host), patient.settings.prefix)
    return f"job {target.job}, node {target.node}"


def state(patient: Patient) -> str:
    """The job is there and its containers run."""
    target = hostname.parse(str(patient.host), patient.settings.prefix)
    job = patient.job = names.find(patient.aws, target, lambda _: None)
    if job.over:
        raise ending.explain(patient.aws, job, lambda _: None)
    job.refuse_missing_node(target.node)
    if not job.running:
        raise SmProxyError(
            "no-address",
            f"job {job.name} is {job.status}: it has no running container yet",
            f"Wait for it: sm-proxy wait {patient.host}",
        )
    return f"{job.noun} {job.name} is {job.status}"


def vpc(patient: Patient) -> str:
    """It runs in subnets that are there."""
    job = needed(patient.job, "the job")
    job.refuse_unless_in_vpc()
    found = network.describe(patient.aws, job.subnets)
    return f"{found.vpc_id}, {', '.join(map(str, found.networks))}"


def marker(patient: Patient) -> str:
    """Its log names an address in those subnets, asked anew."""
    found = resolver.resolve(str(patient.host), patient.settings, patient.aws, fresh=True)
    patient.container = found
    return f"{found.address} port {found.port}, from the log's {found.source}"


def user(patient: Patient) -> str:
    """The container serves the user that ssh logs in as."""
    container = needed(patient.container, "the container")
    configured = next(iter(patient.effective.get("user", [])), None)
    login = patient.login or configured
    if container.user is None or login is None:
        raise SkipCheck("the log does not say whom the container serves")
    if login != container.user:
        raise SmProxyError(
            "wrong-user",
            f"the container lets {container.user} in, not {login}",
            f"Use: ssh {container.user}@{patient.host}",
        )
    return login


def security_groups(patient: Patient) -> tuple[str, ...]:
    """The ids of the job's security groups; skips for kinds that tell them elsewhere."""
    job = needed(patient.job, "the job")
    calls = {
        "training": ("DescribeTrainingJob", "TrainingJobName"),
        "processing": ("DescribeProcessingJob", "ProcessingJobName"),
    }
    if job.kind not in calls:
        raise SkipCheck(f"a {job.noun} tells its security groups elsewhere")
    operation, member = calls[job.kind]
    try:
        answer = patient.aws.call("sagemaker", operation, **{member: job.name})
    except ServiceError as error:
        raise error.as_failure() from None
    config = answer.get("VpcConfig") or answer.get("NetworkConfig", {}).get("VpcConfig", {})
    return tuple(config.get("SecurityGroupIds", []))
