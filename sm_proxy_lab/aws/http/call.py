"""One call to an AWS API, in any of its protocols."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from sm_proxy_lab.machines import role_credentials

JOB_ROLE = role_credentials.ARN.rpartition("/")[2]
ACCOUNT = "123456789012"
DEFAULT_REGION = "us-east-1"


@dataclass
class Call:
    """One request to an AWS API.

    Attributes:
        service: The signing name: `sagemaker`, `logs`, `ssm`, `ec2`, ...
        operation: `DescribeTrainingJob`, or `GET /path` for a REST service.
        protocol: `json`, `query`, `ec2`, `rest-json` or `rest-xml`.
        params: The parameters: the JSON body or the form, empty for the other protocols.
        access_key: None if the request has no signature.
        via: the service that makes the call for the caller, such as `cloudformation`; empty if the
            caller makes it.
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
    via: str = ""
    protocol: str = "json"
    params: dict[str, Any] = field(default_factory=dict)
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
        """The caller's ARN: a job's container has the role of the job, all others the lab's."""
        inside = self.access_key == role_credentials.ACCESS_KEY
        role = f"{JOB_ROLE}/SageMaker" if inside else "LabRole/lab"
        return f"arn:{self.partition}:sts::{ACCOUNT}:assumed-role/{role}"
