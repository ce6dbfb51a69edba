"""Links to the AWS console in the partition of a job's ARN."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

_HOSTS: Final = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def link(arn: str, page: str, name: str) -> str:
    """The URL of a job's page; empty if the partition's console is unknown.

    Args:
        arn: of the job; we do not use its last part, which the service writes in lower case.
        page: the console's word for this kind of job: `jobs`, `processing-jobs`, ...
        name: the job's name.
    """
    _, partition, _, region, *_ = [*arn.split(":"), "", "", "", ""]
    host = _HOSTS.get(partition)
    if not host or not region.replace("-", "").isalnum():
        return ""
    where = f"https://{host.format(region=region)}/sagemaker/home?region={region}"
    return f"{where}#/{page}/{quote(name, safe='')}"
