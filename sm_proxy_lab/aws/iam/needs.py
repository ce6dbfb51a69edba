"""Which permissions a call needs: actions, each on a resource and with the keys of its context.

A call needs its own action on its resource, unless a row here says otherwise. Source: Service
Authorization Reference, the tables "Actions, resources, and condition keys" of each service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws import resources
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.iam import ec2_needs, request_tags

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

FREE: Final = {"sts:GetCallerIdentity", "sts:GetSessionToken", "sts:AssumeRole"}
"""What needs no permission, or is judged by its operation: the role's trust policy counts too."""


@dataclass(frozen=True)
class Need:
    """A permission that a call needs.

    Attributes:
        action: such as `ssm:StartSession`.
        resource: an ARN, or `*`.
        context: what only this need has: a key in lower case -> its values.
        new: whether the resource is made, and so has the tags of the request.
    """

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    new: bool = False


def of(call: Call) -> Iterator[Need]:
    """The permissions that a call needs, in the order in which they are checked."""
    if call.action in FREE:
        return
    rule = _RULES.get(call.action)
    if rule:
        yield from rule(call)
    elif call.service == "ec2":
        for resource in ec2_needs.resources(call):
            yield Need(call.action, resource, new=resource.endswith("/*"))
    else:
        yield Need(call.action, resources.of(call), new=True)
    if call.service == "ec2":
        for resource in ec2_needs.tagged(call):
            yield Need(
                "ec2:CreateTags", resource, {"ec2:createaction": (call.operation,)}, new=True
            )
        yield from _passed_to_ec2(call)


def _pass_role(role: str, service: str) -> Need:
    """The permission to give a role to a service, whose name is the same in each partition."""
    return Need("iam:PassRole", role, {"iam:passedtoservice": (f"{service}.amazonaws.com",)})


def _start_session(call: Call) -> Iterator[Need]:
    """The target and the document; the default document counts only if it is named."""
    target = str(call.params.get("Target", ""))
    tag = {"ssm:resourcetag/aws:ssmmessages:target-id": (target,)}
    yield Need(call.action, resources.of(call), tag)
    document = call.params.get("DocumentName")
    if document:
        # The ARN of a document that AWS owns has no account.
        owner = "" if str(document).startswith("AWS-") else ACCOUNT
        where = f"arn:{call.partition}:ssm:{call.region}:{owner}:document/{document}"
        yield Need(call.action, where)


def _get_events(call: Call) -> Iterator[Need]:
    yield Need(call.action, resources.of(call))
    if call.params.get("unmask"):
        yield Need("logs:Unmask", resources.of(call))


def _create_job(call: Call) -> Iterator[Need]:
    resource = resources.of(call)
    yield Need(call.action, resource, new=True)
    yield _pass_role(str(call.params.get("RoleArn", "")), "sagemaker")
    if call.params.get("Tags"):
        yield Need("sagemaker:AddTags", resource, new=True)


def _create_cluster(call: Call) -> Iterator[Need]:
    yield Need(call.action, resources.of(call), new=True)
    for group in call.params.get("InstanceGroups", []):
        yield _pass_role(str(group.get("ExecutionRole", "")), "sagemaker")


def _make_in_studio(call: Call) -> Iterator[Need]:
    """What makes or changes a part of Studio; its tags need a permission of their own."""
    resource = resources.of(call)
    remote = (call.params.get("SpaceSettings") or {}).get("RemoteAccess")
    context = {"sagemaker:remoteaccess": (str(remote),)} if remote else {}
    yield Need(call.action, resource, context, new=call.operation.startswith("Create"))
    if call.params.get("Tags"):
        yield Need("sagemaker:AddTags", resource, new=True)


def _create_domain(call: Call) -> Iterator[Need]:
    """Its id is not known before."""
    yield Need(call.action, call.arn("sagemaker", "domain/*"), new=True)


def _create_project(call: Call) -> Iterator[Need]:
    yield Need(call.action, resources.of(call), new=True)
    if call.params.get("serviceRole"):
        yield _pass_role(str(call.params["serviceRole"]), "codebuild")


def _of_each(member: str) -> Callable[[Call], Iterator[Need]]:
    """An operation on several resources needs its action on each of them."""

    def rule(call: Call) -> Iterator[Need]:
        for name in call.params.get(member) or [None]:
            one = replace(call, params={member: [name]} if name else {})
            yield Need(call.action, resources.of(one))

    return rule


def _create_repository(call: Call) -> Iterator[Need]:
    resource = resources.of(call)
    yield Need(call.action, resource, new=True)
    if request_tags.of(call):
        yield Need("ecr:TagResource", resource, new=True)


def _add_role(call: Call) -> Iterator[Need]:
    yield Need(call.action, resources.of(call))
    role = f"arn:{call.partition}:iam::{ACCOUNT}:role/{call.params.get('RoleName', '')}"
    yield _pass_role(role, "ec2")


def _create_group(call: Call) -> Iterator[Need]:
    """A group whose instances come from a launch template needs what these would need.

    Source: Amazon EC2 Auto Scaling User Guide, "Control Amazon EC2 launch template usage".
    """
    yield Need(call.action, resources.of(call), new=True)
    if any(name.startswith("LaunchTemplate.") for name in call.params):
        yield Need("ec2:RunInstances", call.arn("ec2", "instance/*"))


def _passed_to_ec2(call: Call) -> Iterator[Need]:
    if call.operation == "RunInstances":
        for role in ec2_needs.roles(call):
            yield _pass_role(role, "ec2")


_RULES: Final[Mapping[str, Callable[[Call], Iterator[Need]]]] = {
    "ssm:StartSession": _start_session,
    "logs:GetLogEvents": _get_events,
    "sagemaker:CreateTrainingJob": _create_job,
    "sagemaker:CreateProcessingJob": _create_job,
    "sagemaker:CreateDomain": _create_domain,
    "sagemaker:CreateUserProfile": _make_in_studio,
    "sagemaker:CreateSpace": _make_in_studio,
    "sagemaker:UpdateSpace": _make_in_studio,
    "sagemaker:CreateApp": _make_in_studio,
    "sagemaker:CreateCluster": _create_cluster,
    "codebuild:CreateProject": _create_project,
    "codebuild:UpdateProject": _create_project,
    "codebuild:BatchGetBuilds": _of_each("ids"),
    "codebuild:BatchGetProjects": _of_each("names"),
    "ecr:CreateRepository": _create_repository,
    "ecr:DescribeRepositories": _of_each("repositoryNames"),
    "iam:AddRoleToInstanceProfile": _add_role,
    "autoscaling:CreateAutoScalingGroup": _create_group,
    "autoscaling:UpdateAutoScalingGroup": _create_group,
}
