"""What is wrong with an existing VPC is told with commands that mend it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.labs import Lab, code_of, last_line
from tests.lab.conftest import needs_root

pytestmark = [pytest.mark.e2e, needs_root]

_SUBNETS = "describe(os.environ['SM_PROXY_LAB_JOB'])['VpcConfig']['Subnets'][:1]"
_VPC = f"client('ec2').describe_subnets(SubnetIds={_SUBNETS})['Subnets'][0]['VpcId']"

_CLOSE = """
client('ec2').revoke_security_group_ingress(
    GroupId={group!r}, IpProtocol='tcp', FromPort=443, ToPort=443, CidrIp={block!r}
)
"""
_BLOCK = """
answer = client('ec2').describe_subnets(SubnetIds=[{subnet!r}])['Subnets'][0]['CidrBlock']
"""


def test_the_command_of_a_hint_opens_an_endpoint_for_a_new_bastion(lab: Lab) -> None:
    vpc: str = lab.python(f"answer = {_VPC}")

    def template() -> subprocess.CompletedProcess[bytes]:
        return lab.warm("infra", "template", "--vpc", vpc)

    refused = template()
    assert code_of(refused) == "no-vpc"
    assert "a group of the endpoint for ssm and ssmmessages" in last_line(refused)
    command = next(
        shlex.split(part)
        for part in last_line(refused).replace("Run: ", " ; ").split(" ; ")
        if part.startswith("aws ec2 authorize")
    )
    block = command[command.index("--cidr") + 1]
    mended = lab.run(sys.executable, "-m", "awscli", *command[1:])
    assert mended.returncode == 0, mended.stderr.decode()
    try:
        done = template()
        assert done.returncode == 0, done.stderr.decode()
        (subnet,) = subnets_of(json.loads(done.stdout))
        assert lab.python(_BLOCK.format(subnet=subnet)) == block
    finally:
        group = command[command.index("--group-id") + 1]
        lab.python(_CLOSE.format(group=group, block=block))


def subnets_of(template: dict[str, Any]) -> list[str]:
    """Where the template puts the bastion."""
    found = template["Resources"]["Bastion"]["Properties"]["VPCZoneIdentifier"]
    return [str(name) for name in found]
