"""IAM's errors for a call that the caller is not allowed to make."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

# Request member -> resource type in the ARN that the error names.
_SAGEMAKER = {
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
}
_SAGEMAKER_LISTS = {
    "ListTrainingJobs": "training-job",
    "ListProcessingJobs": "processing-job",
    "ListTransformJobs": "transform-job",
    "ListEndpoints": "endpoint",
}


IDENTITY = "identity-based policy"
_KEY = "KMS key"
"""Not a policy for the call itself: the caller may not use the key that encrypts the answer."""
_NAMES = (
    *(IDENTITY, "permissions boundary", "session policy", "service control policy"),
    *("resource control policy", "VPC endpoint policy", "resource-based policy", _KEY),
)
POLICIES = {*_NAMES, *(f"{name}: Deny" for name in _NAMES)}
"""The policies that can refuse a call: by a missing Allow, or (`: Deny`) by an explicit Deny."""


def check(call: Call, patterns: list[str], policies: dict[str, list[str]]) -> None:
    """Refuse a call whose action matches a pattern such as `ssm:*`; case does not count.

    Args:
        call: The call.
        patterns: The actions that no identity-based policy allows.
        policies: Name of another policy (see POLICIES) -> patterns of actions that it refuses.

    Raises:
        AwsError: IAM's error, in the form of the call's protocol.
    """
    # GetCallerIdentity needs no permission and cannot be denied.
    if call.operation == "GetCallerIdentity":
        return
    for policy, refused in {**policies, IDENTITY: patterns}.items():
        if any(fnmatchcase(call.action.lower(), pattern.lower()) for pattern in refused):
            raise refusal(call, policy)


def refusal(call: Call, policy: str = IDENTITY, where: str | None = None) -> AwsError:
    """Return IAM's error for a call that a policy does not allow, or explicitly denies.

    Args:
        call: the call.
        policy: one of POLICIES.
        where: the ARN of the resource that the policy is about; None for the call's main one.
    """
    name, _, explicit = policy.partition(": ")
    action, where = call.action, where or resource(call)
    if name == _KEY:
        name, action = "resource-based policy", "kms:Decrypt"
        where = call.arn("kms", "key/11111111-2222-3333-4444-555555555555")
    article = "an" if name == IDENTITY else "a"
    why = f"because no {name} allows the {action} action"
    if explicit:
        why = f"with an explicit deny in {article} {name}"
    who = f"User: {call.caller} is not authorized to perform: {action}"
    if call.protocol == "ec2":
        message = f"You are not authorized to perform this operation. {who} {why}"
        return AwsError("UnauthorizedOperation", message, 403)
    if call.service == "s3":  # which writes it so
        where = f'"{where}"'
    message = f"{who} on resource: {where} {why}"
    if call.protocol in {"query", "rest-xml"}:
        return AwsError("AccessDenied", message, 403)
    return AwsError("AccessDeniedException", message, 403 if call.protocol == "rest-json" else 400)


def resource(call: Call) -> str:
    """The ARN that IAM's error for `call` names."""
    finder = _RESOURCES.get(call.service)
    return finder(call, call.params) if finder else "*"


def _sagemaker(call: Call, params: dict[str, Any]) -> str:
    for member, kind in _SAGEMAKER.items():
        if isinstance(params.get(member), str):
            # SageMaker writes names in its ARNs in lower case.
            return call.arn("sagemaker", f"{kind}/{params[member].lower()}")
    kind = _SAGEMAKER_LISTS.get(call.operation, "")
    return call.arn("sagemaker", f"{kind}/*") if kind else "*"


def _logs(call: Call, params: dict[str, Any]) -> str:
    group = params.get("logGroupName") or params.get("logGroupIdentifier") or ""
    stream = params.get("logStreamName") or ""
    return call.arn("logs", f"log-group:{group}:log-stream:{stream}")


def _ssm(call: Call, params: dict[str, Any]) -> str:
    if "Target" in params:
        target = str(params["Target"])
        service = "ec2" if target.startswith("i-") else "ssm"
        kind = "instance" if target.startswith("i-") else "managed-instance"
        return call.arn(service, f"{kind}/{target}")
    if "SessionId" in params:
        return call.arn("ssm", f"session/{params['SessionId']}")
    return call.arn("ssm", "*")


def _instance(call: Call, params: dict[str, Any]) -> str:
    return call.arn("ec2", f"instance/{params.get('InstanceId', '*')}")


def _ecr(call: Call, params: dict[str, Any]) -> str:
    registry = params.get("registryId", ACCOUNT)
    where = f"arn:{call.partition}:ecr:{call.region}:{registry}"
    return f"{where}:repository/{params.get('repositoryName', '*')}"


def _sts(_call: Call, params: dict[str, Any]) -> str:
    return str(params.get("RoleArn", "*"))


_RESOURCES: dict[str, Callable[[Call, dict[str, Any]], str]] = {
    "sagemaker": _sagemaker,
    "logs": _logs,
    "ssm": _ssm,
    "ec2-instance-connect": _instance,
    "sts": _sts,
    "ecr": _ecr,
    "s3": lambda call, _: f"arn:{call.partition}:s3:::{unquote(call.path).strip('/')}",
    "iam": lambda call, _: f"arn:{call.partition}:iam::{ACCOUNT}:*",
}
