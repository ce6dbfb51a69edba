"""doctor examines spaces and nodes without what only jobs have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy.doctor import checks, job, session
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.jobs.hostname import parse
from sm_proxy.settings import Settings
from tests.doctor.helpers import failure
from tests.fakes import FakeAws
from tests.jobs.cluster_account import ClusterAws
from tests.jobs.studio_account import Space, Studio

SPACE, NODE = "sm-x.space", "sm-c.workers.1.hyperpod"
LAST = [
    *("user", "expected-key", "tunnel", "banner", "host-key", "login", "shell"),
    *("config-marks", "startup-file", "daemon"),
]
ENDED = ["ssm:ResumeSession", "ssm:TerminateSession"]


def context(host: str, aws: FakeAws, **changes: Any) -> Context:
    return Context(Settings(), host, aws, target=parse(host, "sm-"), **changes)


def ids(examined: Context) -> list[str]:
    return [name for stage in checks.stages(examined) for name, _ in stage]


def skipped(check: Callable[[Context], str], examined: Context) -> str:
    with pytest.raises(SkipCheck) as caught:
        check(examined)
    return str(caught.value)


def test_a_space_is_examined_without_what_only_jobs_have() -> None:
    found = ids(context(SPACE, Studio()))
    assert found[0] == "name"
    assert found[found.index("credentials") + 1 :] == ["botocore", "job", "server", "route", *LAST]


def test_the_sessions_of_a_node_are_the_users_own() -> None:
    found = ids(context(NODE, ClusterAws()))
    begin = found.index("credentials") + 1
    assert found[begin:] == [
        *("job", "server", "route", "node-sshd"),
        *(*LAST[:7], *ENDED, *LAST[7:]),
    ]


def test_a_space_that_runs_passes() -> None:
    examined = context(SPACE, Studio(Space("x")))
    assert job.name(examined) == "Studio space x"
    assert session.exists(examined) == "Studio space x of domain d-one is InService"
    assert session.server(examined) == "JupyterLab runs on ml.m5.large, and remote access is on"
    assert examined.container is not None
    assert examined.container.user == "sagemaker-user"


@pytest.mark.parametrize(
    ("space", "code"),
    [
        (Space("x", app=""), "space-stopped"),
        (Space("x", remote="DISABLED"), "remote-access-off"),
        (Space("x", resources={"InstanceType": "ml.t3.medium"}), "unsupported"),
        (Space("x", app="Pending"), "no-address"),
    ],
)
def test_the_problem_of_a_space_is_the_cause(space: Space, code: str) -> None:
    examined = context(SPACE, Studio(space))
    session.exists(examined)
    error = failure(session.server, examined)
    assert error.code == code
    assert error.hint


def test_a_space_that_does_not_exist_is_the_cause() -> None:
    assert failure(session.exists, context(SPACE, Studio())).code == "job-not-found"


def test_a_node_that_runs_passes() -> None:
    examined = context(NODE, ClusterAws())
    assert job.name(examined) == "HyperPod cluster c, workers.1"
    assert session.exists(examined) == "HyperPod cluster c is InService"
    assert session.server(examined).endswith(" is Running")
    assert "EKS" in session.sshd(examined)
    examined = context(NODE, ClusterAws(cluster={"Orchestrator": {"Eks": {}}}))
    session.exists(examined)
    session.server(examined)
    assert "may run no sshd" in skipped(session.sshd, examined)


def resolved(**changes: Any) -> Context:
    examined = context(NODE, ClusterAws(), **changes)
    session.exists(examined)
    session.server(examined)
    return examined


def test_another_user_than_the_usual_one_is_shown_and_tried() -> None:
    examined = resolved(login="ec2-user", effective={"user": ["ubuntu"]})
    assert skipped(session.user, examined) == "the usual user is ubuntu, not ec2-user"
    assert examined.login == "ec2-user"
    assert session.user(resolved(effective={"user": ["ubuntu"]})) == "ubuntu"


def test_another_user_in_the_ssh_config_is_the_cause() -> None:
    """A file of an earlier version has no block for nodes, so that of jobs counts."""
    error = failure(session.user, resolved(effective={"user": ["root"]}))
    assert (error.code, "log in as root, not as ubuntu" in error.message) == (
        "config-malformed",
        True,
    )
    assert "sm-proxy config write" in error.hint
    assert f"sm-proxy doctor root@{NODE}" in error.hint
