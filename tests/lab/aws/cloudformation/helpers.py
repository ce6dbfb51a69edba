"""Stacks in the lab, and what an account has beside them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import botocore.session

from sm_proxy_lab.account import ACCESS_KEY, SECRET_KEY
from tests.lab.aws.harness import Lab
from tests.waits import await_true

LOGS = "AWS::Logs::LogGroup"


def log_group(name: str, **more: Any) -> dict[str, Any]:
    """The cheapest resource."""
    return {"Type": LOGS, "Properties": {"LogGroupName": name}, **more}


class Stack:
    """A stack with a name of its own."""

    def __init__(self, lab: Lab, region: str = "us-east-1") -> None:
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


def s3(lab: Lab, region: str) -> Any:
    """A client of S3, which checks signatures."""
    return botocore.session.Session().create_client(
        "s3",
        region_name=region,
        endpoint_url=lab.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


def account(lab: Lab, region: str) -> dict[str, set[str]]:
    """The names of everything in a region that a stack of ours can make."""
    ec2, iam = lab.client("ec2", region), lab.client("iam", region)
    reservations = ec2.describe_instances()["Reservations"]
    instances = [item for found in reservations for item in found["Instances"]]
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    lists: dict[str, tuple[list[Any], str]] = {
        "vpcs": (ec2.describe_vpcs()["Vpcs"], "VpcId"),
        "subnets": (ec2.describe_subnets()["Subnets"], "SubnetId"),
        "tables": (ec2.describe_route_tables()["RouteTables"], "RouteTableId"),
        "gateways": (ec2.describe_internet_gateways()["InternetGateways"], "InternetGatewayId"),
        # EC2 shows these two for an hour.
        "nat": ([item for item in gateways if item["State"] != "deleted"], "NatGatewayId"),
        "instances": (
            [item for item in instances if item["State"]["Name"] != "terminated"],
            "InstanceId",
        ),
        "addresses": (ec2.describe_addresses()["Addresses"], "PublicIp"),
        "endpoints": (ec2.describe_vpc_endpoints()["VpcEndpoints"], "VpcEndpointId"),
        "groups": (ec2.describe_security_groups()["SecurityGroups"], "GroupId"),
        "interfaces": (
            ec2.describe_network_interfaces()["NetworkInterfaces"],
            "NetworkInterfaceId",
        ),
        "templates": (ec2.describe_launch_templates()["LaunchTemplates"], "LaunchTemplateId"),
        "volumes": (ec2.describe_volumes()["Volumes"], "VolumeId"),
        "scaling": (
            lab.client("autoscaling", region).describe_auto_scaling_groups()["AutoScalingGroups"],
            "AutoScalingGroupName",
        ),
        "roles": (iam.list_roles()["Roles"], "RoleName"),
        "profiles": (iam.list_instance_profiles()["InstanceProfiles"], "InstanceProfileName"),
        "policies": (iam.list_policies(Scope="Local")["Policies"], "Arn"),
        "buckets": (s3(lab, region).list_buckets()["Buckets"], "Name"),
        "logs": (lab.client("logs", region).describe_log_groups()["logGroups"], "logGroupName"),
    }
    found = {name: {str(item[key]) for item in items} for name, (items, key) in lists.items()}
    projects = lab.client("codebuild", region).list_projects()["projects"]
    return {**found, "projects": set(projects)}
