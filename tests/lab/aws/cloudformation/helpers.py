"""Stacks in the lab, and what an account has beside them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sm_proxy.infra import partition, template
from sm_proxy.infra.plan import Plan
from tests.infra import plans
from tests.lab.aws.harness import REGION, Lab
from tests.lab.aws.holdings import holdings
from tests.lab.aws.iam import identities
from tests.waits import await_true

LOGS = "AWS::Logs::LogGroup"


def log_group(name: str, **more: Any) -> dict[str, Any]:
    """The cheapest resource."""
    return {"Type": LOGS, "Properties": {"LogGroupName": name}, **more}


class Stack:
    """A stack with a name of its own."""

    def __init__(self, lab: Lab, region: str = REGION) -> None:
        self.lab, self.region = lab, region
        self.name = f"stack-{uuid.uuid4().hex[:8]}"
        self.client = lab.client("cloudformation", region)

    def create(self, template: dict[str, Any] | str, **request: Any) -> str:
        """Begin to make it; return its id."""
        body = template if isinstance(template, str) else json.dumps(template)
        made = self.client.create_stack(
            StackName=self.name,
            TemplateBody=body,
            **{"Capabilities": ["CAPABILITY_IAM"], **request},
        )
        return str(made["StackId"])

    def update(
        self, template: dict[str, Any] | str | None = None, **request: Any
    ) -> dict[str, Any]:
        """Change it; return what it is at the end."""
        body = template if isinstance(template, str) or template is None else json.dumps(template)
        words = {"UsePreviousTemplate": True} if body is None else {"TemplateBody": body}
        self.client.update_stack(
            StackName=self.name, Capabilities=["CAPABILITY_IAM"], **words, **request
        )
        return self.ended()

    def delete(self, name: str | None = None, **request: Any) -> dict[str, Any]:
        """Delete it; return what it is at the end."""
        made = self.describe(name)["StackId"]
        self.client.delete_stack(StackName=name or self.name, **request)
        return self.ended(made)

    def describe(self, name: str | None = None) -> dict[str, Any]:
        """What DescribeStacks has."""
        return dict(self.client.describe_stacks(StackName=name or self.name)["Stacks"][0])

    def ended(self, name: str | None = None) -> dict[str, Any]:
        """Wait until nothing is in progress."""
        seen: list[dict[str, Any]] = []

        def over() -> bool:
            seen.append(self.describe(name))
            return not seen[-1]["StackStatus"].endswith("_IN_PROGRESS")

        await_true(over, 120, lambda: seen[-1:])
        return seen[-1]

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """All events, the oldest first."""
        pages = self.client.get_paginator("describe_stack_events").paginate(
            StackName=name or self.name
        )
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def told(self, logical: str, name: str | None = None) -> list[str]:
        """The statuses that the events of a resource have."""
        events = self.events(name)
        return [item["ResourceStatus"] for item in events if item["LogicalResourceId"] == logical]

    def reasons(self, name: str | None = None) -> list[str]:
        """What failed, and why."""
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in self.events(name)
            if event["ResourceStatus"].endswith("_FAILED")
        ]

    def physical(self, logical: str) -> str:
        """The physical id of a resource."""
        found = self.client.describe_stack_resources(StackName=self.name, LogicalResourceId=logical)
        return str(found["StackResources"][0]["PhysicalResourceId"])

    def outputs(self) -> dict[str, str]:
        """The outputs by name."""
        return {item["OutputKey"]: item["OutputValue"] for item in self.describe()["Outputs"]}


def network(zones: int, nat: Any, region: str = REGION, **more: Any) -> Plan:
    """A plan with the endpoints that a network needs which has no NAT gateway."""
    names = (*partition.SMALLEST, *(["logs", "ecr.api"] if nat == "none" else []))
    return plans.plan(zones, names, region, nat=nat, **more)


def body(wanted: Plan) -> str:
    """The template of a plan."""
    return template.as_json(template.render(wanted))


def account(lab: Lab, region: str) -> dict[str, list[str]]:
    """What the account has in a region: see `holdings`."""

    def client(service: str) -> Any:
        if service == "s3":  # it checks signatures
            return identities.client(lab, service, identities.ADMINISTRATOR, region)
        return lab.client(service, region)

    return holdings(client)
