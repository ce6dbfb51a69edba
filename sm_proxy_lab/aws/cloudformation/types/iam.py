"""Roles, instance profiles and managed policies."""

from __future__ import annotations

import json
from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.resource_type import Context, Made, Properties, ResourceType

_LONGEST_NAME: Final = 64


class Role(ResourceType):
    """AWS::IAM::Role."""

    in_place = frozenset(
        {
            *("AssumeRolePolicyDocument", "Description", "ManagedPolicyArns"),
            *("MaxSessionDuration", "Policies"),
        }
    )
    fixed = frozenset({"Path", "PermissionsBoundary", "RoleName"})
    required = frozenset({"AssumeRolePolicyDocument"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, with its policies."""
        iam = context.client("iam")
        name = properties.get("RoleName") or context.unique_name(_LONGEST_NAME)
        given = {
            key: properties[key]
            for key in ("Path", "Description", "MaxSessionDuration", "PermissionsBoundary")
            if key in properties
        }
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(properties["AssumeRolePolicyDocument"]),
            Tags=context.tag_list(properties, marked=False),
            **given,
        )["Role"]
        found = Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})
        context.begun(found)
        _set_policies(iam, name, {}, properties)
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Change trust, policies and description."""
        iam = context.client("iam")
        _set_policies(iam, made.id, old, new)
        if old["AssumeRolePolicyDocument"] != new["AssumeRolePolicyDocument"]:
            document = json.dumps(new["AssumeRolePolicyDocument"])
            iam.update_assume_role_policy(RoleName=made.id, PolicyDocument=document)
        changes = {
            key: new[key]
            for key in ("Description", "MaxSessionDuration")
            if key in new and new[key] != old.get(key)
        }
        if changes:
            iam.update_role(RoleName=made.id, **changes)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Take its policies away, and delete it."""
        iam = context.client("iam")
        attached = iam.list_attached_role_policies(RoleName=made.id)["AttachedPolicies"]
        for policy in attached:
            iam.detach_role_policy(RoleName=made.id, PolicyArn=policy["PolicyArn"])
        for name in iam.list_role_policies(RoleName=made.id)["PolicyNames"]:
            iam.delete_role_policy(RoleName=made.id, PolicyName=name)
        iam.delete_role(RoleName=made.id)

    def read(self, context: Context, made: Made, properties: Properties) -> Properties:
        """Whom it trusts, and its own policies."""
        iam = context.client("iam")
        role = iam.get_role(RoleName=made.id)["Role"]
        read: dict[str, Any] = {"AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"]}
        if "Policies" in properties:
            names = iam.list_role_policies(RoleName=made.id)["PolicyNames"]
            found = [iam.get_role_policy(RoleName=made.id, PolicyName=name) for name in names]
            actual = {item["PolicyName"]: item["PolicyDocument"] for item in found}
            same = actual == _inline(properties)
            read["Policies"] = (
                properties["Policies"]
                if same
                else [
                    {"PolicyName": name, "PolicyDocument": actual[name]} for name in sorted(actual)
                ]
            )
        return read


def _inline(properties: Properties) -> dict[str, Any]:
    return {item["PolicyName"]: item["PolicyDocument"] for item in properties.get("Policies", [])}


def _set_policies(iam: Any, role: str, old: Properties, new: Properties) -> None:
    before, after = _inline(old), _inline(new)
    for name in [name for name in before if name not in after]:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    for name, document in after.items():
        if before.get(name) != document:
            text = json.dumps(document)
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
    had, has = (set(properties.get("ManagedPolicyArns", [])) for properties in (old, new))
    for arn in sorted(had - has):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for arn in sorted(has - had):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)


class InstanceProfile(ResourceType):
    """AWS::IAM::InstanceProfile."""

    in_place = frozenset({"Roles"})
    fixed = frozenset({"InstanceProfileName", "Path"})
    required = frozenset({"Roles"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, with its role."""
        iam = context.client("iam")
        name = properties.get("InstanceProfileName") or context.unique_name(128)
        path = {"Path": properties["Path"]} if "Path" in properties else {}
        made = iam.create_instance_profile(InstanceProfileName=name, **path)["InstanceProfile"]
        found = Made(name, {"Arn": made["Arn"]})
        context.begun(found)
        for role in properties["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        iam.get_instance_profile(InstanceProfileName=name)
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Give it another role."""
        iam = context.client("iam")
        for role in old["Roles"]:
            iam.remove_role_from_instance_profile(InstanceProfileName=made.id, RoleName=role)
        for role in new["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=made.id, RoleName=role)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Take its role away, and delete it."""
        iam = context.client("iam")
        found = iam.get_instance_profile(InstanceProfileName=made.id)["InstanceProfile"]
        for role in found["Roles"]:
            iam.remove_role_from_instance_profile(
                InstanceProfileName=made.id, RoleName=role["RoleName"]
            )
        iam.delete_instance_profile(InstanceProfileName=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Its role."""
        found = context.client("iam").get_instance_profile(InstanceProfileName=made.id)
        return {"Roles": [role["RoleName"] for role in found["InstanceProfile"]["Roles"]]}


class ManagedPolicy(ResourceType):
    """AWS::IAM::ManagedPolicy."""

    in_place = frozenset({"PolicyDocument", "Roles"})
    fixed = frozenset({"Description", "ManagedPolicyName", "Path"})
    required = frozenset({"PolicyDocument"})

    def create(self, context: Context, properties: Properties) -> Made:
        """Make it, and attach it to the roles that it names."""
        iam = context.client("iam")
        given = {key: properties[key] for key in ("Path", "Description") if key in properties}
        arn = iam.create_policy(
            PolicyName=properties.get("ManagedPolicyName") or context.unique_name(128),
            PolicyDocument=json.dumps(properties["PolicyDocument"]),
            **given,
        )["Policy"]["Arn"]
        found = Made(arn, {"PolicyArn": arn})
        context.begun(found)
        for role in properties.get("Roles", []):
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        return found

    def update(self, context: Context, made: Made, old: Properties, new: Properties) -> Made:
        """Give it a new version; the others are deleted."""
        iam = context.client("iam")
        if old["PolicyDocument"] != new["PolicyDocument"]:
            _drop_versions(iam, made.id)
            text = json.dumps(new["PolicyDocument"])
            iam.create_policy_version(PolicyArn=made.id, PolicyDocument=text, SetAsDefault=True)
        had, has = (set(properties.get("Roles", [])) for properties in (old, new))
        for role in sorted(had - has):
            iam.detach_role_policy(RoleName=role, PolicyArn=made.id)
        for role in sorted(has - had):
            iam.attach_role_policy(RoleName=role, PolicyArn=made.id)
        return made

    def delete(self, context: Context, made: Made, _properties: Properties) -> None:
        """Detach it from everybody, as the registry's handler does, and delete it."""
        iam = context.client("iam")
        held = iam.list_entities_for_policy(PolicyArn=made.id)
        for role in held["PolicyRoles"]:
            iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=made.id)
        for user in held["PolicyUsers"]:
            iam.detach_user_policy(UserName=user["UserName"], PolicyArn=made.id)
        for group in held["PolicyGroups"]:
            iam.detach_group_policy(GroupName=group["GroupName"], PolicyArn=made.id)
        _drop_versions(iam, made.id)
        iam.delete_policy(PolicyArn=made.id)

    def read(self, context: Context, made: Made, _properties: Properties) -> Properties:
        """Its document."""
        iam = context.client("iam")
        version = iam.get_policy(PolicyArn=made.id)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=made.id, VersionId=version)["PolicyVersion"]
        document = found["Document"]
        return {"PolicyDocument": json.loads(document) if isinstance(document, str) else document}


def _drop_versions(iam: Any, arn: str) -> None:
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
