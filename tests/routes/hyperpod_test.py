"""The route to a node of a HyperPod cluster: what it asks for, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.kinds import hyperpod as kind
from sm_proxy.routes import table
from sm_proxy.settings import Settings
from tests.fakes import FakeAws
from tests.jobs.cluster_account import ID, ClusterAws, instance
from tests.routes.helpers import GRANTED, Started

pytestmark = pytest.mark.usefixtures("started")
TARGET = f"sagemaker-cluster:{ID}_workers-{instance(2)}"


def node(**cluster: Any) -> Container:
    """The container of `sm-c.workers.1.hyperpod`."""
    aws = ClusterAws(cluster=cluster)
    target = hostname.parse("sm-c.workers.1.hyperpod", "sm-")
    job = kind.describe(aws, "c")
    assert job is not None
    found = kind.container(aws, job, target)
    assert isinstance(found, Container)
    return found


def refused(answer: Exception, **settings: Any) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        table.connect(node(), Settings(**settings), FakeAws(StartSession=answer))
    assert caught.value.line.isprintable()
    return caught.value


def test_a_session_of_its_own_goes_to_the_nodes_sshd(started: Started) -> None:
    aws = FakeAws(StartSession=GRANTED)
    table.connect(node(), Settings(keep_session=60), aws)
    asked = {
        "Target": TARGET,
        "DocumentName": "AWS-StartSSHSession",
        "Parameters": {"portNumber": ["22"]},
        "Reason": "sm-proxy c",
    }
    assert aws.calls == [("StartSession", asked)]
    ((_, options, _),) = started
    assert (options.session_type, options.target) == ("Port", f"hyperpod {TARGET}")


def test_no_other_route_leads_to_a_node() -> None:
    with pytest.raises(SmProxyError) as caught:
        table.connect(node(), Settings(route="bastion"), FakeAws())
    assert caught.value.code == "route-unusable"


def test_an_agent_that_is_away_leads_to_the_list_of_nodes() -> None:
    error = refused(ServiceError("TargetNotConnected", f"{TARGET} is not connected.", "ssm:x"))
    assert error.code == "session-lost"
    assert f"node workers.{instance(2)} in cluster c" in error.message
    assert "sm-proxy nodes sm-c.hyperpod" in error.hint


def test_another_error_is_reported_unchanged() -> None:
    error = refused(ServiceError("InternalError", "oops", "ssm:StartSession"))
    assert (error.code, "oops" in error.message) == ("aws-error", True)


@pytest.mark.parametrize("end", ["refused", "unanswered"])
@pytest.mark.parametrize(
    ("orchestrator", "words"), [("Slurm", "Look at sshd"), ("Eks", "Nodes of a cluster on EKS may")]
)
def test_a_node_without_sshd_gets_advice_that_fits(
    started: Started, orchestrator: str, words: str, end: Any
) -> None:
    table.connect(node(Orchestrator={orchestrator: {}}), Settings(), FakeAws(StartSession=GRANTED))
    error = started[0][1].failure(end, "connection refused")
    assert isinstance(error, SmProxyError)
    assert error.code == "connect-refused"
    assert error.hint.startswith(words)
    assert error.hint.endswith(f"aws ssm start-session --target {TARGET}")
