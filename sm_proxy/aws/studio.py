"""In which domain and VPC a terminal in SageMaker Studio or in a notebook instance is.

Both have a file that names the domain or the notebook (AWS documentation, "Get app metadata" and
"Get notebook instance metadata").
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from sm_proxy.aws.clients import Aws
from sm_proxy.local import paths

_LIMIT: Final = 1 << 16
_DOMAIN: Final = re.compile(r"d-[a-z0-9-]{1,62}")
_NOTEBOOK: Final = re.compile(
    r"arn:[a-z-]+:sagemaker:([a-z0-9-]+):\d{12}:notebook-instance/([A-Za-z0-9-]{1,63})"
)


class OwnVpc(NamedTuple):
    """The VPC that this terminal's traffic goes through.

    Attributes:
        vpc_id: of the customer's account; None if it is unknown, or SageMaker's own.
        how: what tells it, or why it is unknown.
    """

    vpc_id: str | None
    how: str


def own_vpc(aws: Aws, metadata: Path) -> OwnVpc:
    """Ask SageMaker for the VPC of the domain or notebook that the file names.

    Raises:
        SmProxyError: the call failed for another reason than a missing permission.
    """
    named = _read(metadata)
    notebook = _NOTEBOOK.fullmatch(str(named.get("ResourceArn", "")))
    if notebook:
        return _of_notebook(aws, notebook[1], notebook[2])
    if _DOMAIN.fullmatch(domain := str(named.get("DomainId", ""))):
        return _of_domain(aws, domain)
    return OwnVpc(None, f"{metadata} names no domain and no notebook")


def own_domain(metadata: Path | None = None) -> str:
    """The id of the domain that this terminal is in; empty outside of Studio."""
    domain = str(_read(metadata or Path(paths.SAGEMAKER_METADATA)).get("DomainId", ""))
    return domain if _DOMAIN.fullmatch(domain) else ""


def _read(metadata: Path) -> dict[str, Any]:
    try:
        with metadata.open("rb") as file:
            found = json.loads(file.read(_LIMIT))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_notebook(aws: Aws, region: str, name: str) -> OwnVpc:
    if region != aws.region:
        return OwnVpc(None, f"the notebook instance {name} is in {region}")
    answer = aws.call_if_allowed("sagemaker", "DescribeNotebookInstance", NotebookInstanceName=name)
    if answer is None:
        return OwnVpc(None, "sagemaker:DescribeNotebookInstance is denied")
    subnet = answer.get("SubnetId")
    if not subnet:
        return OwnVpc(None, f"the notebook instance {name} is in no VPC of this account")
    found = aws.call_if_allowed("ec2", "DescribeSubnets", SubnetIds=[subnet])
    subnets = (found or {}).get("Subnets", [])
    if not subnets:
        return OwnVpc(None, f"the VPC of {subnet} is unknown")
    return OwnVpc(str(subnets[0]["VpcId"]), f"the notebook instance {name}")


def _of_domain(aws: Aws, domain: str) -> OwnVpc:
    """With the access type `VpcOnly`, all traffic of its apps goes through the domain's VPC."""
    answer = aws.call_if_allowed("sagemaker", "DescribeDomain", DomainId=domain)
    if answer is None:
        return OwnVpc(None, "sagemaker:DescribeDomain is denied")
    if answer.get("AppNetworkAccessType") != "VpcOnly":
        return OwnVpc(None, f"the apps of domain {domain} are not in its VPC (PublicInternetOnly)")
    return OwnVpc(answer.get("VpcId"), f"the domain {domain}")
