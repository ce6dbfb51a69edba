"""The direct route from a terminal inside the VPC, and what keeps it off elsewhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.host_key_test import restarted
from tests.e2e.labs import Lab, code_of
from tests.e2e.roads import Road
from tests.waits import await_true

pytestmark = pytest.mark.e2e

FORGET = (
    "import os, pathlib, shutil\n"
    "shutil.rmtree(pathlib.Path(os.environ['SM_PROXY_CACHE_DIR']) / 'routes')"
)
HELD = 'echo "$SSH_CONNECTION"; cat >/dev/null'


@pytest.fixture
def inside(lab: Lab) -> Lab:
    if not lab.netns:
        pytest.skip("needs root")
    return lab.terminal("inside")


def test_ssh_gets_the_connection_itself_and_needs_no_process_of_ours(lab: Lab, inside: Lab) -> None:
    job = lab.launch("direct-passed")
    address, port = job.where()
    words = ("ssh", "-F", lab.config, job.host, HELD)
    session = inside.popen(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert session.stdout is not None
    peer = session.stdout.readline().decode().split()
    assert peer[2:] == [address, str(port)]
    lab.settle()  # the helpers have gone, and ssh still runs
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    assert session.poll() is None
    session.communicate(timeout=60)
    assert session.returncode == 0


def test_a_container_that_restarted_is_accepted_in_the_same_ssh(lab: Lab, inside: Lab) -> None:
    job = lab.launch("direct-restarted")
    assert inside.ok(job.host, "echo one") == b"one\n"
    job.claim(host_keys=[restarted(job)])
    assert inside.ok(job.host, "echo two") == b"two\n"
    # The laptop has restarted it.
    assert Road(inside, job.host).through() == ["direct", "bastion", "direct"]


def test_a_server_with_another_key_gets_no_login(lab: Lab, inside: Lab) -> None:
    job = lab.launch("direct-impostor")
    assert inside.ok(job.host, "true") == b""
    restarted(job)
    done = inside.ssh(job.host, "true")
    assert (done.returncode, code_of(done)) == (255, "host-key-changed")


def test_setup_inside_the_vpc_needs_no_bastion_and_no_compression(
    inside: Lab, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    words = ("setup", "--yes", "--json", "--ssh-config", str(config))
    done = inside.sm_proxy(*words)
    assert done.returncode == 0, done.stderr
    checks = {item["id"]: item for item in json.loads(done.stdout)["data"]["checks"]}
    assert checks["bastion"]["result"] == "passed"
    assert checks["bastion"]["reason"].startswith("not needed for jobs in vpc-")
    ours = tmp_path / "sm-proxy" / "config"
    assert "    Compression no\n" in ours.read_text()
    before = ours.read_bytes()
    assert inside.sm_proxy(*words).returncode == 0
    assert ours.read_bytes() == before
    assert inside.sm_proxy(*words, "--compression").returncode == 0
    assert "    Compression yes\n" in ours.read_text()
    assert inside.sm_proxy(*words).returncode == 0
    assert "    Compression yes\n" in ours.read_text()


def test_doctor_shows_the_proof(lab: Lab, inside: Lab) -> None:
    inside.ok(lab.host, "true")
    done = inside.sm_proxy("doctor", lab.host, "--json")
    checks = {item["id"]: item for item in json.loads(done.stdout)["data"]["checks"]}
    assert done.returncode == 0, checks
    assert checks["place"]["reason"].endswith("(instance metadata)")
    assert checks["route"]["reason"].startswith("direct: ")
    assert checks["security-groups"]["result"] == "passed"
    assert "bastion" not in checks


def test_a_laptop_cannot_be_forced_to_go_directly(lab: Lab) -> None:
    done = lab.ssh(lab.host, "true", env={"SM_PROXY_ROUTE": "direct"})
    assert (done.returncode, code_of(done)) == (255, "route-unusable")


def test_a_closed_security_group_leaves_the_bastion(lab: Lab, inside: Lab) -> None:
    """The packets are dropped: after the time to dial, the same ssh goes by the bastion."""
    groups = (
        "import urllib.request\n"
        "from botocore.utils import IMDSFetcher\n"
        "fetcher = IMDSFetcher()\n"
        "token = fetcher._fetch_metadata_token()\n"
        "path = 'latest/meta-data/instance-id'\n"
        "instance = fetcher._get_request(path, None, token).text\n"
        "ec2 = client('ec2')\n"
        "found = ec2.describe_security_groups()['SecurityGroups']\n"
        "names = {g['GroupName']: g['GroupId'] for g in found}\n"
        "ec2.modify_instance_attribute(InstanceId=instance, Groups=[names[%r]])\n"
    )
    inside.ok(lab.host, "true")
    inside.python(groups % "sm-proxy-lab-endpoints")
    try:
        done = inside.ssh(lab.host, "echo through")
        assert (done.returncode, done.stdout) == (0, b"through\n"), done.stderr
        (line,) = done.stderr.decode().splitlines()
        assert "nothing answers at" in line
        assert "bastion" in line
        again = inside.ssh(lab.host, "echo again")
        assert (again.stdout, again.stderr) == (b"again\n", b""), "it is remembered"
    finally:
        inside.python(groups % "sm-proxy-lab")
        inside.python(FORGET)
