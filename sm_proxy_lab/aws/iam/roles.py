"""The roles of the account, kept by moto, and what their policies allow.

There are two from the start: the one that the lab's jobs have, and the caller's own. A lab that
begins empty has only the latter. A test changes them as it would on AWS, with PutRolePolicy and
DeleteRolePolicy.
"""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from sm_proxy_lab.aws import moto_app, page_tokens, resources
from sm_proxy_lab.aws.http.call import ACCOUNT, DEFAULT_REGION, JOB_ROLE, Call
from sm_proxy_lab.aws.http.errors import NAMESPACES, AwsError, Reply
from sm_proxy_lab.aws.iam import policies
from sm_proxy_lab.aws.iam.policies import parsed
from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.identity import Identity
    from sm_proxy_lab.aws.iam.policies import Decision

CALLER_ROLE: Final = "LabRole"
CALLER_ID: Final = "AROA4LABROLE4EXAMPLE"
JOB_POLICY: Final = "sm-proxy-lab"
"""The name of the job role's only policy."""
NETWORK_ACTIONS: Final = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission"),
    *("ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"),
    *("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"),
    *("ec2:DescribeSubnets", "ec2:DescribeVpcs"),
)
"""What a job's role needs so that its containers can be in a VPC."""
AGENT_ACTIONS: Final = (
    *("ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel"),
    *("ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"),
)
"""What a training job's role needs so that RemoteDebug works."""
_LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
_IMAGES = (
    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken"),
    "ecr:GetDownloadUrlForLayer",
)
_ARN = re.compile(r"arn:[\w-]+:iam::(\d{12}):(role|user|group)/(?:.*/)?([\w+=,.@-]+)")
_PAGE: Final = 100
_REGIONS: Final = {"aws": DEFAULT_REGION, "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""A region of each partition."""


def job_policy(partition: str) -> dict[str, Any]:
    """The document of the job role's policy: data in any bucket, logs, images, VPC, RemoteDebug."""
    allow = {"Effect": "Allow", "Resource": "*"}
    buckets = f"arn:{partition}:s3:::*"
    data = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": data, "Resource": buckets},
            {**allow, "Action": ["cloudwatch:PutMetricData", *_LOGS, *_IMAGES]},
            {**allow, "Action": list(NETWORK_ACTIONS)},
            {**allow, "Action": list(AGENT_ACTIONS)},
        ],
    }


