"""The ARN of the resource that a call is about: IAM decides about it, and its errors name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from sm_proxy_lab.aws import cluster_ids
from sm_proxy_lab.aws.http import s3_names
from sm_proxy_lab.aws.http.call import ACCOUNT

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

# Request member -> resource type in the ARN.
_SAGEMAKER: Final = {
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "NotebookInstanceName": "notebook-instance",
}
_SAGEMAKER_LISTS: Final = {
    "ListTrainingJobs": "training-job",
    "ListProcessingJobs": "processing-job",
    "ListTransformJobs": "transform-job",
    "ListEndpoints": "endpoint",
}
_IAM: Final = {
    "PolicySourceArn": "{}",
    "PolicyArn": "{}",
    "InstanceProfileName": "instance-profile/{}",
    "RoleName": "role/{}",
    "PolicyName": "policy/{}",
    "UserName": "user/{}",
}
_STACK: Final = re.compile(r"arn:[\w-]+:cloudformation:.*:stack/([^/]+)(?:/.*)?")

_CLUSTER_NODE: Final = re.compile(r"sagemaker-cluster:([a-z0-9]+)_")


def of(call: Call) -> str:
    """The ARN of the call's main resource, `*` if it has none."""
    finder = _FINDERS.get(call.service)
    return finder(call, call.params) if finder else "*"


def _sagemaker(call: Call, params: dict[str, Any]) -> str:
    if isinstance(params.get("ResourceArn"), str):
        return str(params["ResourceArn"])
    if isinstance(params.get("ResourceIdentifier"), str):
        return str(params["ResourceIdentifier"])
    if isinstance(params.get("DomainId"), str):
        return call.arn("sagemaker", _in_domain(params))
    if isinstance(params.get("ClusterName"), str):
        number = cluster_ids.of(call.region, params["ClusterName"])
        return call.arn("sagemaker", f"cluster/{number}")
    for member, kind in _SAGEMAKER.items():
        if isinstance(params.get(member), str):
            # SageMaker writes names in its ARNs in lower case.
            return call.arn("sagemaker", f"{kind}/{params[member].lower()}")
    kind = _SAGEMAKER_LISTS.get(call.operation, "")
    return call.arn("sagemaker", f"{kind}/*") if kind else "*"


def _in_domain(params: dict[str, Any]) -> str:
    """A domain of Studio or what is in it. Names keep their capitals, the type of an app does not.

    Source for the forms: Service Authorization Reference; for the app's type:
    hashicorp/terraform-provider-aws issue 36008; that a space keeps its capitals is assumed.
    """
    domain, space, profile = (
        params.get(name) for name in ("DomainId", "SpaceName", "UserProfileName")
    )
    if "AppName" in params:
        kind, name = str(params.get("AppType", "*")).lower(), params["AppName"]
        return f"app/{domain}/{space or profile}/{kind}/{name}"
    if space:
        return f"space/{domain}/{space}"
    return f"user-profile/{domain}/{profile}" if profile else f"domain/{domain}"


def _logs(call: Call, params: dict[str, Any]) -> str:
    group = params.get("logGroupName") or params.get("logGroupIdentifier") or ""
    stream = params.get("logStreamName") or ""
    return call.arn("logs", f"log-group:{group}:log-stream:{stream}")


def _ssm(call: Call, params: dict[str, Any]) -> str:
    if "Target" in params:
        target = str(params["Target"])
        if cluster := _CLUSTER_NODE.match(target):
            # Assumed: a policy of a third party names the cluster, AWS's own pages name `*`.
            return call.arn("sagemaker", f"cluster/{cluster[1]}")
        service = "ec2" if target.startswith("i-") else "ssm"
        kind = "instance" if target.startswith("i-") else "managed-instance"
        return call.arn(service, f"{kind}/{target}")
    if "SessionId" in params:
        return call.arn("ssm", f"session/{params['SessionId']}")
    return call.arn("ssm", "*")


def _instance(call: Call, params: dict[str, Any]) -> str:
    if call.operation == "OpenTunnel":
        endpoint = parse_qs(call.query).get("instanceConnectEndpointId", ["*"])[0]
        return call.arn("ec2", f"instance-connect-endpoint/{endpoint}")
    return call.arn("ec2", f"instance/{params.get('InstanceId', '*')}")


def _ec2(call: Call, params: dict[str, Any]) -> str:
    return _instance(call, params) if call.operation == "GetConsoleOutput" else "*"


def _ecr(call: Call, params: dict[str, Any]) -> str:
    if call.operation == "GetAuthorizationToken":
        return "*"
    if isinstance(params.get("resourceArn"), str):
        return str(params["resourceArn"])
    registry = params.get("registryId", ACCOUNT)
    names = params.get("repositoryNames") or [params.get("repositoryName", "*")]
    where = f"arn:{call.partition}:ecr:{call.region}:{registry}"
    return f"{where}:repository/{names[0]}"


def _iam(call: Call, params: dict[str, Any]) -> str:
    for member, form in _IAM.items():
        if isinstance(params.get(member), str):
            name = form.format(params[member])
            own = f"arn:{call.partition}:iam::{ACCOUNT}:"
            return name if name.startswith("arn:") else f"{own}{name}"
    return f"arn:{call.partition}:iam::{ACCOUNT}:*"


def _cloudformation(call: Call, params: dict[str, Any]) -> str:
    name = str(params.get("StackName", ""))
    if not name:
        return "*"
    found = _STACK.fullmatch(name)
    if found:
        return name
    return call.arn("cloudformation", f"stack/{name}/*")


def _autoscaling(call: Call, params: dict[str, Any]) -> str:
    name = params.get("AutoScalingGroupName") or params.get("Tags.member.1.ResourceId")
    if not name or call.operation.startswith("Describe"):
        return "*"
    return call.arn("autoscaling", f"autoScalingGroup:*:autoScalingGroupName/{name}")


def _codebuild(call: Call, params: dict[str, Any]) -> str:
    named = params.get("projectName") or params.get("name") or params.get("id") or ""
    named = named or next(iter(params.get("ids") or params.get("names") or ()), "")
    project = str(named).rpartition(":build/")[2].partition(":")[0]
    return call.arn("codebuild", f"project/{project}") if project else "*"


def _kms(call: Call, params: dict[str, Any]) -> str:
    key = str(params.get("KeyId", "*"))
    return key if key.startswith("arn:") else call.arn("kms", f"key/{key}")


def _s3(call: Call, _params: dict[str, Any]) -> str:
    """A bucket or an object; DeleteObjects names its objects in the body."""
    bucket, key = s3_names.place(call.path)
    if not bucket:
        return "*"
    if call.operation == "DeleteObject" and not key:
        return f"arn:{call.partition}:s3:::{bucket}/*"
    return f"arn:{call.partition}:s3:::{unquote(call.path).strip('/')}"


_FINDERS: Final[dict[str, Callable[[Call, dict[str, Any]], str]]] = {
    "sagemaker": _sagemaker,
    "logs": _logs,
    "ssm": _ssm,
    "ec2": _ec2,
    "ec2-instance-connect": _instance,
    "sts": lambda _, params: str(params.get("RoleArn", "*")),
    "ecr": _ecr,
    "s3": _s3,
    "iam": _iam,
    "cloudformation": _cloudformation,
    "autoscaling": _autoscaling,
    "codebuild": _codebuild,
    "kms": _kms,
}
