"""Shells of SageMaker: a notebook instance, and a Studio space of a domain with `VpcOnly`.

No metadata service of EC2 answers there. A file says which resource the shell belongs to; SageMaker
and EC2 say where that resource is.
"""

from __future__ import annotations

import json
from typing import Final

from sm_proxy_lab.account import IMAGE, REGION
from sm_proxy_lab.machines import role_credentials
from sm_proxy_lab.machines.network import NODE_SUBNETS
from sm_proxy_lab.terminals.place import Site, Terminal

_NAME: Final = "sm-proxy-lab"
_TYPE: Final = "ml.t3.medium"
_ARN: Final = f"arn:aws:sagemaker:{REGION}:{IMAGE.partition('.')[0]}"


def build_notebook(site: Site) -> Terminal:
    """Create a notebook instance in the subnet of the job's first node."""
    made = _plug(site, f"notebook-instance/{_NAME}")
    request: dict[str, object] = {
        "NotebookInstanceName": _NAME,
        "InstanceType": _TYPE,
        "RoleArn": role_credentials.ARN,
        "SubnetId": site.vpc.subnets[0],
        "SecurityGroupIds": [site.vpc.group],
        "DirectInternetAccess": "Disabled",
    }
    arn = site.account.sagemaker("CreateNotebookInstance", request)["NotebookInstanceArn"]
    return _with_metadata(made, {"ResourceArn": arn, "ResourceName": _NAME})


def build_studio(site: Site) -> Terminal:
    """Create a domain in the VPC, and be a JupyterLab space in it."""
    made = _plug(site, f"domain/{_NAME}")
    settings = {"ExecutionRole": role_credentials.ARN, "SecurityGroups": [site.vpc.group]}
    request: dict[str, object] = {
        "DomainName": _NAME,
        "AuthMode": "IAM",
        "AppNetworkAccessType": "VpcOnly",
        "DefaultUserSettings": settings,
        "SubnetIds": list(site.vpc.subnets),
        "VpcId": site.vpc.vpc_id,
    }
    arn = str(site.account.sagemaker("CreateDomain", request)["DomainArn"])
    domain = arn.rpartition("/")[2]
    document: dict[str, object] = {
        "AppType": "JupyterLab",
        "DomainId": domain,
        "SpaceName": "lab",
        "ExecutionRoleArn": role_credentials.ARN,
        "ResourceArn": f"{_ARN}:app/{domain}/lab/JupyterLab/default",
        "ResourceName": "default",
        "AppImageVersion": "",
        "ResourceArnCaseSensitive": f"{_ARN}:app/{domain}/lab/JupyterLab/default",
        "IpAddressType": "ipv4",
    }
    return _with_metadata(made, document)


def _plug(site: Site, owner: str) -> int | None:
    """Connect a machine to the VPC; return its network namespace."""
    cable = site.namespaces().plug_node(NODE_SUBNETS[0])
    site.control.plugged([cable.address], [site.vpc.group], macs=[cable.mac], owner=owner)
    return cable.netns


def _with_metadata(netns: int | None, document: dict[str, object]) -> Terminal:
    text = json.dumps(document)
    files = {"/opt": {"ml": {"metadata": {"resource-metadata.json": text}}}}
    return Terminal(netns, files, {"AWS_EC2_METADATA_DISABLED": None})
