"""Security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType
from sm_proxy_lab.aws.cloudformation.types import ec2_tags

_DIRECTIONS: Final = {"Ingress": "SecurityGroupIngress", "Egress": "SecurityGroupEgress"}
_EVERYWHERE: Final = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}
"""The rule of egress that a new group has."""


class SecurityGroup(ResourceType):
    """AWS::EC2::SecurityGroup."""

    in_place = frozenset({"Tags", *_DIRECTIONS.values()})
    fixed = frozenset({"GroupDescription", "GroupName", "VpcId"})
    required = frozenset({"GroupDescription"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it; rules of egress replace the one that EC2 gives a new group."""
        ec2 = context.client("ec2")
        name = properties.get("GroupName") or context.unique_name()
        given = {"VpcId": properties["VpcId"]} if "VpcId" in properties else {}
        group = ec2.create_security_group(
            GroupName=name,
            Description=properties["GroupDescription"],
            **given,
            TagSpecifications=ec2_tags.specification(context, "security-group", properties),
        )["GroupId"]
        context.begun(Made(group))
        found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        if properties.get("SecurityGroupEgress"):
            _revoke(ec2, group, "Egress", [_EVERYWHERE])
        for direction, member in _DIRECTIONS.items():
            _authorize(ec2, group, direction, properties.get(member, []))
        return Made(group, {"GroupId": group, "Id": group, "VpcId": found["VpcId"]})

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change tags and rules."""
        ec2_tags.update(context, made, old, new)
        ec2 = context.client("ec2")
        for direction, member in _DIRECTIONS.items():
            before, after = _rules(old, member), _rules(new, member)
            _revoke(ec2, made.id, direction, [rule for rule in before if rule not in after])
            _authorize(ec2, made.id, direction, [rule for rule in after if rule not in before])
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Delete it."""
        ec2 = context.client("ec2")
        ec2.describe_security_groups(GroupIds=[made.id])
        ec2.delete_security_group(GroupId=made.id)

    def read(self, context: Context, made: Made, properties: Properties) -> Properties:
        """Its description, and the rules that the template has inside it."""
        found = context.client("ec2").describe_security_groups(GroupIds=[made.id])
        group = found["SecurityGroups"][0]
        read: dict[str, Any] = {"GroupDescription": group["Description"], "VpcId": group["VpcId"]}
        for direction, member in _DIRECTIONS.items():
            if member not in properties:  # rules may be resources of their own
                continue
            suffix = "Egress" if direction == "Egress" else ""
            actual = _flat(group[f"IpPermissions{suffix}"], direction)
            wanted = [_bare(rule) for rule in properties[member]]
            same = sorted(map(_key, actual)) == sorted(map(_key, wanted))
            read[member] = properties[member] if same else actual
        return read


