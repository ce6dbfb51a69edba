"""A connection goes on by another route, and later connections begin with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.doctor_faults import FAULTS
from tests.e2e.host_key_test import restarted
from tests.e2e.labs import Job, Lab, code_of, last_line
from tests.e2e.roads import BASTION_DOCUMENTS, REMOTE_HOST_DOCUMENT, Road
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e
SSH_DOCUMENT = "AWS-StartSSHSession"


@pytest.fixture(autouse=True)
def no_memory(lab: Lab) -> Iterator[None]:
    """Each test begins and ends without a remembered route."""
    lab.forget("routes")
    yield
    lab.settle()
    lab.forget("routes")


@pytest.fixture(scope="module")
def debugged(lab: Lab) -> Iterator[Job]:
    """A job in the VPC whose RemoteDebug is on."""
    job = lab.launch("choosing", remote_debug=True, keep=True)
    yield job
    job.stop()


def ours(stderr: bytes) -> list[str]:
    return [line for line in stderr.decode().splitlines() if line.startswith("sm-proxy: ")]


@contextlib.contextmanager
def fault(lab: Lab, name: str) -> Iterator[None]:
    with FAULTS[name].switch(lab):
        yield


def test_a_bastion_that_works_is_used_as_before(lab: Lab) -> None:
    road = Road(lab, lab.host)
    lab.ok(lab.host, "true")
    lab.settle()
    road.start_over()
    before = len(lab.calls())
    done = lab.ssh(lab.host, "true")
    assert (done.returncode, ours(done.stderr)) == (0, [])
    assert road.through() == ["bastion"]
    made = {call["operation"] for call in lab.calls()[before:]}
    assert made <= {"StartSession", "TerminateSession"}
    assert not (Path(lab.environment["SM_PROXY_CACHE_DIR"]) / "routes").exists()


def test_a_forbidden_document_leads_to_the_bastions_sshd_and_is_asked_for_once(lab: Lab) -> None:
    road = Road(lab, lab.host)
    road.start_over()
    with lab.faults(deny_documents=[REMOTE_HOST_DOCUMENT]):
        first = lab.ssh(lab.host, "echo", "one")
        assert first.stdout == b"one\n", first.stderr.decode()
        told = [line for line in ours(first.stderr) if line.endswith(" instead")]
        assert len(told) == 1
        assert "connecting by bastion-ssh instead" in told[0]
        second = lab.ssh(lab.host, "echo", "two")
        assert (second.stdout, ours(second.stderr)) == (b"two\n", [])
        assert road.resolve()["route"] == "bastion-ssh"
    assert road.through() == ["bastion-ssh", "bastion-ssh"]


def test_if_every_document_is_forbidden_the_first_error_is_shown(lab: Lab) -> None:
    with lab.faults(deny_documents=[REMOTE_HOST_DOCUMENT, SSH_DOCUMENT]):
        done = lab.ssh(lab.host, "true")
    assert (done.returncode, code_of(done)) == (255, "access-denied")
    assert "; bastion-ssh: " in last_line(done)
    assert len(ours(done.stderr)) == 2
    await_true(lambda: not lab.sessions(), 60)


@only_in_soak
def test_a_closed_security_group_is_avoided_by_remote_debug(lab: Lab, debugged: Job) -> None:
    if not lab.netns:
        pytest.skip("nothing filters a loopback address")
    road = Road(lab, debugged.host)
    assert road.resolve()["route"] == "bastion"
    with fault(lab, "job's group lets nobody in"):
        first = lab.ssh(debugged.host, "echo", "in")
        assert first.stdout == b"in\n", first.stderr.decode()
        (line,) = ours(first.stderr)
        assert "nothing answers" in line
        assert "by bastion; connecting by remote-debug instead" in line
        second = lab.ssh(debugged.host, "echo", "again")
        assert (second.stdout, ours(second.stderr)) == (b"again\n", [])
    assert road.through() == ["remote-debug", "remote-debug"]
    assert road.resolve()["route"] == "remote-debug"
    await_true(lambda: not lab.sessions(), 60)


def test_a_remembered_route_that_fails_is_forgotten(lab: Lab, debugged: Job) -> None:
    road = Road(lab, debugged.host)
    road.start_over()
    with fault(lab, "bastion untagged"):
        lab.forget("bastions")
        assert lab.ok(debugged.host, "echo in") == b"in\n"
    lab.forget("bastions")
    assert road.resolve()["route"] == "remote-debug"
    with lab.faults(deny_documents=["AWS-StartPortForwardingSession"]):
        done = lab.ssh(debugged.host, "echo", "back")
        assert done.stdout == b"back\n", done.stderr.decode()
        assert "connecting by bastion instead" in ours(done.stderr)[0]
    assert road.through() == ["remote-debug", "bastion"]
    assert road.resolve()["route"] == "bastion"


def test_a_forced_route_is_the_only_one(lab: Lab, debugged: Job) -> None:
    forced = {"SM_PROXY_ROUTE": "remote-debug"}
    road = Road(lab, debugged.host, forced)
    assert road.resolve()["route"] == "remote-debug"
    assert road.ssh(debugged.host, "echo", "in") == b"in\n"
    assert road.through()[-1] == "remote-debug"
    refused = lab.ssh(lab.host, "true", env=forced)
    assert (refused.returncode, code_of(refused)) == (255, "route-unusable")
    assert "RemoteDebug" in last_line(refused)
    unknown = lab.ssh(lab.host, "true", env={"SM_PROXY_ROUTE": "tunnel"})
    assert code_of(unknown) == "bad-setting"
    assert "bastion-ssh" in last_line(unknown)


def test_a_fallback_checks_the_host_key_as_strictly_and_prefers_no_wrong_host(lab: Lab) -> None:
    if not lab.netns:
        pytest.skip("needs root")
    job = lab.launch("choosing-key", remote_debug=True)
    road = Road(lab, job.host)
    lab.ok(job.host, "true")
    key = restarted(job)
    road.start_over()
    with lab.faults(deny_documents=BASTION_DOCUMENTS):
        for _ in range(2):
            done = lab.ssh(job.host, "true")
            assert (done.returncode, code_of(done)) == (255, "host-key-changed")
            assert len([line for line in ours(done.stderr) if line.endswith(" instead")]) == 1
        assert road.through() == ["remote-debug", "remote-debug"]
        job.claim(host_keys=[key])  # now the log names it, and the route is remembered
        assert lab.ok(job.host, "echo in") == b"in\n"
        again = lab.ssh(job.host, "echo", "again")
        assert (again.stdout, ours(again.stderr)) == (b"again\n", [])


def test_doctor_names_the_route_and_examines_only_that(lab: Lab, debugged: Job) -> None:
    done = lab.warm("doctor", "--json", debugged.host, env={"SM_PROXY_ROUTE": "remote-debug"})
    checks = {item["id"]: item for item in json.loads(done.stdout)["data"]["checks"]}
    assert checks["route"]["reason"].startswith("remote-debug: ")
    assert "through remote-debug " in checks["tunnel"]["reason"]
    assert "remote-debug" in checks
    assert "agent" not in checks
    done = lab.warm("doctor", "--json", lab.host)
    checks = {item["id"]: item for item in json.loads(done.stdout)["data"]["checks"]}
    assert checks["route"]["reason"].startswith("bastion: ")
    assert "remote-debug" not in checks
