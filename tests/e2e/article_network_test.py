"""docs/from-the-article.md: in the article's network, a laptop enters through our bastion."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e import accounts
from tests.e2e.infra_test import context, ours
from tests.e2e.labs import SM_PROXY, running
from tests.lab.conftest import needs_debian, needs_root
from tests.soak import only_in_soak

pytestmark = [pytest.mark.e2e, needs_root, needs_debian]

_NETWORK = """
ec2 = client("ec2")
vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
for name in ("EnableDnsSupport", "EnableDnsHostnames"):
    ec2.modify_vpc_attribute(VpcId=vpc, **{name: {"Value": True}})
way = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(InternetGatewayId=way, VpcId=vpc)

def subnet(block, zone, **way):
    made = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **way)
    ec2.associate_route_table(RouteTableId=table, SubnetId=made["SubnetId"])
    return made["SubnetId"]

subnets = []
for number, zone in enumerate(("us-east-1a", "us-east-1b", "us-east-1c")):
    public = subnet(f"10.0.{16 * number}.0/20", zone, GatewayId=way)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]
    private = f"10.0.{128 + 16 * number}.0/20"
    subnets.append(subnet(private, zone, NatGatewayId=nat["NatGatewayId"]))
group = ec2.create_security_group(
    GroupName="InternalSecurityGroup", Description="the whole VPC", VpcId=vpc
)["GroupId"]
whole = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}]
ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=whole)
answer = vpc, subnets, group
"""
_SUBMIT = """
import boto3
boto3.client("sagemaker").create_training_job(
    TrainingJobName="byoc",
    AlgorithmSpecification={{"TrainingImage": {image!r}, "TrainingInputMode": "File"}},
    RoleArn={role!r},
    OutputDataConfig={{"S3OutputPath": "s3://{bucket}/sm_proxy/output"}},
    ResourceConfig={{"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}},
    StoppingCondition={{"MaxRuntimeInSeconds": 3600}},
    VpcConfig={{"Subnets": {subnets!r}, "SecurityGroupIds": [{group!r}]}},
)
"""


@only_in_soak
def test_the_articles_subnets_and_group_stay_in_the_estimator(tmp_path: Path) -> None:
    (folder := tmp_path / "lab").mkdir()
    with running(folder, "--empty") as lab:
        vpc, subnets, group = lab.python(_NETWORK)
        ours(lab, "infra", "deploy", "--vpc", vpc, "--yes")
        stack = accounts.outputs(lab)
        build = ("image", "build", str(context(tmp_path / "c")), "--init")
        image = ours(lab, *build, "--repository", "byoc-ssh:debug").splitlines()[-1]
        names = {"image": image, "role": stack["JobRole"], "bucket": stack["Bucket"]}
        submit = tmp_path / "submit.py"
        submit.write_text(_SUBMIT.format(**names, subnets=subnets, group=group))

        done = lab.run(*SM_PROXY, "launch", "--", sys.executable, str(submit), timeout=60)
        assert b"job byoc has ssh: ssh sm-byoc\n" in done.stderr, done.stderr.decode()
        assert lab.ok("sm-byoc", "cat /opt/program/built", timeout=120).strip().isdigit()
        ours(lab, "stop", "sm-byoc", "--yes")
