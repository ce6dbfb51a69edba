"""ssh and our commands into the nodes of a HyperPod cluster.

Nodes of a cluster share their home folder, so a file may be written on one and read on another.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clusters import Cluster
from tests.e2e.labs import Lab, code_of, running
from tests.e2e.roads import FREE_PORT, TOOLS, Road
from tests.e2e.tunnel_test import tunnel
from tests.lab.conftest import needs_root
from tests.soak import only_in_soak

pytestmark = [pytest.mark.e2e, needs_root]

NAME = "My-Pod"
GROUPS = "a=1,a-1=2"
"""`a-1` and its node 2 must not be taken for the group `a`."""
TRUST = {"SM_PROXY_TRUST_FIRST_USE": "1"}

_MAKE_EKS = """
_group = {
    "InstanceGroupName": "gpu", "InstanceType": "ml.g5.xlarge", "InstanceCount": 1,
    "ExecutionRole": "arn:aws:iam::123456789012:role/nodes",
}
answer = client("sagemaker").create_cluster(
    ClusterName="on-eks", InstanceGroups=[_group],
    Orchestrator={"Eks": {"ClusterArn": "arn:aws:eks:us-east-1:123456789012:cluster/k"}},
)["ClusterArn"]
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a cluster, whose job never starts."""
    options = ("--status", "Starting", "--cluster", f"{NAME}:{GROUPS}")
    with running(tmp_path_factory.mktemp("pod"), *options) as found:
        found.environment |= TRUST
        yield found


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    """The lab's cluster."""
    return Cluster(lab, NAME)


def greeting(lab: Lab, port: int) -> str:
    """The first bytes that a local port sends."""
    program = f"import socket\ns = socket.create_connection(('127.0.0.1', {port}), 60)"
    return str(lab.python(f"{program}\nanswer = s.recv(4).decode()\ns.close()"))


def test_nodes_are_entered_by_their_group_and_number(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "sent").write_bytes(data := secrets.token_bytes(300_000))
    first = lab.environment["SM_PROXY_LAB_CLUSTER"]
    copied = lab.run("scp", "-F", lab.config, str(tmp_path / "sent"), f"{first}:sent")
    assert copied.returncode == 0, copied.stderr
    said = lab.ok(cluster.host("a-1", 2), "sha256sum < sent; whoami; hostname").decode().split()
    machine = cluster.machine(cluster.nodes("a-1")[1])
    assert said == [hashlib.sha256(data).hexdigest(), "-", "ubuntu", machine]


def test_a_later_connection_makes_one_call_forwards_and_survives_cuts(
    lab: Lab, cluster: Cluster
) -> None:
    lab.settle()
    before = len(lab.calls())
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    there, port = cluster.host("a", 1), lab.python(FREE_PORT)
    words = ("ssh", "-F", lab.config, "-L", f"{port}:127.0.0.1:22", there, "cat")
    with lab.popen(*words, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            line = secrets.token_hex(2000).encode() + b"\n"
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
            assert greeting(lab, port) == "SSH-"
            assert lab.cut_clients() == 1
        process.stdin.close()
        assert b"SSH-" not in process.stdout.read()
    assert process.returncode == 0
    lab.settle()
    called = [call["operation"] for call in lab.calls()[before:]]
    assert called.count("ResumeSession") == 3
    assert set(called) - {"TerminateSession", "ResumeSession"} == {"StartSession"}


@only_in_soak
@pytest.mark.parametrize("tool", TOOLS)
def test_users_programs_work(lab: Lab, cluster: Cluster, tool: str, tmp_path: Path) -> None:
    road = Road(lab, cluster.host("a-1", 1))
    TOOLS[tool](road, tmp_path, "/home/ubuntu")
    assert set(road.through()) == {"hyperpod"}


@only_in_soak
@pytest.mark.parametrize("command", ["wait", "inspect", "doctor"])
def test_our_other_commands_work(lab: Lab, cluster: Cluster, command: str) -> None:
    done = lab.warm(command, cluster.host("a-1", 1))
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@only_in_soak
def test_a_node_of_eks_may_have_no_sshd(lab: Lab) -> None:
    lab.python(_MAKE_EKS)
    cluster = Cluster(lab, "on-eks")
    cluster.settle()
    done = lab.ssh(cluster.host("gpu", 1), "true")
    assert code_of(done) in {"connect-refused", "sshd-silent"}
    assert b"EKS" in done.stderr


def test_files_are_copied_to_all_nodes_of_a_group(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "sent").write_bytes(data := secrets.token_bytes(300_000))
    (tmp_path / "got").mkdir()
    group = f"sm-{NAME}.a-1.hyperpod.*"
    done = lab.warm("cp", str(tmp_path / "sent"), f"{group}:/tmp/there")
    assert done.returncode == 0, done.stderr
    done = lab.warm("cp", f"{group}:/tmp/there", str(tmp_path / "got"))
    assert done.returncode == 0, done.stderr
    copies = [path.read_bytes() for path in (tmp_path / "got").rglob("there")]
    assert copies == [data, data]


def test_nodes_are_listed_and_resolved(lab: Lab, cluster: Cluster) -> None:
    done = lab.warm("nodes", cluster.host())
    hosts = [cluster.host(*node) for node in (("a", 1), ("a-1", 1), ("a-1", 2))]
    assert done.stdout.decode().split() == hosts, done.stderr
    data = json.loads(lab.warm("resolve", hosts[2], "--json").stdout)["data"]
    assert (data["route"], data["user"], data["address"]) == ("hyperpod", "ubuntu", None)
    assert data["node"] == f"a-1.{cluster.nodes('a-1')[1]}"


def test_a_tunnel_leads_to_a_port_of_a_node(lab: Lab, cluster: Cluster) -> None:
    with tunnel(lab, cluster.host("a", 1), "0:22") as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode()
        assert greeting(lab, int(url.strip(" /\n").rpartition(":")[2])) == "SSH-"


def test_a_number_moves_to_another_node_and_an_id_stays(lab: Lab, cluster: Cluster) -> None:
    first, second = cluster.nodes("a-1")
    by_number = cluster.host("a-1", 1)
    lab.ok(by_number, "true")
    new = cluster.replace(first)
    for host, instance in ((by_number, second), (cluster.host("a-1", 2), new)):
        assert lab.ok(host, "hostname").decode().strip() == cluster.machine(instance)
    said = lab.warm("resolve", cluster.host("a-1", second), "--json").stdout
    assert json.loads(said)["data"]["node"] == f"a-1.{second}"
    assert code_of(lab.warm("resolve", cluster.host("a-1", first))) == "bad-name"


def test_a_node_that_does_not_run_says_why(lab: Lab, cluster: Cluster) -> None:
    (instance,) = cluster.nodes("a")
    cluster.set_status(instance, "Failure", "the GPU fell off the bus")
    done = lab.ssh(cluster.host("a", 1), "true")
    cluster.set_status(instance, "Running")
    assert (done.returncode, code_of(done)) == (255, "job-failed")
    assert b"the GPU fell off the bus" in done.stderr


def test_a_host_key_is_trusted_only_if_the_user_says_so(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    fresh = {"SM_PROXY_TRUST_FIRST_USE": "0", "SM_PROXY_STATE_DIR": str(tmp_path)}
    assert code_of(lab.ssh(cluster.host("a", 1), "true", env=fresh)) == "host-key-unknown"
