"""A lab that begins with an empty account: its network follows what EC2's records say."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Lab, code_of, running
from tests.lab.conftest import NETWORKS
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, only_in_soak]  # infra_test.py has what is most important

_NETWORK = """
import json, pathlib, os
e, iam, sm, ssm = (client(name) for name in ("ec2", "iam", "sagemaker", "ssm"))
v = e.create_vpc(CidrBlock="172.20.0.0/16")["Vpc"]["VpcId"]
public, private, other = (
    e.create_subnet(VpcId=v, CidrBlock=f"172.20.{n}.0/20")["Subnet"]["SubnetId"]
    for n in (0, 128, 144)
)
def table(subnets, **target):
    made = e.create_route_table(VpcId=v)["RouteTable"]["RouteTableId"]
    e.create_route(RouteTableId=made, DestinationCidrBlock="0.0.0.0/0", **target)
    [e.associate_route_table(RouteTableId=made, SubnetId=subnet) for subnet in subnets]
w = e.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
e.attach_internet_gateway(InternetGatewayId=w, VpcId=v)
table([public], GatewayId=w)
a = e.allocate_address(Domain="vpc")["AllocationId"]
n = e.create_nat_gateway(SubnetId=public, AllocationId=a)["NatGateway"]["NatGatewayId"]
table([private, other], NatGatewayId=n)
bastions, jobs = (
    e.create_security_group(GroupName=name, Description="x", VpcId=v)["GroupId"]
    for name in ("bastions", "jobs")
)
rule = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 2222,
         "UserIdGroupPairs": [{"GroupId": bastions}]}]
e.authorize_security_group_ingress(GroupId=jobs, IpPermissions=rule)
def statement(**more):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **more}]})
def role(name, service):
    trust = statement(Principal={"Service": service}, Action="sts:AssumeRole")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=statement(
        Action="*", Resource="*"))
    return made
role("Bastion", "ec2.amazonaws.com")
iam.create_instance_profile(InstanceProfileName="Bastion")
iam.add_role_to_instance_profile(InstanceProfileName="Bastion", RoleName="Bastion")
def bastion():
    tag = {"ResourceType": "instance", "Tags": [{"Key": "sm-proxy:role", "Value": "bastion"}]}
    run = e.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=private,
                          SecurityGroupIds=[bastions], TagSpecifications=[tag],
                          IamInstanceProfile={"Name": "Bastion"})
    return run["Instances"][0]["InstanceId"], run["Instances"][0]["PrivateIpAddress"]
job = role("Job", "sagemaker.amazonaws.com")
key = pathlib.Path(os.environ["SM_PROXY_LAB_SSH_CONFIG"]).parent / "sm-proxy/id_ed25519.pub"
def launch(name):
    sm.create_training_job(
        TrainingJobName=name, RoleArn=job,
        AlgorithmSpecification={"TrainingImage": "any", "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://any/output"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
        StoppingCondition={"MaxRuntimeInSeconds": 3600},
        VpcConfig={"Subnets": [other], "SecurityGroupIds": [jobs]},
        Environment={"SM_PROXY_AUTHORIZED_KEY": key.read_text().strip()},
    )
def pings():
    found = ssm.describe_instance_information()["InstanceInformationList"]
    return {each["InstanceId"]: each["PingStatus"] for each in found}
"""


_BY_HAND = (Path(__file__).parents[2] / "docs/infra.md").read_text(encoding="utf-8")
_PLACE = "answer = {'VPC': v, 'PRIVATE_SUBNET': private, 'JOB_GROUP': jobs}"
_TAGGED = "[{'Name': 'tag:sm-proxy:role', 'Values': ['bastion']}]"


def test_the_commands_in_the_documentation_make_a_bastion(tmp_path: Path) -> None:
    section = _BY_HAND.partition("\n## A bastion by hand\n")[2].partition("\n## ")[0]
    commands = "".join(re.findall(r"^ {4}.*\n", section, re.MULTILINE))
    with running(tmp_path, "--empty") as lab:
        lab.python(_NETWORK)
        path = f"{Path(sys.executable).parent}{os.pathsep}{lab.environment['PATH']}"
        done = lab.run("sh", "-ec", commands, env={**lab.python(_PLACE), "PATH": path})
        assert done.returncode == 0, done.stderr.decode()
        made = f"client('ec2').describe_instances(Filters={_TAGGED})['Reservations'][0]"
        bastion = lab.python(f"answer = {made}['Instances'][0]['InstanceId']")
        await_true(lambda: lab.python("answer = pings()") == {bastion: "Online"}, 60)


_ALL = [(network, region) for network in NETWORKS for region in ("us-east-1", "eu-west-1")]


@pytest.fixture(params=_ALL, ids="-".join)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    network, region = request.param
    with running(tmp_path, "--empty", "--network", network) as lab:
        lab.environment |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        words = ("config", "write", "--ssh-config", lab.config, "--region", region)
        assert lab.sm_proxy(*words).returncode == 0  # it records the region
        yield lab


def test_ssh_goes_through_the_bastion_that_runs_now(empty: Lab) -> None:
    def answer(program: str) -> Any:
        return empty.python(f"answer = {program}")

    assert not {"SM_PROXY_LAB_JOB", "SM_PROXY_LAB_BASTION"} & set(empty.environment)
    assert answer("[r['RoleName'] for r in client('iam').list_roles()['Roles']]") == ["LabRole"]
    assert answer("client('ec2').describe_instances()['Reservations']") == []
    empty.python(_NETWORK)
    first, address = answer("bastion()")
    assert address.startswith("172.20.128.")
    empty.python("launch('one')")
    await_true(lambda: answer("describe('one')['SecondaryStatus']") == "Training", 60)
    await_true(lambda: answer("pings()") == {first: "Online"}, 60)
    await_true(lambda: '"sm_proxy_marker"' in "".join(answer("log('one/')")), 60)
    assert empty.ok("sm-one", "echo it works") == b"it works\n"

    answer(f"bool(e.terminate_instances(InstanceIds=[{first!r}]))")
    assert code_of(empty.ssh("sm-one", "true")) == "no-bastion"
    second, _ = answer("bastion()")
    await_true(lambda: answer("pings()") == {second: "Online"}, 60)
    assert empty.ok("sm-one", "echo it works") == b"it works\n"

    tested = "e.revoke_security_group_ingress(GroupId=jobs, IpPermissions=rule)"
    answer(f"bool({tested})")
    stuck = empty.run("timeout", "3", "ssh", "-F", empty.config, "sm-one", "true")
    assert stuck.returncode == 124
