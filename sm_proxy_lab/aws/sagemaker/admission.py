"""What CreateTrainingJob and CreateProcessingJob refuse that the service model allows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker import warm_pool
from sm_proxy_lab.aws.vpc import records

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.iam.principals import Principals
    from sm_proxy_lab.aws.iam.roles import Roles


# Accounts of us-east-1 whose images are built-in algorithms, and repositories of such in others.
_BUILT_IN = re.compile(
    r"(382416733822|811284229777|664544806723|522234722520)\.dkr\.ecr\."
    r"|\d{12}\.dkr\.ecr\.[^/]+/(kmeans|linear-learner|pca|lda|ntm|blazingtext|object-detection"
    r"|image-classification|semantic-segmentation|seq2seq|factorization-machines|knn"
    r"|forecasting-deepar|object2vec|randomcutforest|ipinsights)[:@]"
)


class Running(Protocol):
    """What counts of a job of any kind for a quota."""

    request: dict[str, Any]
    ended: float | None


class Admission:
    """Judges the requests for new jobs.

    Args:
        roles: The account's roles.
        faults: Their `quotas` limit how many instances of a type may run.
        principals: accept the keys of jobs' roles.
    """

    def __init__(self, roles: Roles, faults: Faults, principals: Principals) -> None:
        self._roles = roles
        self._principals = principals
        self._faults = faults

    def assume_role(self, call: Call) -> None:
        """Assume the role of a new job; refuse one that SageMaker may not assume.

        Raises:
            AwsError: ValidationException.
        """
        role = call.params["RoleArn"]
        if not self._roles.trusts_sagemaker(call, role):
            message = (
                f"Could not assume role {role}. Please ensure that the role exists and allows "
                "principal 'sagemaker.amazonaws.com' to assume the role."
            )
            raise AwsError("ValidationException", message)
        self._principals.begin(role)

    def check_quota(self, kind: str, request: dict[str, Any], jobs: Iterable[Running]) -> None:
        """Refuse a job for whose instances the account has no quota.

        Args:
            kind: `training` or `processing`.
            request: The request.
            jobs: The jobs of this kind in the region.

        Raises:
            AwsError: ResourceLimitExceeded.
        """
        quotas = self._faults["quotas"]
        running: Counter[str] = Counter()
        for job in jobs:
            if job.ended is None:
                running += instances(job.request)
        for name, count in instances(request).items():
            limit = quotas.get(name)
            if limit is not None and running[name] + count > limit:
                message = (
                    f"The account-level service limit '{name} for {kind} job usage' is {limit} "
                    f"Instances, with current utilization of {running[name]} Instances and a "
                    f"request delta of {count} Instances. Please use AWS Service Quotas to "
                    "request an increase for this quota. If AWS Service Quotas is not available, "
                    "contact AWS support to request an increase for this quota."
                )
                raise AwsError("ResourceLimitExceeded", message)


def instances(request: dict[str, Any]) -> Counter[str]:
    """How many instances of each type a job asks for."""
    resources = request.get("ProcessingResources", {}).get("ClusterConfig")
    resources = resources or request.get("ResourceConfig", {})
    found: Counter[str] = Counter()
    preferred = resources.get("InstancePreferences", [])[:1]
    for group in resources.get("InstanceGroups") or preferred or [resources]:
        if "InstanceType" in group:
            found[group["InstanceType"]] += group.get("InstanceCount", 1)
    return found


def check_network(call: Call, config: Mapping[str, list[str]]) -> None:
    """Refuse a VpcConfig whose subnets or security groups do not exist.

    Raises:
        AwsError: ValidationException.
    """
    ids = [*config.get("Subnets", ()), *config.get("SecurityGroupIds", ())]
    missing = sorted(set(ids) - records.known(call.region)) if ids else []
    if missing:
        kind = "subnet" if missing[0].startswith("subnet-") else "security group"
        # AWS refuses this too; its words are not known to us.
        message = f"The {kind} ID '{missing[0]}' does not exist"
        raise AwsError("ValidationException", message)


def check_training(request: dict[str, Any]) -> None:
    """Refuse members of a CreateTrainingJob request that contradict each other.

    Raises:
        AwsError: ValidationException, with AWS's words only where they are known to us.
    """
    for message in _contradictions(request):
        raise AwsError("ValidationException", message)
    check_remote_debug(request)


def check_remote_debug(request: dict[str, Any]) -> None:
    """Refuse RemoteDebug where SageMaker does not support it.

    The documentation names the cases: built-in algorithms, algorithms from AWS Marketplace and
    network isolation. AWS's words are not known to us.

    Raises:
        AwsError: ValidationException.
    """
    if not request.get("RemoteDebugConfig", {}).get("EnableRemoteDebug"):
        return
    algorithm = request.get("AlgorithmSpecification", {})
    reason = ""
    if "AlgorithmName" in algorithm:
        reason = "algorithms from AWS Marketplace or algorithm resources"
    elif _BUILT_IN.match(algorithm.get("TrainingImage", "")):
        reason = "built-in algorithms"
    elif request.get("EnableNetworkIsolation"):
        reason = "training jobs in network isolation"
    if reason:
        raise AwsError("ValidationException", f"Remote debug is not supported for {reason}.")


def check_processing(request: dict[str, Any]) -> None:
    """Refuse inputs of a CreateProcessingJob request that have no folder of their own.

    Raises:
        AwsError: ValidationException; AWS's words are not known to us.
    """
    for given in request.get("ProcessingInputs", []):
        source = given.get("S3Input", {})
        if source and not given.get("AppManaged"):
            path = source.get("LocalPath", "")
            if not path.startswith("/opt/ml/processing/") or ".." in path.split("/"):
                message = f"LocalPath must begin with /opt/ml/processing/: {given['InputName']}"
                raise AwsError("ValidationException", message)


def _contradictions(request: dict[str, Any]) -> Iterator[str]:
    algorithm = request.get("AlgorithmSpecification", {})
    if "ServerlessJobConfig" not in request:
        if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
            yield "Specify either AlgorithmName or TrainingImage in AlgorithmSpecification."
        if not instances(request):
            yield "Specify either InstanceType and InstanceCount or InstanceGroups."
    channels = request.get("InputDataConfig", [])
    names = [channel["ChannelName"] for channel in channels]
    if len({*names}) < len(names):
        yield "The channel names in InputDataConfig must be unique."
    grouped = ["InstanceGroupNames" in _s3(channel) for channel in channels]
    if any(grouped) and not all(grouped):
        yield "InstanceGroupNames must be given for all channels or for none."
    groups = request.get("ResourceConfig", {}).get("InstanceGroups", [])
    known = {group["InstanceGroupName"] for group in groups}
    named = {name for channel in channels for name in _s3(channel).get("InstanceGroupNames", ())}
    if named - known:
        yield f"InstanceGroupNames has no such instance group: {min(named - known)}"
    yield from _stopping(request)


def _stopping(request: dict[str, Any]) -> Iterator[str]:
    stopping = request.get("StoppingCondition", {})
    longest = stopping.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining"):
        if longest is None or longest < stopping.get("MaxRuntimeInSeconds", 0):
            yield (
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            )
        if warm_pool.keep_alive(request):
            yield "KeepAlivePeriodInSeconds is not supported with managed spot training."
    elif longest is not None:
        yield "MaxWaitTimeInSeconds is for managed spot training only."


def _s3(channel: dict[str, Any]) -> dict[str, Any]:
    return dict(channel.get("DataSource", {}).get("S3DataSource", {}))