class Roles:
    """Reads and judges the roles.

    Args:
        moto: answers calls.
        has_job_role: whether the job's role is there from the start.
    """

    def __init__(self, moto: Callable[[Call], Reply], *, has_job_role: bool = True) -> None:
        self._moto = moto
        self._has_job_role = has_job_role
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self.operations = {"SimulatePrincipalPolicy": self._simulate}

    def prepare(self, partition: str) -> None:
        """Make the lab's roles, unless the partition has them already."""
        with self._lock:
            if partition in self._made:
                return
            self._made.add(partition)
            everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
            if self._has_job_role:
                sagemaker = {"Service": "sagemaker.amazonaws.com"}
                self._make(partition, JOB_ROLE, sagemaker, job_policy(partition))
            root = {"AWS": f"arn:{partition}:iam::{ACCOUNT}:root"}
            self._make(partition, CALLER_ROLE, root, {"Statement": [everything]})

    def _make(
        self, partition: str, name: str, principal: dict[str, str], policy: dict[str, Any]
    ) -> None:
        trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
        document = {"Version": "2012-10-17", "Statement": [trust]}
        policy = {"Version": "2012-10-17", **policy}
        requests: dict[str, dict[str, Any]] = {
            "CreateRole": {"AssumeRolePolicyDocument": document},
            "PutRolePolicy": {"PolicyName": JOB_POLICY, "PolicyDocument": policy},
        }
        for operation, more in requests.items():
            form: dict[str, str] = {"Action": operation, "RoleName": name}
            for member, value in more.items():
                form[member] = value if isinstance(value, str) else json.dumps(value)
            form["Version"] = "2010-05-08"
            region = _REGIONS[partition]
            headers = {
                "content-type": "application/x-www-form-urlencoded",
                # Moto finds the partition there: IAM's host name has no region.
                "authorization": f"AWS4-HMAC-SHA256 Credential=lab/20260101/{region}/iam/",
            }
            body = urlencode(form).encode()
            self._moto(
                Call("POST", "/", "", headers, body, "iam", operation, region, protocol="query")
            )

    def trusts_sagemaker(self, call: Call, arn: str) -> bool:
        """Whether SageMaker may assume a role for a job; False if there is no such role."""
        return self.trusts_service(call, arn, "sagemaker")

    def trusts_service(self, call: Call, arn: str, service: str) -> bool:
        """Whether a service may assume a role for a resource of this account and region."""
        name = f"{service}.amazonaws.com"
        if self._untouched(arn):
            return name == "sagemaker.amazonaws.com"
        role = self.find(call.partition, arn)
        if role is None:
            return False
        context = {
            "aws:sourceaccount": (ACCOUNT,),
            "aws:sourcearn": (resources.of(call),),
        }
        trust = json.loads(role.assume_role_policy_document)
        return policies.trusts(trust, "Service", {name}, context) == policies.ALLOWED

    def decide(self, call: Call, arn: str, action: str, resource: str) -> Decision:
        """What the policies of a role say about an action.

        Raises:
            KeyError: There is no such role.
        """
        if not self._untouched(arn) and self.find(call.partition, arn) is None:
            raise KeyError(arn)
        return policies.decide(self.documents(arn), action, resource)

    def documents(self, arn: str) -> dict[str, dict[str, Any]]:
        """Name -> document of the policies of a role or a user; none if it does not exist."""
        partition = arn.split(":")[1]
        if self._untouched(arn):
            return {JOB_POLICY: job_policy(partition)}
        if ":user/" not in arn:
            role = self.find(partition, arn)
            return _documents(role) if role else {}
        user = next((user for user in self._entities(partition, "users") if user.arn == arn), None)
        found = _documents(user) if user else {}
        for group in self._entities(partition, "groups"):
            if user in group.users:
                found |= _documents(group)
        return found

    def inline(self, partition: str, name: str) -> dict[str, str]:
        """Name -> text of the inline policies of a role; none if it does not exist."""
        roles = self._entities(partition, "roles")
        return next((dict(role.policies) for role in roles if role.name == name), {})

    def user_id(self, identity: Identity) -> str:
        """The value of `aws:userid`: the user's id, or the role's id and the session's name."""
        if not identity.entity:
            return f"{CALLER_ID}:{identity.name}"
        if identity.is_user:
            users = self._entities(identity.entity.split(":")[1], "users")
            return next(str(user.id) for user in users if user.arn == identity.entity)
        role = self.find(identity.entity.split(":")[1], identity.entity)
        return f"{role.id if role else 'AROADELETED'}:{identity.name}"

    @staticmethod
    def caller_arn(partition: str) -> str:
        """The ARN of the administrator's role."""
        return f"arn:{partition}:iam::{ACCOUNT}:role/{CALLER_ROLE}"

    def _untouched(self, arn: str) -> bool:
        """Whether this is the job role, as it is made. To make it costs each lab 35 ms of CPU."""
        is_own = self._has_job_role and arn == role_credentials.ARN
        return is_own and "aws" not in self._made

    def find(self, partition: str, arn: str) -> Any | None:
        """Moto's role; None if the account has none with that ARN."""
        self.prepare(partition)
        found = _ARN.fullmatch(arn)
        if not found or found[1] != ACCOUNT or found[2] != "role":
            return None
        return next((role for role in self._entities(partition, "roles") if role.arn == arn), None)

    @staticmethod
    def _entities(partition: str, kind: str) -> list[Any]:
        """Moto's `roles`, `users` or `groups`."""
        from moto.iam.models import iam_backends  # noqa: PLC0415

        with moto_app.LOCK:
            return list(getattr(iam_backends[ACCOUNT][partition], kind).values())

    def _simulate(self, call: Call) -> Reply:
        arn = call.params.get("PolicySourceArn", "")
        found = _ARN.fullmatch(arn)
        if not found:
            message = f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
            raise AwsError("InvalidInput", message)
        role = self.find(call.partition, arn)
        if role is None:
            message = f"The {found[2]} with name {found[3]} cannot be found."
            raise AwsError("NoSuchEntity", message, 404)
        documents = _documents(role)
        results = [
            _result(action, resource, policies.decide(documents, action, resource))
            for action in _members(call, "ActionNames")
            for resource in _members(call, "ResourceArns") or ["*"]
        ]
        size = int(call.params.get("MaxItems", _PAGE))
        invalid = AwsError("InvalidInput", "Invalid Marker")
        shown, marker = page_tokens.page(results, call.params.get("Marker"), size, invalid)
        return _simulated(call, "".join(shown), marker)


def _documents(entity: Any) -> dict[str, dict[str, Any]]:
    """The names and documents of the policies of a role, a user or a group."""
    inline = {name: parsed(document) for name, document in entity.policies.items()}
    attached: dict[str, dict[str, Any]] = {}
    for policy in entity.managed_policies.values():
        document = next(version.document for version in policy.versions if version.is_default)
        attached[policy.name] = parsed(document) if isinstance(document, str) else document
    return inline | attached


def _members(call: Call, name: str) -> list[str]:
    """The values of a list in a query request, in their order."""
    prefix = f"{name}.member."
    found = {key: value for key, value in call.params.items() if key.startswith(prefix)}
    return [found[key] for key in sorted(found, key=lambda key: int(key.rpartition(".")[2]))]


def _result(action: str, resource: str, decision: Decision) -> str:
    matched = "".join(
        f"<member><SourcePolicyId>{escape(name)}</SourcePolicyId>"
        "<SourcePolicyType>IAM Policy</SourcePolicyType></member>"
        for name in decision.matched
    )
    missing = "".join(f"<member>{escape(key)}</member>" for key in decision.missing)
    return (
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalDecision>{decision.outcome}</EvalDecision>"
        f"<MatchedStatements>{matched}</MatchedStatements>"
        f"<MissingContextValues>{missing}</MissingContextValues></member>"
    )


def _simulated(call: Call, results: str, marker: str | None) -> Reply:
    more = f"<Marker>{marker}</Marker>" if marker else ""
    text = (
        f'<SimulatePrincipalPolicyResponse xmlns="{NAMESPACES["iam"]}">'
        f"<SimulatePrincipalPolicyResult><IsTruncated>{str(bool(marker)).lower()}</IsTruncated>"
        f"{more}<EvaluationResults>{results}</EvaluationResults></SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"
        "</SimulatePrincipalPolicyResponse>"
    )
    return Reply(200, text.encode(), {"Content-Type": "text/xml"})
