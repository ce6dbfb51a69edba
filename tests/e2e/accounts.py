"""What an account has, by describe calls: before a stack is made and after it was deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from tests.e2e.labs import Lab

LISTED: Final = """
def listed():
    e, iam, found = client("ec2"), client("iam"), {}
    def add(what, items, name):
        found[what] = sorted(str(item[name]) for item in items)
    add("vpcs", e.describe_vpcs()["Vpcs"], "VpcId")
    add("subnets", e.describe_subnets()["Subnets"], "SubnetId")
    add("routes", e.describe_route_tables()["RouteTables"], "RouteTableId")
    add("internet", e.describe_internet_gateways()["InternetGateways"], "InternetGatewayId")
    nats = e.describe_nat_gateways()["NatGateways"]
    add("nats", [nat for nat in nats if nat["State"] != "deleted"], "NatGatewayId")
    add("addresses", e.describe_addresses()["Addresses"], "AllocationId")
    ends = e.describe_vpc_endpoints()["VpcEndpoints"]
    add("endpoints", [end for end in ends if end["State"] != "deleted"], "VpcEndpointId")
    add("groups", e.describe_security_groups()["SecurityGroups"], "GroupId")
    add("interfaces", e.describe_network_interfaces()["NetworkInterfaces"], "NetworkInterfaceId")
    add("templates", e.describe_launch_templates()["LaunchTemplates"], "LaunchTemplateId")
    machines = [i for r in e.describe_instances()["Reservations"] for i in r["Instances"]]
    add("instances", [i for i in machines if i["State"]["Name"] != "terminated"], "InstanceId")
    scaling = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    add("scaling", scaling, "AutoScalingGroupName")
    add("roles", iam.list_roles()["Roles"], "RoleName")
    add("profiles", iam.list_instance_profiles()["InstanceProfiles"], "InstanceProfileName")
    add("policies", iam.list_policies(Scope="Local")["Policies"], "PolicyName")
    add("buckets", client("s3").list_buckets()["Buckets"], "Name")
    logs = client("logs").describe_log_groups()["logGroups"]
    # As on AWS, the log of jobs stays.
    logs = [log for log in logs if not log["logGroupName"].startswith("/aws/sagemaker/")]
    add("logs", logs, "logGroupName")
    found["projects"] = client("codebuild").list_projects()["projects"]
    add("images", client("ecr").describe_repositories()["repositories"], "repositoryName")
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    add("stacks", [s for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"], "StackName")
    return found
answer = None
"""


def listed(lab: Lab) -> dict[str, list[str]]:
    """Kind of resource -> names or ids of all that the account has."""
    lab.python(LISTED)
    found: dict[str, list[str]] = lab.python("answer = listed()")
    return found


def outputs(lab: Lab, stack: str = "sm-proxy") -> dict[str, str]:
    """The outputs of a stack."""
    made: list[dict[str, Any]] = lab.python(
        f"answer = client('cloudformation').describe_stacks(StackName={stack!r})"
        "['Stacks'][0].get('Outputs', [])"
    )
    return {item["OutputKey"]: item["OutputValue"] for item in made}


_ASSUME: Final = """
iam, trust = client("iam"), {"AWS": "arn:aws:iam::123456789012:root"}
trust = {"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}
document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
role = iam.create_role(RoleName="Wrong", AssumeRolePolicyDocument=document)["Role"]["Arn"]
iam.put_role_policy(RoleName="Wrong", PolicyName="wrong", PolicyDocument=POLICY)
keys = client("sts").assume_role(RoleArn=role, RoleSessionName="somebody")["Credentials"]
answer = {
    "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
    "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
    "AWS_SESSION_TOKEN": keys["SessionToken"],
}
"""


@contextlib.contextmanager
def role_with(lab: Lab, policy: str) -> Iterator[dict[str, str]]:
    """The variables of somebody whose role has only one of our policies: see `infra policy`."""
    document = lab.sm_proxy("infra", "policy", policy, "--account", "123456789012").stdout.decode()
    yield lab.python(f"POLICY = {document!r}\n{_ASSUME}")
    lab.python(
        "iam.delete_role_policy(RoleName='Wrong', PolicyName='wrong')\n"
        "answer = iam.delete_role(RoleName='Wrong') and None"
    )
