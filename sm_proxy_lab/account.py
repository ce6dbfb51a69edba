"""The account in which the lab's job runs: VPC, bastion, the job itself, made by real API calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sm_proxy_lab.machines.network import BASTION_SUBNET, NODE_SUBNETS, VPC_CIDR

REGION = "us-east-1"
GROUP = "sm-proxy-lab"
ENDPOINT_GROUP = "sm-proxy-lab-endpoints"
ENFORCED = "sm-proxy-lab:enforced"  # the tag of a VPC whose records close what they do not open
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"  # the documentation's own example
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the documentation's too
_ROLE = "arn:aws:iam::123456789012:role/sm-proxy-lab"
_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sm-proxy-lab:latest"


@dataclass(frozen=True)
class Vpc:
    """What was made: ids by which the job and the client find each other."""

    vpc_id: str
    subnets: tuple[str, ...]
    group: str
    bastion: str


class Account:
    """API clients at the lab's endpoint. Making them takes most of a second: do it in a thread."""

    def __init__(self, endpoint: str) -> None:
        import boto3  # noqa: PLC0415 - half a second, spent while the AWS endpoint starts
        from botocore.config import Config  # noqa: PLC0415

        session = boto3.session.Session(
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name=REGION
        )
        config = Config(proxies={}, retries={"total_max_attempts": 1}, read_timeout=30)
        self._session, self._options = session, {"endpoint_url": endpoint, "config": config}
        self._ec2: Any = session.client("ec2", **self._options)
        self._sagemaker: Any = session.client("sagemaker", **self._options)

    def build_vpc(self, bastion_address: str | None) -> Vpc:
        """Make a VPC with the bastion's subnet and the containers'.

        Args:
            bastion_address: the bastion's address in its subnet, or None for any.
        """
        tag = {"ResourceType": "vpc", "Tags": [{"Key": ENFORCED, "Value": "yes"}]}
        vpc = self._ec2.create_vpc(CidrBlock=VPC_CIDR, TagSpecifications=[tag])["Vpc"]["VpcId"]
        subnets = [
            self._ec2.create_subnet(
                VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}{'abc'[index]}"
            )["Subnet"]["SubnetId"]
            for index, cidr in enumerate((BASTION_SUBNET, *NODE_SUBNETS))
        ]
        group, endpoints = (self._make_group(vpc, name) for name in (GROUP, ENDPOINT_GROUP))
        own = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        https = {**own, "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
        for target, rule in ((group, own), (endpoints, https)):
            self._ec2.authorize_security_group_ingress(GroupId=target, IpPermissions=[rule])
        for service in ("ssm", "ssmmessages"):
            self._ec2.create_vpc_endpoint(
                VpcId=vpc,
                VpcEndpointType="Interface",
                SubnetIds=[subnets[0]],
                SecurityGroupIds=[endpoints],
                ServiceName=f"com.amazonaws.{REGION}.{service}",
            )
        started = self._ec2.run_instances(
            ImageId="ami-0123456789abcdef0",
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=subnets[0],
            SecurityGroupIds=[group],
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": "Name", "Value": "bastion"},
                        {"Key": "sm-proxy:role", "Value": "bastion"},
                    ],
                }
            ],
            **({"PrivateIpAddress": bastion_address} if bastion_address else {}),
        )
        return Vpc(vpc, tuple(subnets[1:]), group, started["Instances"][0]["InstanceId"])

    def _make_group(self, vpc: str, name: str) -> str:
        made = self._ec2.create_security_group(GroupName=name, Description="internal", VpcId=vpc)
        return str(made["GroupId"])

    def create_job(self, name: str, vpc: Vpc, *, nodes: int, environment: dict[str, str]) -> None:
        """Launch the lab's training job in the containers' subnets."""
        self._sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": _IMAGE, "TrainingInputMode": "File"},
            RoleArn=_ROLE,
            OutputDataConfig={"S3OutputPath": "s3://sm-proxy-lab/output"},
            ResourceConfig={
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": nodes,
                "VolumeSizeInGB": 30,
            },
            VpcConfig={"Subnets": list(vpc.subnets), "SecurityGroupIds": [vpc.group]},
            StoppingCondition={"MaxRuntimeInSeconds": 86400},
            Environment=environment,
        )

    def cidrs_of(self, request: dict[str, Any], region: str) -> list[str | None]:
        """Return the blocks of a job's subnets; `[None]` where it is in no VPC."""
        subnets = request.get("VpcConfig", {}).get("Subnets", [])
        if not subnets:
            return [None]
        client: Any = self._session.client("ec2", **{**self._options, "region_name": region})
        found = client.describe_subnets(SubnetIds=subnets)["Subnets"]
        return [subnet["CidrBlock"] for subnet in found]
