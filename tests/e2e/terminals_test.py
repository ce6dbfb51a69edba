"""The lab's terminals: the places from which a user may type `ssh`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.labs import Lab

pytestmark = pytest.mark.e2e

METADATA = """
from botocore.utils import IMDSFetcher
fetcher = IMDSFetcher()
token = fetcher._fetch_metadata_token()
read = lambda path: fetcher._get_request("latest/meta-data/" + path, None, token).text
macs = "network/interfaces/macs/" + read("mac") + "/"
"""
INTERFACE = """
import socket
(mac,) = [open(f"/sys/class/net/{name}/address").read().strip() for _, name in
    socket.if_nameindex() if name == NAME]
"""
DIAL = """
import socket
try:
    with socket.create_connection(WHERE, timeout=SECONDS) as dialled:
        answer = dialled.recv(4).decode()
except OSError as error:
    answer = type(error).__name__
"""


@pytest.fixture
def inside(lab: Lab) -> Lab:
    if not lab.netns:
        pytest.skip("needs root")
    return lab.terminal("inside")


def dial(there: Lab, where: tuple[str, int], *, seconds: float = 30) -> str:
    """The first bytes of a server, or the error's type."""
    program = DIAL.replace("WHERE", repr(where)).replace("SECONDS", str(seconds))
    return str(there.python(program))


def first_node(lab: Lab) -> tuple[str, int]:
    """The address and port of the first node of the lab's own job."""
    address, _, port = lab.environment["SM_PROXY_LAB_ADDRESSES"].split()[0].partition(":")
    return address.partition("=")[2], int(port)


def interfaces(lab: Lab, address: str) -> list[dict[str, Any]]:
    """The network interfaces that EC2 has for an address."""
    found = lab.python(
        "found = client('ec2').describe_network_interfaces(Filters=[{'Name': 'private-ip-address',"
        f" 'Values': [{address!r}]}}])\n"
        "kept = ('MacAddress', 'VpcId', 'RequesterManaged', 'Description', 'Status')\n"
        "answer = [{name: one[name] for name in kept} for one in found['NetworkInterfaces']]"
    )
    return list(found)


def test_an_instance_inside_the_vpc_has_metadata_an_interface_and_firmware(
    lab: Lab, inside: Lab
) -> None:
    found = inside.python(
        METADATA + INTERFACE.replace("NAME", "'eth0'") + "answer = {'mac': mac, 'zone': "
        "read('placement/region'), 'vpc': read(macs + 'vpc-id'), 'address': read('local-ipv4'), "
        "'vendor': open('/sys/class/dmi/id/sys_vendor').read()}"
    )
    job = lab.python(
        f"job = describe({lab.job!r})\nids = job['VpcConfig']['Subnets']\n"
        "answer = client('ec2').describe_subnets(SubnetIds=ids)['Subnets'][0]['VpcId']"
    )
    assert found["vpc"] == job
    assert found["vendor"] == "Amazon EC2\n"
    assert found["zone"] == lab.environment["AWS_REGION"]
    (record,) = interfaces(lab, found["address"])
    assert (record["MacAddress"], record["VpcId"]) == (found["mac"], job)


def test_security_groups_decide_what_the_instance_reaches(lab: Lab, inside: Lab) -> None:
    node = first_node(lab)
    assert dial(inside, node) == "SSH-"
    assert dial(lab, node) == "OSError"  # the laptop has no route
    groups = (
        METADATA
        + """
ec2, instance = client("ec2"), read("instance-id")
def join(group):
    ec2.modify_instance_attribute(InstanceId=instance, Groups=[group])
names = {g["GroupName"]: g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]}
"""
    )
    inside.python(groups + "join(names['sm-proxy-lab-endpoints'])")
    try:
        assert dial(inside, node, seconds=0.5) == "TimeoutError"
    finally:
        inside.python(groups + "join(names['sm-proxy-lab'])")
    assert dial(inside, node) == "SSH-"


def test_the_laptops_settings_and_the_bastion_work_from_a_terminal(lab: Lab, inside: Lab) -> None:
    assert inside.ok(lab.host, "echo it works") == b"it works\n"


def test_a_terminal_needs_a_command_that_exists(lab: Lab) -> None:
    prefix = lab.environment["SM_PROXY_LAB_INSIDE"]
    assert lab.run(prefix).returncode == 2
    done = lab.run(prefix, "no-such-program")
    assert (done.returncode, done.stderr.strip()) == (
        127,
        b"sm-proxy lab: no-such-program: command not found",
    )


def test_a_lab_that_has_ended_has_no_terminals() -> None:
    program = "from sm_proxy_lab.machines import terminal; terminal.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "/nonexistent/socket", "inside", "true"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 125
    assert b"no terminal 'inside'" in done.stderr
