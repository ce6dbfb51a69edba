"""Ways out of a VPC: internet gateways, NAT gateways with their addresses, and endpoints."""

from __future__ import annotations

import json
from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType
from sm_proxy_lab.aws.cloudformation.types import ec2_tags


class InternetGateway(ec2_tags.OnlyTagsChange):
    """AWS::EC2::InternetGateway."""

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        ec2 = context.client("ec2")
        tags = ec2_tags.specification(context, "internet-gateway", properties)
        made = ec2.create_internet_gateway(TagSpecifications=tags)["InternetGateway"]
        name = made["InternetGatewayId"]
        found = Made(name, {"InternetGatewayId": name})
        context.begun(found)
        ec2.describe_internet_gateways(InternetGatewayIds=[name])
        return found

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        context.client("ec2").delete_internet_gateway(InternetGatewayId=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Nothing but that it exists."""
        context.client("ec2").describe_internet_gateways(InternetGatewayIds=[made.id])
        return {}


class Attachment(ResourceType):
    """AWS::EC2::VPCGatewayAttachment, of an internet gateway."""

    fixed = frozenset({"InternetGatewayId", "VpcId"})
    required = frozenset({"VpcId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Attach the gateway."""
        ec2 = context.client("ec2")
        gateway, vpc = properties["InternetGatewayId"], properties["VpcId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        found = Made(f"IGW|{vpc}", {"AttachmentType": "IGW"})
        context.begun(found)
        ec2.describe_internet_gateways(InternetGatewayIds=[gateway])
        return found

    def delete(self, context: Context, _made: Made, properties: Properties) -> None:
        """Detach it."""
        context.client("ec2").detach_internet_gateway(
            InternetGatewayId=properties["InternetGatewayId"], VpcId=properties["VpcId"]
        )


class Eip(ResourceType):
    """AWS::EC2::EIP."""

    in_place = frozenset({"Tags"})
    fixed = frozenset({"Domain"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Allocate an address."""
        ec2 = context.client("ec2")
        tags = ec2_tags.specification(context, "elastic-ip", properties)
        made = ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
        names = ("AllocationId", "PublicIp")
        found = Made(made["PublicIp"], {name: made[name] for name in names})
        context.begun(found)
        ec2.describe_addresses(AllocationIds=[made["AllocationId"]])
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change tags."""
        tagged = Made(made.attributes["AllocationId"])
        ec2_tags.update(context, tagged, old, new)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Release it."""
        context.client("ec2").release_address(AllocationId=made.attributes["AllocationId"])

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Nothing but that it exists."""
        context.client("ec2").describe_addresses(AllocationIds=[made.attributes["AllocationId"]])
        return {}


class NatGateway(ec2_tags.OnlyTagsChange):
    """AWS::EC2::NatGateway."""

    fixed = frozenset({"AllocationId", "ConnectivityType", "SubnetId"})
    required = frozenset({"SubnetId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        ec2 = context.client("ec2")
        given = {
            name: properties[name]
            for name in ("SubnetId", "AllocationId", "ConnectivityType")
            if name in properties
        }
        tags = ec2_tags.specification(context, "natgateway", properties)
        made = ec2.create_nat_gateway(**given, TagSpecifications=tags)["NatGateway"]
        found = Made(made["NatGatewayId"], {"NatGatewayId": made["NatGatewayId"]})
        context.begun(found)
        ec2.describe_nat_gateways(NatGatewayIds=[found.id])
        return found

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        ec2 = context.client("ec2")
        ec2.delete_nat_gateway(NatGatewayId=made.id)
        ec2.describe_nat_gateways(NatGatewayIds=[made.id])


_LISTS: Final = {
    "RouteTableIds": ("AddRouteTableIds", "RemoveRouteTableIds"),
    "SubnetIds": ("AddSubnetIds", "RemoveSubnetIds"),
    "SecurityGroupIds": ("AddSecurityGroupIds", "RemoveSecurityGroupIds"),
}
"""Property -> parameters of ModifyVpcEndpoint."""


class VpcEndpoint(ResourceType):
    """AWS::EC2::VPCEndpoint, of either type."""

    in_place = frozenset({"Tags", "PolicyDocument", "PrivateDnsEnabled", *_LISTS})
    fixed = frozenset({"ServiceName", "VpcEndpointType", "VpcId"})
    required = frozenset({"ServiceName", "VpcId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        ec2 = context.client("ec2")
        given = {name: value for name, value in properties.items() if name != "Tags"}
        given |= _as_text(given)
        tags = ec2_tags.specification(context, "vpc-endpoint", properties)
        made = ec2.create_vpc_endpoint(**given, TagSpecifications=tags)["VpcEndpoint"]
        found = Made(made["VpcEndpointId"], {"Id": made["VpcEndpointId"]})
        context.begun(found)
        ec2.describe_vpc_endpoints(VpcEndpointIds=[found.id])
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change where it is, and what it allows."""
        ec2_tags.update(context, made, old, new)
        given: dict[str, Any] = {}
        for name, (add, remove) in _LISTS.items():
            before, after = old.get(name, []), new.get(name, [])
            more = [item for item in after if item not in before]
            less = [item for item in before if item not in after]
            given |= {key: items for key, items in ((add, more), (remove, less)) if items}
        if old.get("PolicyDocument") != new.get("PolicyDocument"):
            given |= _as_text(new)
        if old.get("PrivateDnsEnabled") != new.get("PrivateDnsEnabled"):
            given["PrivateDnsEnabled"] = new.get("PrivateDnsEnabled", False)
        if given:
            context.client("ec2").modify_vpc_endpoint(VpcEndpointId=made.id, **given)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        context.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made.id])

    def read(self, context: Context, made: Made, properties: Properties) -> Properties:
        """Where it is."""
        found = context.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[made.id])
        item = found["VpcEndpoints"][0]
        read: dict[str, Any] = {"ServiceName": item["ServiceName"], "VpcId": item["VpcId"]}
        now = {
            "RouteTableIds": item.get("RouteTableIds", []),
            "SubnetIds": item.get("SubnetIds", []),
            "SecurityGroupIds": [group["GroupId"] for group in item.get("Groups", [])],
        }
        for name, items in now.items():  # in the template's order, if they are the same
            same = sorted(items) == sorted(properties.get(name, []))
            read[name] = properties.get(name, []) if same else items
        return read


def _as_text(properties: Properties) -> dict[str, str]:
    document = properties.get("PolicyDocument")
    return {} if document is None else {"PolicyDocument": json.dumps(document)}
