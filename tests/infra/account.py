"""An account with a fake CloudFormation, in which commands of `infra` run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.commands import infra_run, infra_status
from sm_proxy.infra import watch
from sm_proxy.local import prompt
from sm_proxy.settings import deadline
from tests.fakes import LISTS, Answers, Clock, FakeAws, description
from tests.infra.fake_cloudformation import ACCOUNT, FakeCloudFormation

ZONES = ("eu-west-1a", "eu-west-1b")
NAMED = ("--zones", ",".join(ZONES))
ONLINE = {"InstanceInformationList": [{"InstanceId": "i-1", "PingStatus": "Online"}]}
INSTANCE = {
    "InstanceId": "i-1",
    "VpcId": "vpc-1",
    "LaunchTime": datetime(2026, 11, 29, tzinfo=timezone.utc),
}
_SERVICES = ("ssm", "ssmmessages", "ec2messages", "logs", "ecr.api", "ecr.dkr")


class Account:
    """Attributes:
    cloud: its CloudFormation.
    answers: of the other services.
    asked: the questions of the last command.
    aws: of the last command.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud = FakeCloudFormation()
        self.answers: dict[str, Answers] = {
            "GetCallerIdentity": {"Arn": f"arn:aws:iam::{ACCOUNT}:user/a", "Account": ACCOUNT},
            "DescribeAvailabilityZones": zones(),
            "DescribeVpcEndpointServices": services(),
            "DescribeAutoScalingGroups": self._groups,
            "DescribeScalingActivities": {},
            "DescribeInstanceInformation": ONLINE,
            "DescribeInstances": {"Reservations": [{"Instances": [INSTANCE]}]},
            "DescribeNetworkInterfaces": {"NetworkInterfaces": []},
            "ListObjectVersions": {},
            "DeleteObjects": {},
            "DescribeRepositories": {},
            **{name: {} for name in LISTS},
        }
        self.asked: list[str] = []
        self.reply: str | None = None
        self.aws = FakeAws()
        clock = Clock()
        for module in (watch, deadline):
            monkeypatch.setattr(module, "time", clock)
        for module in (infra_run, infra_status):
            monkeypatch.setattr(module, "Aws", lambda *_: self.aws)
        monkeypatch.setattr(FakeAws, "ensure_credentials", lambda _: None)
        monkeypatch.setattr(prompt, "confirm", self._confirm)

    def infra(self, *words: str, reply: str | None = None) -> int:
        """Run `sm-proxy infra ...` and return its exit status."""
        self.aws = FakeAws(**{**self.answers, **self.cloud.answers})
        self.asked, self.reply = [], reply
        return cli.main(["infra", *words])

    def deployed(self, *words: str) -> None:
        """Let the stack be there."""
        assert self.infra("deploy", "--yes", *(words or NAMED)) == 0

    def run_job(self, name: str, subnet: str = "subnet-1") -> None:
        """Let a training job run in a subnet."""
        network = {"Subnets": [subnet], "SecurityGroupIds": ["sg-job"]}
        described = description(TrainingJobName=name, VpcConfig=network)
        assert isinstance(described, dict)
        created = described["SecondaryStatusTransitions"][0]["StartTime"]
        listed = {"TrainingJobName": name, "CreationTime": created}
        self.answers["DescribeTrainingJob"] = described
        self.answers["ListTrainingJobs"] = {
            "TrainingJobSummaries": [{**listed, "TrainingJobStatus": "InProgress"}]
        }

    def _confirm(self, question: str) -> bool:
        self.asked.append(question)
        if self.reply is None:
            raise prompt.NobodyToAskError("there is no terminal to ask on")
        return self.reply == "yes"

    def _groups(self, **_: Any) -> dict[str, Any]:
        """The bastion's group, as the stack's parameter says."""
        count = int(self.cloud.parameters.get("BastionCount", "0"))
        found = [{"InstanceId": "i-1", "LifecycleState": "InService"}][:count]
        group = {"DesiredCapacity": count, "Instances": found, "MaxInstanceLifetime": 30 * 86400}
        return {"AutoScalingGroups": [group]}


def zones() -> dict[str, Any]:
    rows = [
        {
            "ZoneName": name,
            "State": "available",
            "ZoneType": "availability-zone",
            "OptInStatus": "opt-in-not-required",
        }
        for name in ZONES
    ]
    return {"AvailabilityZones": rows}


def services() -> dict[str, Any]:
    rows = [(name, "Interface") for name in _SERVICES] + [("s3", "Gateway")]
    return {
        "ServiceDetails": [
            {
                "ServiceName": f"com.amazonaws.eu-west-1.{name}",
                "ServiceType": [{"ServiceType": kind}],
                "AvailabilityZones": list(ZONES),
            }
            for name, kind in rows
        ]
    }
