"""What `relaunch` asks AWS before it makes a job: images, roles, groups, prices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Job, Lab, code_of, last_line
from tests.lab.conftest import needs_root

pytestmark = [pytest.mark.e2e, needs_root]

# An image in another region, behind an index, as `buildx` pushes it.
_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/before/launch:v1"
_CONFIG = {"Entrypoint": ["sh", "-c", "exit 3"]}
_HISTORY = ["RUN apt-get install -y openssh-server"]
_CREATE = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
same = ("RoleArn", "OutputDataConfig", "ResourceConfig", "StoppingCondition", *{more!r})
client("sagemaker").create_training_job(
    TrainingJobName={name!r},
    AlgorithmSpecification={{"TrainingImage": {image!r}, "TrainingInputMode": "File"}},
    **{{name: like[name] for name in same}},
)
"""
_DENY = """
client("iam").put_role_policy(
    RoleName="sm-proxy-lab", PolicyName="deny", PolicyDocument=json.dumps({{
        "Version": "2012-10-17",
        "Statement": [{{"Effect": "Deny", "Action": {action!r}, "Resource": "*"}}],
    }})
)
"""
_ALLOW = 'client("iam").delete_role_policy(RoleName="sm-proxy-lab", PolicyName="deny")'


def created(lab: Lab, name: str, *more: str) -> Job:
    """Create a job with some members of the lab's own job; it fails at once."""
    lab.python(_CREATE.format(name=name, image=_IMAGE, more=more))
    job = Job(lab, name)
    job.until("Failed")
    return job


@pytest.fixture(scope="module")
def inside(lab: Lab) -> Job:
    """A failed job in the VPC."""
    push(lab, _CONFIG)
    return created(lab, "before-inside", "VpcConfig")


@pytest.fixture(scope="module")
def outside(lab: Lab, inside: Job) -> Job:
    """A failed job without a VPC."""
    return created(lab, "before-outside")


def push(lab: Lab, config: dict[str, Any]) -> None:
    """Push an image with this configuration under the same tag."""
    lab.control("put_image", _IMAGE, config, history=_HISTORY, form="oci", index=True)


def planned(lab: Lab, job: Job, *words: str) -> tuple[dict[str, Any], list[str]]:
    """The request that a dry run makes, and its lines for people."""
    done = lab.warm("relaunch", job.host, "--dry-run", "--json", *words)
    assert done.returncode == 0, done.stderr.decode()
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data, done.stderr.decode().splitlines()


def test_an_image_is_read_in_its_region_and_a_moved_tag_is_reported(lab: Lab, inside: Job) -> None:
    data, lines = planned(lab, inside)
    container = data["request"]["AlgorithmSpecification"]
    assert container["ContainerArguments"] == ["sh", "-c", "exit 3", "train"]
    nodes = data["request"]["ResourceConfig"]["InstanceCount"]
    assert f"sm-proxy: what it costs: about ${0.23 * nodes:.2f} an hour" in "\n".join(lines)
    assert "pushed again" not in "\n".join(lines)
    push(lab, {**_CONFIG, "Entrypoint": ["sh", "-c", "exit 4"]})
    data, lines = planned(lab, inside)
    assert data["request"]["AlgorithmSpecification"]["ContainerArguments"][2] == "exit 4"
    assert f"sm-proxy: The image {_IMAGE} was pushed again after the job was created" in lines


def test_a_job_without_vpc_goes_to_the_bastions(lab: Lab, outside: Job, inside: Job) -> None:
    data, _ = planned(lab, outside)
    (there,) = lab.python(f"answer = [describe({inside.name!r})['VpcConfig']]")
    assert data["request"]["VpcConfig"]["SecurityGroupIds"] == there["SecurityGroupIds"]
    assert "VpcConfig" in [change["path"] for change in data["changes"]]


def test_a_job_without_vpc_goes_where_config_toml_says(
    lab: Lab, outside: Job, inside: Job, tmp_path: Path
) -> None:
    (there,) = lab.python(f"answer = [describe({inside.name!r})['VpcConfig']]")
    path = tmp_path / "config.toml"
    subnet, groups = there["Subnets"][0], json.dumps(there["SecurityGroupIds"])
    table = f'[launch]\nregion = "us-east-1"\nsubnets = ["{subnet}"]\nsecurity_groups = {groups}\n'
    path.write_text(table)
    env = {"SM_PROXY_CONFIG_DIR": str(tmp_path)}
    done = lab.warm("relaunch", outside.host, "--dry-run", "--json", env=env)
    assert done.returncode == 0, done.stderr.decode()
    changes = {item["path"]: item for item in json.loads(done.stdout)["data"]["changes"]}
    assert changes["VpcConfig"]["after"]["Subnets"] == [subnet]
    assert "[launch] in config.toml" in changes["VpcConfig"]["why"]
    path.write_text(table.replace(subnet, f"subnet-{'0' * 17}"))
    done = lab.warm("relaunch", outside.host, "--dry-run", env=env)
    assert code_of(done) == "no-vpc"
    assert f"[launch] in {path} does not exist" in last_line(done)


@pytest.mark.parametrize(
    ("action", "code"),
    [("s3:GetObject", "bucket-unreadable"), ("ec2:CreateNetworkInterface", "access-denied")],
)
def test_a_role_that_lacks_a_permission_is_refused_before_anything_is_sent(
    lab: Lab, outside: Job, action: str, code: str
) -> None:
    lab.python(_DENY.format(action=action))
    before = len(lab.calls())
    try:
        done = lab.warm("relaunch", outside.host)
    finally:
        lab.python(_ALLOW)
    assert code_of(done) == code
    assert action in last_line(done)
    assert not {"CreateTrainingJob", "PutObject"} & {
        call["operation"] for call in lab.calls()[before:]
    }


def test_a_group_that_keeps_the_bastion_out_is_refused_unless_the_user_is_sure(
    lab: Lab, inside: Job
) -> None:
    make = "e.create_security_group(GroupName='closed', Description='-', VpcId=v)['GroupId']"
    (group,) = lab.python(
        f"e = client('ec2'); v = e.describe_vpcs(Filters=[{{'Name': 'tag-key', 'Values':"
        f" ['sm-proxy-lab:enforced']}}])['Vpcs'][0]['VpcId']; answer = [{make}]"
    )
    done = lab.warm("relaunch", inside.host, "--dry-run", "--security-groups", group)
    assert code_of(done) == "sshd-silent"
    assert f"authorize-security-group-ingress --group-id {group}" in last_line(done)
    assert last_line(done).endswith(" --region us-east-1; or go on with --yes.")
    data, lines = planned(lab, inside, "--security-groups", group, "--yes")
    assert data["request"]["VpcConfig"]["SecurityGroupIds"] == [group]
    assert any("ssh may not reach the job" in line for line in lines)
