"""What an account has, by describe calls: before a stack is made and after it was deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def holdings(client: Callable[[str], Any]) -> dict[str, list[str]]:
    """Kind of resource -> names or ids of all that an account has in a region.

    The end-to-end tests send the text of this function to a process inside their lab, so it uses
    nothing that stands outside of it.

    Args:
        client: service -> botocore client.
    """
    ec2, iam = client("ec2"), client("iam")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [item for found in reservations for item in found["Instances"]]
    # EC2 shows these three for some time after their deletion.
    instances = [item for item in instances if item["State"]["Name"] != "terminated"]
    nats = ec2.describe_nat_gateways()["NatGateways"]
    nats = [item for item in nats if item["State"] != "deleted"]
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    endpoints = [item for item in endpoints if item["State"] != "deleted"]
    logs = client("logs").describe_log_groups()["logGroups"]
    # As on AWS, the log of jobs stays.
    logs = [item for item in logs if not item["logGroupName"].startswith("/aws/sagemaker/")]
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    scaling = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    repositories = client("ecr").describe_repositories()["repositories"]
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    lists = {
        "vpcs": (ec2.describe_vpcs()["Vpcs"], "VpcId"),
        "subnets": (ec2.describe_subnets()["Subnets"], "SubnetId"),
        "tables": (ec2.describe_route_tables()["RouteTables"], "RouteTableId"),
        "gateways": (ec2.describe_internet_gateways()["InternetGateways"], "InternetGatewayId"),
        "nats": (nats, "NatGatewayId"),
        "addresses": (ec2.describe_addresses()["Addresses"], "AllocationId"),
        "endpoints": (endpoints, "VpcEndpointId"),
        "groups": (ec2.describe_security_groups()["SecurityGroups"], "GroupId"),
        "interfaces": (interfaces, "NetworkInterfaceId"),
        "templates": (ec2.describe_launch_templates()["LaunchTemplates"], "LaunchTemplateId"),
        "instances": (instances, "InstanceId"),
        "volumes": (ec2.describe_volumes()["Volumes"], "VolumeId"),
        "scaling": (scaling, "AutoScalingGroupName"),
        "roles": (iam.list_roles()["Roles"], "RoleName"),
        "profiles": (iam.list_instance_profiles()["InstanceProfiles"], "InstanceProfileName"),
        "policies": (iam.list_policies(Scope="Local")["Policies"], "Arn"),
        "buckets": (client("s3").list_buckets()["Buckets"], "Name"),
        "logs": (logs, "logGroupName"),
        "repositories": (repositories, "repositoryName"),
        "stacks": (stacks, "StackName"),
    }
    found = {
        kind: sorted(str(item[name]) for item in items) for kind, (items, name) in lists.items()
    }
    return {**found, "projects": sorted(client("codebuild").list_projects()["projects"])}
