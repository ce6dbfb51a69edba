"""One call to an AWS API, in any of its protocols."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.identity import Identity

JOB_ROLE = role_credentials.ARN.rpartition("/")[2]
ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"
LAB_CALLER: Final = f"arn:{{partition}}:sts::{ACCOUNT}:assumed-role/LabRole/lab"
"""The ARN of the lab's caller, who is an administrator."""


@dataclass
class Call:
    """One request to an AWS API.

    Attributes:
        service: The signing name: `sagemaker`, `logs`, `ssm`, `ec2`, ...
        operation: `DescribeTrainingJob`, or `GET /path` for a REST service.
        protocol: `json`, `query`, `ec2`, `rest-json` or `rest-xml`.
        params: The parameters: the JSON body or the form, empty for the other protocols.
        access_key: None if the request has no signature.
        identity: who makes it; None until the app has looked it up.
        via: the service that makes the call for the caller, such as `cloudformation`; several, the
            first one first, with commas; empty if the caller makes it.
        needed: the IAM actions that were checked for it, if the caller has policies.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    service: str = ""
    operation: str = ""
    region: str = DEFAULT_REGION
    access_key: str | None = None
    identity: Identity | None = None
    via: str = ""
    protocol: str = "json"
    params: dict[str, Any] = field(default_factory=dict)
    needed: list[str] = field(default_factory=list)
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def partition(self) -> str:
        """The region's partition: `aws`, `aws-cn` or `aws-us-gov`."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def action(self) -> str:
        """The IAM action."""
        return f"{self.service}:{self.operation}"

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this call's partition, region and account."""
        return f"arn:{self.partition}:{service}:{self.region}:{ACCOUNT}:{resource}"

    @property
    def caller(self) -> str:
        """The caller's ARN."""
        return self.identity.arn if self.identity else LAB_CALLER.format(partition=self.partition)
