"""VPCs, subnets and routes."""

from __future__ import annotations

from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType
from sm_proxy_lab.aws.cloudformation.types import ec2_tags

_SWITCHES: Final = ("EnableDnsSupport", "EnableDnsHostnames")


class Vpc(ResourceType):
    """AWS::EC2::VPC."""

    in_place = frozenset({"Tags", *_SWITCHES})
    fixed = frozenset({"CidrBlock"})
    required = frozenset({"CidrBlock"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, with its DNS switches."""
        ec2 = context.client("ec2")
        tags = ec2_tags.specification(context, "vpc", properties)
        made = ec2.create_vpc(CidrBlock=properties["CidrBlock"], TagSpecifications=tags)["Vpc"]
        found = Made(made["VpcId"], {"VpcId": made["VpcId"], "CidrBlock": made["CidrBlock"]})
        context.begun(found)
        _switch(ec2, found.id, properties)
        ec2.describe_vpcs(VpcIds=[found.id])
        there = [{"Name": "vpc-id", "Values": [found.id]}]
        group = ec2.describe_security_groups(
            Filters=[*there, {"Name": "group-name", "Values": ["default"]}]
        )["SecurityGroups"]
        attributes = {"DefaultSecurityGroup": group[0]["GroupId"]} if group else {}
        return Made(found.id, {**found.attributes, **attributes})

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change tags and DNS switches."""
        ec2_tags.update(context, made, old, new)
        _switch(context.client("ec2"), made.id, new)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        context.client("ec2").delete_vpc(VpcId=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Its block and its DNS switches."""
        ec2 = context.client("ec2")
        found = ec2.describe_vpcs(VpcIds=[made.id])["Vpcs"][0]
        read: dict[str, Any] = {"CidrBlock": found["CidrBlock"]}
        for name in _SWITCHES:
            word = name[0].lower() + name[1:]
            answer = ec2.describe_vpc_attribute(VpcId=made.id, Attribute=word)
            read[name] = answer[name]["Value"]
        return read


def _switch(ec2: Any, vpc: str, properties: Properties) -> None:
    for name in _SWITCHES:
        if name in properties:
            value = str(properties[name]).lower() == "true"
            ec2.modify_vpc_attribute(VpcId=vpc, **{name: {"Value": value}})


class Subnet(ResourceType):
    """AWS::EC2::Subnet."""

    in_place = frozenset({"Tags", "MapPublicIpOnLaunch"})
    fixed = frozenset({"AvailabilityZone", "CidrBlock", "VpcId"})
    required = frozenset({"CidrBlock", "VpcId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        ec2 = context.client("ec2")
        given = {
            name: properties[name]
            for name in ("VpcId", "CidrBlock", "AvailabilityZone")
            if name in properties
        }
        tags = ec2_tags.specification(context, "subnet", properties)
        made = ec2.create_subnet(**given, TagSpecifications=tags)["Subnet"]
        names = ("SubnetId", "VpcId", "CidrBlock", "AvailabilityZone")
        found = Made(made["SubnetId"], {name: made[name] for name in names})
        context.begun(found)
        _map_public(ec2, found.id, properties)
        ec2.describe_subnets(SubnetIds=[found.id])
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change tags, and whether machines get public addresses."""
        ec2_tags.update(context, made, old, new)
        _map_public(context.client("ec2"), made.id, new)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        context.client("ec2").delete_subnet(SubnetId=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Its place."""
        found = context.client("ec2").describe_subnets(SubnetIds=[made.id])["Subnets"][0]
        names = ("VpcId", "CidrBlock", "AvailabilityZone", "MapPublicIpOnLaunch")
        return {name: found[name] for name in names}


def _map_public(ec2: Any, subnet: str, properties: Properties) -> None:
    if "MapPublicIpOnLaunch" in properties:
        value = str(properties["MapPublicIpOnLaunch"]).lower() == "true"
        ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": value})


class RouteTable(ec2_tags.OnlyTagsChange):
    """AWS::EC2::RouteTable."""

    fixed = frozenset({"VpcId"})
    required = frozenset({"VpcId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        ec2 = context.client("ec2")
        tags = ec2_tags.specification(context, "route-table", properties)
        made = ec2.create_route_table(VpcId=properties["VpcId"], TagSpecifications=tags)
        name = made["RouteTable"]["RouteTableId"]
        found = Made(name, {"RouteTableId": name})
        context.begun(found)
        ec2.describe_route_tables(RouteTableIds=[name])
        return found

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        context.client("ec2").delete_route_table(RouteTableId=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Its VPC."""
        found = context.client("ec2").describe_route_tables(RouteTableIds=[made.id])
        return {"VpcId": found["RouteTables"][0]["VpcId"]}


class Route(ResourceType):
    """AWS::EC2::Route."""

    in_place = frozenset({"GatewayId", "NatGatewayId", "NetworkInterfaceId", "InstanceId"})
    fixed = frozenset({"DestinationCidrBlock", "RouteTableId"})
    required = frozenset({"DestinationCidrBlock", "RouteTableId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it."""
        ec2 = context.client("ec2")
        ec2.create_route(**properties)
        block = properties["DestinationCidrBlock"]
        found = Made(f"{properties['RouteTableId']}|{block}", {"CidrBlock": block})
        context.begun(found)
        ec2.describe_route_tables(RouteTableIds=[properties["RouteTableId"]])
        return found

    def update(self, context: Context, made: Made, _old: Properties, new: Properties) -> Made:
        """Lead it elsewhere."""
        context.client("ec2").replace_route(**new)
        return made

    def delete(self, context: Context, _made: Made, properties: Properties) -> None:
        """Delete it."""
        context.client("ec2").delete_route(
            RouteTableId=properties["RouteTableId"],
            DestinationCidrBlock=properties["DestinationCidrBlock"],
        )

    def read(self, context: Context, _made: Made, properties: Properties) -> Properties:
        """Where it leads; nothing if it is gone."""
        found = context.client("ec2").describe_route_tables(
            RouteTableIds=[properties["RouteTableId"]]
        )
        for route in found["RouteTables"][0]["Routes"]:
            if route.get("DestinationCidrBlock") == properties["DestinationCidrBlock"]:
                return {name: route.get(name) for name in self.in_place if name in properties}
        return dict.fromkeys(self.in_place)


class RouteTableAssociation(ResourceType):
    """AWS::EC2::SubnetRouteTableAssociation.

    The registry's handler makes a new one in the place of the old, by the same call as `update`.
    """

    in_place = frozenset({"RouteTableId"})
    fixed = frozenset({"SubnetId"})
    required = frozenset({"RouteTableId", "SubnetId"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Give a subnet its route table, or another one: a subnet has one association.

        The registry's handler may call ReplaceRouteTableAssociation when it creates.
        """
        ec2 = context.client("ec2")
        table, subnet = properties["RouteTableId"], properties["SubnetId"]
        inside = [{"Name": "association.subnet-id", "Values": [subnet]}]
        before = [
            item["RouteTableAssociationId"]
            for found in ec2.describe_route_tables(Filters=inside)["RouteTables"]
            for item in found["Associations"]
            if item.get("SubnetId") == subnet
        ]
        if before:
            made = ec2.replace_route_table_association(AssociationId=before[0], RouteTableId=table)[
                "NewAssociationId"
            ]
        else:
            made = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
        ec2.describe_route_tables(RouteTableIds=[properties["RouteTableId"]])
        return Made(made, {"Id": made})

    def update(self, context: Context, made: Made, _old: Properties, new: Properties) -> Made:
        """Give a subnet another route table."""
        found = context.client("ec2").replace_route_table_association(
            AssociationId=made.id, RouteTableId=new["RouteTableId"]
        )["NewAssociationId"]
        return Made(found, {"Id": found})

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """The subnet has the VPC's main route table again."""
        context.client("ec2").disassociate_route_table(AssociationId=made.id)
