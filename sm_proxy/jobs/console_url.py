"""Links to the AWS console, for the partition that a job's ARN names."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

_HOSTS: Final = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def link(arn: str, page: str, name: str) -> str:
    """The page of one job; empty in a partition whose console is not known.

    Args:
        arn: of the job. Its last part is of no use here: the service writes it in lower case.
        page: the console's name for a list of such jobs: `jobs`, `processing-jobs`, ...
        name: the job's name.
    """
    _, partition, _, region, *_ = [*arn.split(":"), "", "", "", ""]
    host = _HOSTS.get(partition)
    if not host or not region.replace("-", "").isalnum():
        return ""
    where = f"https://{host.format(region=region)}/sagemaker/home?region={region}"
    return f"{where}#/{page}/{quote(name, safe='')}"
