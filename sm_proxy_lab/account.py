"""The account of the lab's job: its VPC, bastion and the job itself, made by real API calls."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import role_credentials
from sm_proxy_lab.machines.network import BASTION_SUBNET, NODE_SUBNETS, VPC_CIDR

REGION = "us-east-1"
GROUP = "sm-proxy-lab"
ENDPOINT_GROUP = "sm-proxy-lab-endpoints"
ENFORCED = "sm-proxy-lab:enforced"  # tag of a VPC whose rules the lab enforces
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"  # the documentation's own example
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the documentation's too
_TIMEOUT_S = 30.0
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sm-proxy-lab:latest"


@dataclass(frozen=True)
class Vpc:
    """The ids of the VPC and its parts."""

    vpc_id: str
    subnets: tuple[str, ...]
    group: str
    bastion: str


@dataclass(frozen=True)
class Ec2Instance:
    """An EC2 instance, with the MAC address and the id of its network interface."""

    id: str
    mac: str
    interface: str


class Account:
    """Calls the lab's AWS endpoint: EC2's query API and SageMaker's JSON API.

    We do without boto3: it would parse EC2's whole model, 0.4 s of CPU at each start of a lab.
    """

    def __init__(self, endpoint: str) -> None:
        """Keep the URL of the AWS endpoint; nothing is called yet."""
        self._endpoint = endpoint
        # The endpoint is on this machine, so ignore the proxies in the environment.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def build_vpc(self, bastion_address: str | None) -> Vpc:
        """Make a VPC with a subnet for the bastion and subnets for the containers.

        Args:
            bastion_address: the bastion's address in its subnet, or None for any.
        """
        enforced = _tags("vpc", **{ENFORCED: "yes"})
        vpc = self._make("vpcId", "CreateVpc", CidrBlock=VPC_CIDR, **enforced)
        # AWS asks for it before an endpoint may take over a service's name.
        self._ec2("ModifyVpcAttribute", VpcId=vpc, **{"EnableDnsHostnames.Value": "true"})
        subnets = [
            self._make(
                "subnetId",
                "CreateSubnet",
                VpcId=vpc,
                CidrBlock=cidr,
                AvailabilityZone=f"{REGION}{'abc'[index]}",
            )
            for index, cidr in enumerate((BASTION_SUBNET, *NODE_SUBNETS))
        ]
        group, endpoints = (
            self._make(
                "groupId",
                "CreateSecurityGroup",
                GroupName=name,
                GroupDescription="internal",
                VpcId=vpc,
            )
            for name in (GROUP, ENDPOINT_GROUP)
        )
        self._admit(group, group, IpProtocol="-1")
        self._admit(endpoints, group, IpProtocol="tcp", FromPort="443", ToPort="443")
        for service in ("ssm", "ssmmessages", "s3"):
            self._make(
                "vpcEndpointId",
                "CreateVpcEndpoint",
                VpcId=vpc,
                VpcEndpointType="Interface",
                ServiceName=f"com.amazonaws.{REGION}.{service}",
                **{"SubnetId.1": subnets[0], "SecurityGroupId.1": endpoints},
            )
        self._open_s3(vpc)
        bastion = self._run_bastion(subnets[0], group, bastion_address)
        return Vpc(vpc, tuple(subnets[1:]), group, bastion)

    def _open_s3(self, vpc: str) -> None:
        """Add the gateway endpoint by which private subnets reach S3."""
        words = {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": vpc}
        self._make(
            "vpcEndpointId",
            "CreateVpcEndpoint",
            VpcId=vpc,
            VpcEndpointType="Gateway",
            ServiceName=f"com.amazonaws.{REGION}.s3",
            **{"RouteTableId.1": self._make("routeTableId", "DescribeRouteTables", **words)},
        )

    def _run_bastion(self, subnet: str, group: str, address: str | None) -> str:
        tags = {"Name": "bastion", "sm-proxy:role": "bastion"}
        return self._run_instance(subnet, group, address, tags)["instanceId"]

    def run_instance(
        self, name: str, subnet: str, group: str, address: str | None = None
    ) -> Ec2Instance:
        """Launch an EC2 instance that is no bastion.

        Args:
            name: its Name tag.
            subnet: id of its subnet.
            group: id of its security group.
            address: its address in the subnet, or None for any.
        """
        made = self._run_instance(subnet, group, address, {"Name": name})
        return Ec2Instance(made["instanceId"], made["macAddress"], made["networkInterfaceId"])

    def _run_instance(
        self, subnet: str, group: str, address: str | None, tags: dict[str, str]
    ) -> dict[str, str]:
        """Launch an instance; return the first value of each member of EC2's answer."""
        answer = self._ec2(
            "RunInstances",
            ImageId="ami-0123456789abcdef0",
            InstanceType="t3.micro",
            MinCount="1",
            MaxCount="1",
            SubnetId=subnet,
            **{"SecurityGroupId.1": group, "PrivateIpAddress": address or ""},
            **_tags("instance", **tags),
        )
        first: dict[str, str] = {}
        for item in answer.iter():
            first.setdefault(item.tag.rpartition("}")[2], item.text or "")
        return first

    def admit_block(self, group: str, cidr: str) -> None:
        """Allow a block of addresses to connect to members of the security group `group`."""
        rule = {"IpPermissions.1.IpProtocol": "-1", "IpPermissions.1.IpRanges.1.CidrIp": cidr}
        self._ec2("AuthorizeSecurityGroupIngress", GroupId=group, **rule)

    def _admit(self, target: str, source: str, **rule: str) -> None:
        """Allow members of the security group `source` to connect to members of `target`."""
        words = {f"IpPermissions.1.{name}": value for name, value in rule.items()}
        words["IpPermissions.1.Groups.1.GroupId"] = source
        self._ec2("AuthorizeSecurityGroupIngress", GroupId=target, **words)

    def create_job(self, name: str, vpc: Vpc, *, nodes: int, environment: dict[str, str]) -> None:
        """Launch the lab's training job in the containers' subnets."""
        request: dict[str, object] = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": role_credentials.ARN,
            "OutputDataConfig": {"S3OutputPath": "s3://sm-proxy-lab/output"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": nodes,
                "VolumeSizeInGB": 30,
            },
            "VpcConfig": {"Subnets": list(vpc.subnets), "SecurityGroupIds": [vpc.group]},
            "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
            "Environment": environment,
        }
        self.sagemaker("CreateTrainingJob", request)

    def sagemaker(self, operation: str, request: dict[str, object]) -> dict[str, object]:
        """Call SageMaker; return its answer.

        Raises:
            LabError: it refused.
        """
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"SageMaker.{operation}",
        }
        answer = self._call("sagemaker", REGION, headers, json.dumps(request).encode())
        return dict(json.loads(answer))

    def cidrs_of(self, subnets: list[str], region: str) -> list[str | None]:
        """Return the CIDR blocks of a job's subnets; `[None]` if the job is not in a VPC."""
        if not subnets:
            return [None]
        ids = {f"SubnetId.{number}": subnet for number, subnet in enumerate(subnets, 1)}
        found = self._ec2("DescribeSubnets", region=region, **ids)
        return [block.text for block in found.iterfind(".//{*}item/{*}cidrBlock")]

    def _make(self, member: str, action: str, **parameters: str) -> str:
        """Call EC2; return the id that its answer has as `member`.

        Raises:
            LabError: EC2 refused, or its answer has no such member.
        """
        made = self._ec2(action, **parameters).findtext(f".//{{*}}{member}")
        if made is None:
            raise LabError(f"{action} answered without {member}")
        return made

    def _ec2(self, action: str, *, region: str = REGION, **parameters: str) -> ET.Element:
        """Call EC2's query API; parameters without a value are left out."""
        given = {name: value for name, value in parameters.items() if value}
        form = urllib.parse.urlencode({"Action": action, "Version": "2016-11-15", **given})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return ET.fromstring(self._call("ec2", region, headers, form.encode()))  # noqa: S314 - ours

    def _call(self, service: str, region: str, headers: dict[str, str], body: bytes) -> bytes:
        """Send one request; return the answer's body.

        Raises:
            LabError: the endpoint refused.
        """
        scope = f"{ACCESS_KEY}/{time.strftime('%Y%m%d', time.gmtime())}/{region}/{service}"
        # For these services the lab reads the credential's scope, but does not check signatures.
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}/aws4_request"
        request = urllib.request.Request(self._endpoint, body, headers)  # noqa: S310 - ours, http
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            with error:
                refusal = error.read().decode(errors="replace")
            raise LabError(f"{service} refused the lab's own call: {refusal}") from None


def _tags(kind: str, **tags: str) -> dict[str, str]:
    """Return the request parameters that tag a new resource of type `kind`."""
    words = {"TagSpecification.1.ResourceType": kind}
    for number, (key, value) in enumerate(tags.items(), 1):
        words[f"TagSpecification.1.Tag.{number}.Key"] = key
        words[f"TagSpecification.1.Tag.{number}.Value"] = value
    return words
