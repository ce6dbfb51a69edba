"""A healthy bastion in a job's VPC, for the tests of its checks."""

from __future__ import annotations

from typing import Any

from sm_proxy.doctor.check import Context
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from tests import fakes

INSTANCE = {
    "InstanceId": "i-1",
    "State": {"Name": "running"},
    "SubnetId": "subnet-9",
    "VpcId": "vpc-1",
}
DENIED = SmProxyError("access-denied", "it is denied")


def information(ping: str = "Online", version: str = "3.3.1230.0") -> dict[str, Any]:
    item = {"InstanceId": "i-1", "PingStatus": ping, "AgentVersion": version}
    return {"InstanceInformationList": [item]}


def context(settings: Settings | None = None, **answers: Any) -> Context:
    given = {
        "DescribeInstances": {"Reservations": [{"Instances": [INSTANCE]}]},
        "DescribeInstanceInformation": information(),
        **answers,
    }
    return Context(settings or Settings(), None, fakes.working(**given))
