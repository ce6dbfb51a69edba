"""The lab's terminals: the places from which a user may type `ssh`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Lab
from tests.e2e.roads import instance_refused
from tests.waits import await_true

pytestmark = pytest.mark.e2e

METADATA = """
from botocore.utils import IMDSFetcher
fetcher = IMDSFetcher()
token = fetcher._fetch_metadata_token()
read = lambda path: fetcher._get_request("latest/meta-data/" + path, None, token).text
macs = "network/interfaces/macs/" + read("mac") + "/"
"""
MAC = """
import socket
(mac,) = [open(f"/sys/class/net/{name}/address").read().strip() for _, name in
    socket.if_nameindex() if name == "eth0"]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect(("10.0.144.99", 9))
    own = probe.getsockname()[0]
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
        METADATA + MAC + "answer = {'mac': mac, 'zone': "
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
    with instance_refused(inside):
        assert dial(inside, node, seconds=0.5) == "TimeoutError"
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


def test_a_terminal_can_be_entered_from_itself_and_from_another(lab: Lab, inside: Lab) -> None:
    prefix = lab.environment["SM_PROXY_LAB_INSIDE"]
    assert lab.terminal("vpn").run(prefix, prefix, "true").returncode == 0
    vendor = inside.run(prefix, "cat", "/sys/class/dmi/id/sys_vendor")
    assert vendor.stdout == b"Amazon EC2\n", vendor.stderr


def test_a_lab_that_has_ended_has_no_terminals() -> None:
    program = "from sm_proxy_lab.machines import terminal; terminal.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "/nonexistent/socket", "inside", "true"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 125
    assert b"no terminal 'inside'" in done.stderr


def test_a_jobs_containers_have_interfaces_until_it_ends(lab: Lab, inside: Lab) -> None:
    del inside  # skips without namespaces
    job = lab.launch("with-interfaces")
    address, _ = job.where()
    mac = lab.ok(job.host, "ip link show eth0; cat /sys/class/net/eth0/address").decode()
    (record,) = interfaces(lab, address)
    assert record["MacAddress"] in mac
    assert record["RequesterManaged"]
    job.stop()
    job.until("Stopped")
    await_true(lambda: not interfaces(lab, address), 60)


@pytest.mark.parametrize("name", ["notebook", "studio"])
def test_sagemakers_terminals_say_which_resource_they_are(lab: Lab, name: str) -> None:
    if not lab.netns:
        pytest.skip("needs root")
    there = lab.terminal(name)
    found = there.python(
        MAC + "import json\nfound = json.load(open('/opt/ml/metadata/resource-metadata.json'))\n"
        "answer = {'metadata': found, 'mac': mac, 'address': own}"
    )
    (record,) = interfaces(lab, found["address"])
    assert record["MacAddress"] == found["mac"]
    sagemaker = "answer = client('sagemaker').describe_"
    if name == "notebook":
        known = lab.python(
            f"{sagemaker}notebook_instance(NotebookInstanceName="
            f"{found['metadata']['ResourceName']!r})['SubnetId']"
        )
        assert known in lab.python(f"answer = describe({lab.job!r})['VpcConfig']['Subnets']")
    else:
        known = lab.python(
            f"found = client('sagemaker').describe_domain(DomainId="
            f"{found['metadata']['DomainId']!r})\nanswer = [found['AppNetworkAccessType'],"
            "found['VpcId']]"
        )
        assert known == ["VpcOnly", record["VpcId"]]
    assert dial(there, first_node(lab)) == "SSH-"


def test_a_vpn_has_routes_and_no_interface_in_the_vpc(lab: Lab) -> None:
    if not lab.netns:
        pytest.skip("needs root")
    there = lab.terminal("vpn")
    assert dial(there, first_node(lab)) == "SSH-"
    own = there.python(MAC + "answer = own")
    assert interfaces(lab, own) == []
    assert there.ok(lab.host, "echo it works") == b"it works\n"


def test_at_home_a_foreign_host_answers_at_the_containers_address(lab: Lab) -> None:
    if not lab.netns:
        pytest.skip("needs root")
    home = lab.terminal("home")
    address, port = first_node(lab)
    own = home.python(MAC + "answer = {'address': own, 'mac': mac}")
    (record,) = interfaces(lab, own["address"])
    assert record["MacAddress"] != own["mac"]  # the address is the bastion's
    key = f"ssh-keyscan -T 60 -t ed25519 -p {port} {address} 2>/dev/null"
    foreign = home.run("sh", "-c", key).stdout.split()
    genuine = lab.terminal("inside").run("sh", "-c", key).stdout.split()
    assert foreign[1] == genuine[1] == b"ssh-ed25519"
    assert foreign[2] != genuine[2]
    seen = Path(home.python("import os; answer = os.environ['SM_PROXY_LAB_HOME_SEEN']"))

    def scans() -> list[tuple[str, int]]:
        lines = [json.loads(line) for line in seen.read_text().splitlines()]
        ours = [one for one in lines if b"keyscan" in bytes.fromhex(one["received"])]
        return [(one["address"], one["port"]) for one in ours]

    await_true(lambda: (address, port) in scans(), 60, scans)
    assert home.ok(lab.host, "echo it works") == b"it works\n"
