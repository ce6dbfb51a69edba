"""What is cached may be wrong: then the container is looked up again, and dialled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.dialler import Dialler
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts, trust_on_first_use
from sm_proxy.jobs import hostname
from sm_proxy.routes import sessions
from sm_proxy.routes.sessions import Sessions
from sm_proxy.settings import Settings
from sm_proxy.ssm import session as ssm
from sm_proxy.state import pinned_key
from tests.fakes import ECDSA_KEY, HOST_KEY
from tests.jobs.cluster_account import ClusterAws, instance, node
from tests.routes.helpers import GRANTED

HOST = "sm-c.workers.1.hyperpod"
AWAY = ServiceError("TargetNotConnected", "it is not connected.", "ssm:StartSession")


@pytest.fixture(autouse=True)
def _no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssm, "start", lambda *_: "a session")
    monkeypatch.setattr(sessions, "SESSIONS", Sessions())


def dialler(aws: ClusterAws, settings: Settings, host: str = HOST) -> Dialler:
    return Dialler(hostname.parse(host, "sm-"), 22, "ubuntu", settings, aws)


def pin(aws: ClusterAws, settings: Settings, number: int, key: str) -> None:
    """Trust a node as its first connection would."""
    found = dialler(aws, settings).find()
    there = replace(found, node=f"workers.{instance(number)}")
    pinned_key.write(trust_on_first_use.pin_path(there, aws.scope), key)


def test_a_node_that_was_replaced_is_looked_up_and_dialled(tmp_path: Any) -> None:
    def start(Target: str, **_: Any) -> dict[str, str]:  # noqa: N803
        if not Target.endswith(aws.nodes[0]["InstanceId"]):
            raise AWAY
        return GRANTED

    settings = Settings(ssh_dir=str(tmp_path / "ssh"))
    aws = ClusterAws(node("workers", 1), StartSession=start)
    pin(aws, settings, 1, HOST_KEY)
    pin(aws, settings, 2, ECDSA_KEY)
    known = known_hosts.path_of(settings, HOST)
    for number, key, calls in (
        (1, HOST_KEY, ["StartSession"]),
        (2, ECDSA_KEY, ["StartSession", "DescribeCluster", "ListClusterNodes", "StartSession"]),
        (2, ECDSA_KEY, ["StartSession"]),
    ):
        aws.nodes = [node("workers", number)]
        aws.calls.clear()
        made = dialler(aws, settings)
        made.open_stream(made.find())
        assert [operation for operation, _ in aws.calls] == calls
        assert made.container is not None
        assert made.container.node == f"workers.{instance(number)}"
        assert known.read_text() == f"* {key}\n"


def test_the_pin_of_a_replaced_node_is_not_that_of_its_successor(tmp_path: Any) -> None:
    settings = Settings(ssh_dir=str(tmp_path / "ssh"))
    aws = ClusterAws(node("workers", 1), StartSession=AWAY)
    pin(aws, settings, 1, HOST_KEY)
    aws.nodes = [node("workers", 2)]
    made = dialler(aws, settings)
    with pytest.raises(SmProxyError) as caught:
        made.open_stream(made.find())
    assert caught.value.code == "host-key-unknown"
    assert f"workers.{instance(2)} in c" in caught.value.message
    assert f"`sm-proxy settings {HOST} --set trust_first_use=true`" in caught.value.hint
    assert "entrypoint" not in caught.value.line


def test_an_offline_agent_is_reported_after_one_more_look(tmp_path: Any) -> None:
    settings = Settings(ssh_dir=str(tmp_path / "ssh"))
    aws = ClusterAws(node("workers", 1), StartSession=AWAY)
    pin(aws, settings, 1, HOST_KEY)
    made = dialler(aws, settings)
    with pytest.raises(SmProxyError, match="is not connected") as caught:
        made.open_stream(made.find())
    assert caught.value.code == "session-lost"
    assert aws.operations().count("StartSession") == 1


def test_a_node_that_works_again_after_a_failure_keeps_its_pin(tmp_path: Any) -> None:
    settings = Settings(ssh_dir=str(tmp_path / "ssh"))
    aws = ClusterAws(node("workers", 1), StartSession=GRANTED)
    pin(aws, settings, 1, HOST_KEY)
    by_id = f"sm-c.workers.{instance(1)}.hyperpod"
    aws.nodes = [node("workers", 1, "Failure")]
    with pytest.raises(SmProxyError, match="is Failure"):
        dialler(aws, settings, by_id).find()
    aws.nodes = [node("workers", 1)]
    made = dialler(aws, settings, by_id)
    made.open_stream(made.find())
