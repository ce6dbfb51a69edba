"""A fake account with a bastion, and helpers for the tests of the route."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.routes import bastion
from sm_proxy.routes.session_api import SessionRequest, SsmApi
from sm_proxy.settings import Settings
from sm_proxy.ssm.session import Grant, Options
from tests.fakes import Answers, FakeAws, container

GRANTED = {"SessionId": "s-1", "TokenValue": "t", "StreamUrl": "wss://x"}
DENIED = SmProxyError("access-denied", "ssm:DescribeInstanceInformation is denied", "ask")
Started = list[tuple[Any, Options, Grant]]
"""Of each session: its API, its options and its grant."""


def instances(*pairs: tuple[str, str]) -> dict[str, Any]:
    found = [{"InstanceId": name, "State": {"Name": state}} for name, state in pairs]
    return {"Reservations": [{"Instances": [item]} for item in found]}


def agents(*triples: tuple[str, str, str | None]) -> dict[str, Any]:
    return {
        "InstanceInformationList": [
            {"InstanceId": name, "PingStatus": ping, "AgentVersion": version}
            for name, ping, version in triples
        ]
    }


def account(**changes: Answers) -> FakeAws:
    answers: dict[str, Answers] = {
        "DescribeInstances": instances(("i-1", "running")),
        "DescribeInstanceInformation": agents(("i-1", "Online", "3.3.1230.0")),
        "StartSession": GRANTED,
        "TerminateSession": {},
    }
    return FakeAws(**{**answers, **changes})


def connected(aws: FakeAws, settings: Settings | None = None, port: int = 2222) -> object:
    return bastion.connect(container(port=port), settings or Settings(), aws)


def refused(aws: FakeAws, settings: Settings | None = None) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        connected(aws, settings)
    assert caught.value.hint
    return caught.value


def api(aws: FakeAws) -> SsmApi:
    return SsmApi(aws, SessionRequest("i-1", "Document", {"portNumber": ["22"]}, "reason"))
