"""The route through an EC2 Instance Connect Endpoint, beyond what it shares with all routes."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import Lab
from tests.e2e.roads import connect_endpoint
from tests.waits import await_true

pytestmark = pytest.mark.e2e
FORCED = {"SM_PROXY_ROUTE": "instance-connect"}


@pytest.fixture
def endpoint(lab: Lab) -> Iterator[str]:
    """An endpoint in the job's subnet."""
    if not lab.netns:
        pytest.skip("the containers' port is not 22")
    with connect_endpoint(lab) as name:
        yield name


def test_a_file_survives_both_ways_and_the_route_says_what_it_is(
    lab: Lab, endpoint: str, tmp_path: Path
) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(secrets.token_bytes(12 << 20))
    script = "t=$(mktemp); cat >$t; sha256sum <$t; cat $t; rm $t"
    done = lab.ssh(lab.host, script, stdin=sent.read_bytes(), env=FORCED)
    assert done.returncode == 0, done.stderr
    sum_, _, got_bytes = done.stdout.partition(b"\n")
    got.write_bytes(got_bytes)
    assert sum_.split()[0].decode() == hashlib.sha256(sent.read_bytes()).hexdigest()
    assert got.read_bytes() == sent.read_bytes()
    said = f"connecting through the EC2 Instance Connect Endpoint {endpoint}: a tunnel lasts at"
    assert said in done.stderr.decode()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_the_exit_status_comes_through(lab: Lab, endpoint: str) -> None:
    assert lab.ssh(lab.host, "exit 7", env=FORCED).returncode == 7


def test_a_tunnel_that_is_cut_ends_ssh_with_a_reason(lab: Lab, endpoint: str) -> None:
    process = lab.popen(
        "ssh", "-F", lab.config, lab.host, "echo up; sleep 600",
        stdout=-1, stderr=-1, env=FORCED,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    assert lab._gateway(op="cut-tunnels") == {"cut": 1}
    _, said = process.communicate(timeout=60)
    assert process.returncode == 255
    assert f"session-lost: the Instance Connect Endpoint {endpoint} ended the tunnel" in (
        said.decode()
    )


def test_a_tunnel_ends_after_its_time(lab: Lab, endpoint: str) -> None:
    with lab.faults(gateway={"tunnel_limit_s": 2}):
        done = lab.ssh(lab.host, "sleep 600", env=FORCED)
    assert done.returncode == 255
    assert "The maximum tunnel duration is over" in done.stderr.decode()


def test_a_denied_tunnel_names_the_permission(lab: Lab, endpoint: str) -> None:
    with lab.faults(deny=["ec2-instance-connect:OpenTunnel"]):
        done = lab.ssh(lab.host, "true", env=FORCED)
    assert done.returncode == 255
    said = done.stderr.decode()
    assert "access-denied: " in said
    assert "ec2-instance-connect:OpenTunnel" in said
    # It is asked again: the endpoint may have been replaced.
    assert lab.ssh(lab.host, "true", env=FORCED).returncode == 0


def test_a_container_on_another_port_cannot_be_reached(lab: Lab, endpoint: str) -> None:
    job = lab.launch("other-port", environment={"SM_PROXY_PORT": "2201"})
    done = lab.ssh(job.host, "true", env=FORCED)
    assert done.returncode == 255
    said = done.stderr.decode()
    assert "route-unusable: " in said
    assert "the ports 22 and 3389, not 2201" in said


def test_a_user_who_leaves_ends_the_connection_in_the_vpc(lab: Lab, endpoint: str) -> None:
    job = lab.launch("left")
    process = lab.popen(
        "ssh", "-F", lab.config, job.host, "echo up; sleep 600", stdout=-1, stderr=-1, env=FORCED
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate(timeout=60)
    await_true(lambda: lab._gateway(op="cut-tunnels") == {"cut": 0}, 60)


def test_resolve_shows_the_endpoint_and_no_secret_is_in_the_log(lab: Lab, endpoint: str) -> None:
    shown = json.loads(lab.sm_proxy("resolve", lab.host, "--json", env=FORCED).stdout)["data"]
    assert shown["route"] == "instance-connect"
    last = {item["name"]: item for item in shown["routes"]}["instance-connect"]
    assert last["usable"]
    assert endpoint in last["reason"]
    done = lab.ssh(lab.host, "true", env={**FORCED, "SM_PROXY_LOG": "debug"})
    said = done.stderr.decode()
    assert done.returncode == 0
    assert "tunnel open" in said
    assert "X-Amz-" not in said


def test_doctor_examines_the_endpoint_and_no_bastion(lab: Lab, endpoint: str) -> None:
    done = lab.sm_proxy("doctor", lab.host, "--json", env=FORCED)
    checks = {item["id"]: item for item in json.loads(done.stdout)["data"]["checks"]}
    assert done.returncode == 0, checks
    assert checks["route"]["reason"].startswith(f"instance-connect: {endpoint}")
    assert (checks["connect-endpoint"]["result"], "bastion" in checks) == ("passed", False)
    assert f"through instance-connect {endpoint}" in checks["tunnel"]["reason"]
