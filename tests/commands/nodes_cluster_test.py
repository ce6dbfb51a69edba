"""`nodes` of a HyperPod cluster: each form has what the groups and types of the cluster say."""

from __future__ import annotations

import json

import pytest

from sm_proxy import cli
from sm_proxy.commands import nodes as command
from tests.commands.helpers import answer
from tests.jobs.cluster_account import ClusterAws, instance, node

LOGIN, FIRST, SECOND = (
    f"sm-c.{label}.hyperpod" for label in ("login-1.1", "workers.1", "workers.2")
)


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> ClusterAws:
    made = ClusterAws(node("workers", 3), node("workers", 2), node("login-1", 1))
    monkeypatch.setattr(command, "Aws", lambda *_: made)
    return made


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["nodes", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("lines", f"{LOGIN}\n{FIRST}\n{SECOND}\n"),
        ("pdsh", f"{LOGIN},{FIRST},{SECOND}\n"),
        ("hostfile", f"{LOGIN} slots=1\n{FIRST} slots=8\n{SECOND} slots=8\n"),
    ],
)
def test_the_nodes_of_a_cluster(
    capsys: pytest.CaptureFixture[str], form: str, expected: str
) -> None:
    assert shown(capsys, "sm-c.hyperpod", "--format", form) == expected


def test_the_groups_of_a_cluster_are_groups_of_the_inventory(
    capsys: pytest.CaptureFixture[str], aws: ClusterAws
) -> None:
    found = json.loads(shown(capsys, "sm-c.*.hyperpod", "--format", "ansible"))
    assert found["all"] == {"children": ["ungrouped", "sm_c_hyperpod"]}
    assert found["sm_c_hyperpod"] == {
        "children": ["sm_c_hyperpod_login_1", "sm_c_hyperpod_workers"]
    }
    assert found["sm_c_hyperpod_login_1"] == {"hosts": [LOGIN]}
    assert found["sm_c_hyperpod_workers"] == {"hosts": [FIRST, SECOND]}
    assert found["_meta"]["hostvars"][SECOND] == {
        "ansible_user": "ubuntu",
        "sm_job": "c",
        "sm_kind": "hyperpod",
        "sm_node": "workers.2",
        "sm_instance": instance(3),
        "sm_instance_type": "ml.p5.48xlarge",
    }
    assert aws.operations() == ["DescribeCluster", "ListClusterNodes"]


def test_the_data_has_the_instance_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nodes", "sm-c.workers.*.hyperpod", "--json"]) == 0
    common = {"job": "c", "kind": "hyperpod"}
    assert answer(capsys)["data"] == {
        "nodes": [
            {"host": FIRST, **common, "node": "workers.1", "instance": instance(2)},
            {"host": SECOND, **common, "node": "workers.2", "instance": instance(3)},
        ]
    }
