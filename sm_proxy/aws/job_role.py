"""What the role of a job needs for ssh, beside its data and its log."""

from __future__ import annotations

from typing import Final

IN_A_VPC: Final = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)
"""What the role of a job with a VpcConfig needs (SageMaker Developer Guide, "SageMaker roles")."""
FOR_REMOTE_DEBUG: Final = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""What the role of a job with RemoteDebug needs (SageMaker Developer Guide, "Access a training
container through AWS Systems Manager for remote debugging")."""