class SecurityGroupRule(ResourceType):
    """AWS::EC2::SecurityGroupIngress, or Egress."""

    required = frozenset({"GroupId", "IpProtocol"})

    def __init__(self, direction: str) -> None:
        self._direction = direction
        peer = "Source" if direction == "Ingress" else "Destination"
        peers = (f"{peer}PrefixListId", f"{peer}SecurityGroupId", "CidrIp", "CidrIpv6")
        self.fixed = frozenset({*self.required, "Description", "FromPort", "ToPort", *peers})

    def create(self, context: Context, properties: Properties) -> Made:
        """Add the rule."""
        ec2 = context.client("ec2")
        made = _authorize(ec2, properties["GroupId"], self._direction, [properties])
        return Made(made, {"Id": made})

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Remove the rule."""
        revoke = getattr(context.client("ec2"), f"revoke_security_group_{self._direction.lower()}")
        revoke(GroupId=properties["GroupId"], SecurityGroupRuleIds=[made.id])

    def read(self, context: Context, _made: Made, properties: Properties) -> Properties:
        """The rule; values of None if it is gone."""
        found = context.client("ec2").describe_security_groups(GroupIds=[properties["GroupId"]])
        suffix = "Egress" if self._direction == "Egress" else ""
        rules = found["SecurityGroups"][0][f"IpPermissions{suffix}"]
        wanted = _bare(properties)
        if wanted in [_bare(rule) for rule in _flat(rules, self._direction)]:
            return {name: properties[name] for name in properties if name in wanted}
        return dict.fromkeys(wanted)


def _rules(properties: Properties, member: str) -> list[dict[str, Any]]:
    rules = [dict(rule) for rule in properties.get(member, [])]
    return rules or ([dict(_EVERYWHERE)] if member == "SecurityGroupEgress" else [])


def _authorize(ec2: Any, group: str, direction: str, rules: Sequence[Properties]) -> str:
    """Add rules; return the id of the first."""
    if not rules:
        return ""
    call = getattr(ec2, f"authorize_security_group_{direction.lower()}")
    made = call(GroupId=group, IpPermissions=[_permission(rule) for rule in rules])
    return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def _revoke(ec2: Any, group: str, direction: str, rules: Sequence[Properties]) -> None:
    """Remove rules by their ids: moto does not find every rule by what it says."""
    if not rules:
        return
    unwanted = [_bare(rule) for rule in rules]
    there = [{"Name": "group-id", "Values": [group]}]
    found = [
        rule["SecurityGroupRuleId"]
        for rule in ec2.describe_security_group_rules(Filters=there)["SecurityGroupRules"]
        if rule["IsEgress"] == (direction == "Egress")
        and _bare(_of_api(rule, direction)) in unwanted
    ]
    if found:
        revoke = getattr(ec2, f"revoke_security_group_{direction.lower()}")
        revoke(GroupId=group, SecurityGroupRuleIds=found)


def _of_api(rule: Mapping[str, Any], direction: str) -> dict[str, Any]:
    """A rule of DescribeSecurityGroupRules as a template writes it."""
    peer = "Source" if direction == "Ingress" else "Destination"
    names = {"CidrIpv4": "CidrIp", "CidrIpv6": "CidrIpv6", "PrefixListId": f"{peer}PrefixListId"}
    found = {word: rule[name] for name, word in names.items() if name in rule}
    if "ReferencedGroupInfo" in rule:
        found[f"{peer}SecurityGroupId"] = rule["ReferencedGroupInfo"]["GroupId"]
    ports = {name: rule[name] for name in ("FromPort", "ToPort") if name in rule}
    return {"IpProtocol": rule["IpProtocol"], **ports, **found}


def _permission(rule: Properties) -> dict[str, Any]:
    """A rule of a template as EC2's API takes it."""
    found: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    found |= {name: int(rule[name]) for name in ("FromPort", "ToPort") if name in rule}
    words = {"Description": rule["Description"]} if "Description" in rule else {}
    if "CidrIp" in rule:
        found["IpRanges"] = [{"CidrIp": rule["CidrIp"], **words}]
    if "CidrIpv6" in rule:
        found["Ipv6Ranges"] = [{"CidrIpv6": rule["CidrIpv6"], **words}]
    for name in ("SourcePrefixListId", "DestinationPrefixListId"):
        if name in rule:
            found["PrefixListIds"] = [{"PrefixListId": rule[name], **words}]
    for name in ("SourceSecurityGroupId", "DestinationSecurityGroupId"):
        if name in rule:
            found["UserIdGroupPairs"] = [{"GroupId": rule[name], **words}]
    return found


def _flat(permissions: Sequence[Mapping[str, Any]], direction: str) -> list[dict[str, Any]]:
    """EC2's rules as a template writes them: one for each peer."""
    peer = "Source" if direction == "Ingress" else "Destination"
    found: list[dict[str, Any]] = []
    for permission in permissions:
        base: dict[str, Any] = {"IpProtocol": permission["IpProtocol"]}
        if permission["IpProtocol"] != "-1":
            base |= {name: permission[name] for name in ("FromPort", "ToPort")}
        peers = [{"CidrIp": item["CidrIp"]} for item in permission.get("IpRanges", [])]
        peers += [{"CidrIpv6": item["CidrIpv6"]} for item in permission.get("Ipv6Ranges", [])]
        for item in permission.get("UserIdGroupPairs", []):
            peers.append({f"{peer}SecurityGroupId": item["GroupId"]})
        for item in permission.get("PrefixListIds", []):
            peers.append({f"{peer}PrefixListId": item["PrefixListId"]})
        found += [{**base, **one} for one in peers]
    return found


def _bare(rule: Properties) -> dict[str, Any]:
    """What two rules are compared by."""
    left_out = {"Description", "GroupId", "SourceSecurityGroupOwnerId"}
    if str(rule["IpProtocol"]) == "-1":
        left_out |= {"FromPort", "ToPort"}
    return {
        name: int(value) if name in {"FromPort", "ToPort"} else str(value)
        for name, value in rule.items()
        if name not in left_out
    }


def _key(rule: Mapping[str, Any]) -> str:
    return str(sorted(rule.items()))
