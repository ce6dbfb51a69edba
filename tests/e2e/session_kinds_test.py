"""What people see of Studio spaces and HyperPod clusters: list, sync, resolve, doctor, inspect."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Lab, running
from tests.e2e.spaces import own_space
from tests.e2e.tunnel_test import SERVER, fetched, tunnel
from tests.lab.conftest import needs_root
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]
SPACE, NODE = "sm-mine.space", "sm-c.workers.1.hyperpod"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a space and a cluster, whose job never starts."""
    options = ("--status", "Starting", "--space", "mine", "--cluster", "c")
    with running(tmp_path_factory.mktemp("kinds"), *options) as found:
        found.environment["SM_PROXY_TRUST_FIRST_USE"] = "1"
        yield found


def data(lab: Lab, *words: str) -> dict[str, Any]:
    """The data of a command that succeeds."""
    done = lab.warm(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


def test_spaces_and_clusters_are_listed_and_become_hosts(lab: Lab) -> None:
    rows = {job["host"]: (job["reachable"], job["nodes"]) for job in data(lab, "list")["jobs"]}
    assert rows.pop(SPACE) == (True, 1)
    assert rows.pop("sm-c.hyperpod") == (None, 2)
    users = {host["host"]: host["user"] for host in data(lab, "sync")["hosts"]}
    assert users == {
        SPACE: "sagemaker-user",
        **{f"sm-c.workers.{number}.hyperpod": "ubuntu" for number in (1, 2)},
    }


def test_a_space_resolves_to_its_domain(lab: Lab) -> None:
    found = data(lab, "resolve", SPACE)
    assert (found["node"], found["address"], found["user"], found["route"]) == (
        own_space(lab).domain,
        None,
        "sagemaker-user",
        "space",
    )
    assert [route["name"] for route in found["routes"]] == ["space"]
    assert data(lab, "resolve", "sm-latest.space")["job"] == "mine"


def check_inside(lab: Lab, host: str, node: str) -> None:
    """doctor finds nothing wrong, and inspect describes the machine."""
    checks = {check["id"]: check["result"] for check in data(lab, "doctor", host)["checks"]}
    assert checks["shell"] == "passed"
    assert not {"marker", "vpc", "security-groups", "logs:GetLogEvents"} & checks.keys()
    machine = data(lab, "inspect", host)
    assert machine["node"] == node
    assert machine["complete"] is True
    assert "features" not in machine  # our entrypoint is not there


def test_a_space_is_examined(lab: Lab) -> None:
    check_inside(lab, SPACE, own_space(lab).domain)


@only_in_soak
def test_a_node_is_examined(lab: Lab) -> None:
    check_inside(lab, NODE, data(lab, "resolve", NODE)["node"])


@only_in_soak
@pytest.mark.parametrize("host", [SPACE, NODE])
def test_a_web_server_is_reached_through_a_tunnel(lab: Lab, host: str) -> None:
    port = int(lab.ok(host, f"python3 -c {shlex.quote(SERVER)}"))
    with tunnel(lab, host, f"0:{port}") as process:
        assert process.stdout is not None
        assert "Directory listing" in fetched(lab, process.stdout.readline().decode().strip())


@only_in_soak
@pytest.mark.parametrize("host", [SPACE, NODE])
def test_the_window_that_vscode_opens_can_connect(lab: Lab, host: str, tmp_path: Path) -> None:
    (code := tmp_path / "code").write_text('#!/bin/sh\nexec ssh "${2#ssh-remote+}" pwd >"$0.out"\n')
    code.chmod(0o755)
    path = f"{tmp_path}:{lab.environment['PATH']}"
    done = lab.sm_proxy("vscode", host, "/tmp", env={"PATH": path})
    assert done.returncode == 0, done.stderr
    out = tmp_path / "code.out"
    await_true(lambda: out.is_file() and out.read_text().startswith("/home/"), 60)


@only_in_soak
def test_a_stopped_space_says_what_helps(lab: Lab) -> None:
    own_space(lab).stop_app()
    row = next(job for job in data(lab, "list")["jobs"] if job["host"] == SPACE)
    assert (row["reachable"], row["reason"]) == (
        False,
        f"it is stopped; start it: sm-proxy start {SPACE}",
    )
    done = lab.warm("doctor", SPACE, "--json")
    assert json.loads(done.stdout)["data"]["cause"] == "space-stopped"
