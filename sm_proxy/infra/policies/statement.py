"""One statement of a policy, and the account that its ARNs name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sm_proxy.aws import stack_names


@dataclass(frozen=True)
class Scope:
    """What the ARNs of a policy name.

    Attributes:
        partition: `aws`, `aws-cn` or `aws-us-gov`.
        region: its name; `*` for all regions of the partition.
        account: its 12 digits.
        stack: the name of the stack, with which the names of its resources begin.
        buckets: the buckets of the jobs' data, besides the stack's own and the SageMaker SDKs'.
        job_roles: the names of the jobs' roles, besides the stack's.
    """

    partition: str
    region: str
    account: str
    stack: str = stack_names.DEFAULT
    buckets: tuple[str, ...] = ()
    job_roles: tuple[str, ...] = ()

    @classmethod
    def of_template(cls, buckets: tuple[str, ...] = ()) -> Scope:
        """The account in which CloudFormation makes the stack, for `Fn::Sub`."""
        names = ("Partition", "Region", "AccountId", "StackName")
        partition, region, account, stack = (f"${{AWS::{name}}}" for name in names)
        return cls(partition, region, account, stack, buckets)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def iam(self, resource: str) -> str:
        """The ARN of a resource of IAM, which has no region."""
        return f"arn:{self.partition}:iam::{self.account}:{resource}"

    def s3(self, resource: str) -> str:
        """The ARN of a bucket or of objects."""
        return f"arn:{self.partition}:s3:::{resource}"

    @property
    def bucket(self) -> str:
        """The name of the stack's bucket."""
        return stack_names.bucket(self.stack, self.account, self.region)

    @property
    def contexts(self) -> str:
        """The ARN of the build contexts in that bucket."""
        return self.s3(f"{self.bucket}/{stack_names.CONTEXTS}*")

    @property
    def data_buckets(self) -> tuple[str, ...]:
        """The buckets in which jobs have code and data.

        The second one is the default bucket of the SageMaker Python SDKs.
        """
        return (self.bucket, f"sagemaker-{self.region}-{self.account}", *self.buckets)

    @property
    def roles_of_jobs(self) -> tuple[str, ...]:
        """The ARNs of the roles that jobs may have; CloudFormation ends its names with letters."""
        names = (f"{self.stack}-JobRole-*", *self.job_roles)
        return tuple(self.iam(f"role/{name}") for name in names)

    @property
    def project(self) -> str:
        """The name of the CodeBuild project that builds images."""
        return stack_names.project(self.stack)

    @property
    def build_log(self) -> str:
        """The name of the log group of that project."""
        return stack_names.build_log(self.stack)


@dataclass(frozen=True)
class Statement:
    """What a policy allows, and why.

    Attributes:
        sid: its name, letters and digits only.
        actions: such as `s3:GetObject`.
        resources: ARNs, or `*` for actions that know no resource.
        why: what fails without it, a sentence for users; of an optional one what it is for.
        conditions: as in the document; empty for none.
        optional: whether each command still works without it, or does without a part.
        in_stack: whether the stack's policy for people has it; not what opens the work of others.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    conditions: Mapping[str, Mapping[str, str | list[str]]] = field(default_factory=dict)
    optional: bool = False
    in_stack: bool = True

    def as_json(self) -> dict[str, Any]:
        """As it stands in a document."""
        found: dict[str, Any] = {
            "Sid": self.sid,
            "Effect": "Allow",
            "Action": _one_or_list(self.actions),
            "Resource": _one_or_list(self.resources),
        }
        if self.conditions:
            found["Condition"] = {name: dict(keys) for name, keys in self.conditions.items()}
        return found


def _one_or_list(words: tuple[str, ...]) -> str | list[str]:
    return words[0] if len(words) == 1 else list(words)
