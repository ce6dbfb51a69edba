"""Groups that keep their number of instances."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from sm_proxy_lab import account
from sm_proxy_lab.aws import inside, page_tokens
from sm_proxy_lab.aws.autoscaling import checks
from sm_proxy_lab.aws.autoscaling.groups import Group
from sm_proxy_lab.aws.autoscaling.launch import launch
from sm_proxy_lab.aws.http import query
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_VIA: Final = "autoscaling"
_PAGE: Final = 50
_ENDS: Final = {"TerminateInstances", "StopInstances"}
_ALIVE: Final = {"pending", "running"}
_KEPT: Final = (
    *("MinSize", "MaxSize", "DesiredCapacity", "DefaultCooldown", "HealthCheckType"),
    *("HealthCheckGracePeriod", "LaunchTemplate", "MaxInstanceLifetime"),
    *("NewInstancesProtectedFromScaleIn", "TerminationPolicies", "VPCZoneIdentifier"),
)
_WRONG: Final = re.compile(r"Invalid|NotFound|Malformed|Unsupported")
"""Codes for what a launch template says, not for what the account or the zone has left."""
_SHORTEST_LIFETIME_S: Final = 86_400
"""See MaxInstanceLifetime in the API reference of CreateAutoScalingGroup."""


class AutoScaling:
    """The operations that the lab has."""

    def __init__(self, app: inside.App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, str], Group] = {}
        mine: dict[str, Callable[[Call, dict[str, Any]], Mapping[str, Any]]] = {
            "CreateAutoScalingGroup": self._create,
            "UpdateAutoScalingGroup": self._update,
            "CreateOrUpdateTags": self._tag,
            "DeleteAutoScalingGroup": self._delete,
            "DeleteTags": self._untag,
            "DescribeAutoScalingGroups": self._describe,
            "DescribeScalingActivities": self._activities,
            "SetDesiredCapacity": self._update,
        }
        self.operations: dict[str, Callable[[Call], Reply]] = {
            name: partial(self._answer, operation) for name, operation in mine.items()
        }

    @staticmethod
    def _answer(
        operation: Callable[[Call, dict[str, Any]], Mapping[str, Any]], call: Call
    ) -> Reply:
        return query.reply(call, operation(call, query.read(call)))

    def notice(self, call: Call) -> None:
        """Replace instances that a call to EC2 has ended."""
        if call.operation not in _ENDS or call.via.endswith(_VIA):
            return
        for group in self._all(call.region):
            self._converge(group, "an instance was taken out of service")

    def _create(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        name = str(request["AutoScalingGroupName"])
        _check(request)
        if "LaunchTemplate" not in request:
            message = "Valid requests must contain either LaunchTemplate or another source."
            raise AwsError("ValidationError", message)
        if not request.get("VPCZoneIdentifier"):
            message = "At least one Availability Zone or VPC Subnet is required."
            raise AwsError("ValidationError", message)
        with self._lock:
            if (call.region, name) in self._groups:
                message = (
                    "AutoScalingGroup by this name already exists - A group with the name "
                    f"{name} already exists"
                )
                raise AwsError("AlreadyExists", message)
            place = f"autoScalingGroup:{uuid.uuid4()}:autoScalingGroupName/{name}"
            group = Group(
                name=name,
                region=call.region,
                arn=call.arn("autoscaling", place),
                access_key=call.access_key or "",
                via=_through(call),
                settings={key: request[key] for key in _KEPT if key in request},
                tags=list(request.get("Tags", [])),
            )
            checks.check(call.partition, group)
            self._groups[call.region, name] = group
        try:
            self._converge(group, "a user request created an AutoScalingGroup", asked=True)
        except AwsError:
            del self._groups[call.region, name]
            raise
        return {}

    def _update(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        group = self._find(call, request)
        settings = group.settings | {key: request[key] for key in _KEPT if key in request}
        if "DesiredCapacity" not in request and "DesiredCapacity" in settings:
            smallest, largest = int(settings["MinSize"]), int(settings["MaxSize"])
            desired = min(max(int(settings["DesiredCapacity"]), smallest), largest)
            settings["DesiredCapacity"] = desired
        _check(settings)
        checks.check(call.partition, replace(group, settings=settings))
        group.settings = settings
        group.access_key, group.via = call.access_key or "", _through(call)
        self._converge(group, "a user request updated the AutoScalingGroup", asked=True)
        return {}

    def _delete(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        group = self._find(call, request)
        with group.lock:
            if group.members and not request.get("ForceDelete"):
                message = (
                    "You cannot delete an AutoScalingGroup while there are instances or pending "
                    "Spot instance request(s) still in the group."
                )
                raise AwsError("ResourceInUse", message)
            group.settings |= {"MinSize": 0, "DesiredCapacity": 0}
            self._converge(group, "a user request deleted the AutoScalingGroup")
            del self._groups[call.region, group.name]
        return {}

    def _describe(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        names = set(request.get("AutoScalingGroupNames", ()))
        found = [
            group.shown()
            for group in self._all(call.region)
            if (not names or group.name in names)
            and all(_matches(group, item) for item in request.get("Filters", ()))
        ]
        size = int(request.get("MaxRecords", _PAGE))
        shown, token = page_tokens.page(found, request.get("NextToken"), size, _BAD_TOKEN)
        return {"AutoScalingGroups": shown, "NextToken": token}

    def _activities(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        groups = (
            [self._find(call, request)]
            if "AutoScalingGroupName" in request
            else self._all(call.region)
        )
        found = [activity for group in groups for activity in group.activities]
        size = int(request.get("MaxRecords", _PAGE))
        shown, token = page_tokens.page(found, request.get("NextToken"), size, _BAD_TOKEN)
        return {"Activities": shown, "NextToken": token}

    def _tag(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        self._untag(call, request)
        for tag in request["Tags"]:
            kept = {name: tag[name] for name in tag if name not in {"ResourceId", "ResourceType"}}
            self._find_named(call, tag["ResourceId"]).tags.append(kept)
        return {}

    def _untag(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        for tag in request["Tags"]:
            group = self._find_named(call, tag["ResourceId"])
            group.tags = [item for item in group.tags if item["Key"] != tag["Key"]]
        return {}

    def _all(self, region: str) -> list[Group]:
        with self._lock:
            return [group for group in self._groups.values() if group.region == region]

    def _find(self, call: Call, request: Mapping[str, Any]) -> Group:
        return self._find_named(call, str(request["AutoScalingGroupName"]))

    def _find_named(self, call: Call, name: str) -> Group:
        found = self._groups.get((call.region, name))
        if found is None:
            message = f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
            raise AwsError("ValidationError", message)
        return found

    def _converge(self, group: Group, cause: str, *, asked: bool = False) -> None:
        """Launch and terminate instances until the group has its desired capacity.

        Args:
            group: the group.
            cause: why, for the activities.
            asked: whether a caller has asked for it, and gets an error if it fails.

        Raises:
            AwsError: AccessDenied: the caller may not launch instances. ValidationError: nobody can
                launch these.
        """
        # The service looks after instances with a role of its own; it launches them for the caller.
        clients = inside.Clients(self._app, group.region, account.ACCESS_KEY, _VIA)
        launching = inside.Clients(self._app, group.region, group.access_key, group.via)
        with group.lock:
            self._drop_dead(clients("ec2"), group)
            while len(group.members) > group.desired:
                member = group.members.pop(0)
                clients("ec2").terminate_instances(InstanceIds=[member.id])
                group.record(f"Terminating EC2 instance: {member.id}", cause)
            while len(group.members) < group.desired:
                try:
                    member = launch(launching, group)
                except ClientError as error:
                    _fail(group, cause, error)
                    if asked:
                        _refuse(group, error)
                    return
                group.members.append(member)
                group.record(f"Launching a new EC2 instance: {member.id}", cause)

    @staticmethod
    def _drop_dead(ec2: Any, group: Group) -> None:
        """Forget instances that have ended, and terminate those that are stopped."""
        if not group.members:
            return
        there = [{"Name": "instance-id", "Values": [member.id for member in group.members]}]
        states = {
            item["InstanceId"]: item["State"]["Name"]
            for reservation in ec2.describe_instances(Filters=there)["Reservations"]
            for item in reservation["Instances"]
        }
        for member in group.members[:]:
            state = states.get(member.id, "terminated")
            if state in _ALIVE:
                continue
            if state != "terminated":
                ec2.terminate_instances(InstanceIds=[member.id])
            group.members.remove(member)
            why = "an instance was taken out of service in response to an EC2 health check"
            group.record(f"Terminating EC2 instance: {member.id}", f"{why}: it is {state}")


_BAD_TOKEN: Final = AwsError("InvalidNextToken", "The NextToken value is not valid.")


def _through(call: Call) -> str:
    """The services through which this one calls others for a caller, the first one first."""
    return f"{call.via},{_VIA}" if call.via else _VIA


def _fail(group: Group, cause: str, error: ClientError) -> None:
    """Record a launch that failed."""
    refused: Any = error.response["Error"]
    message = f"{refused['Message']} Launching EC2 instance failed."
    group.record("Launching a new EC2 instance", cause, message)


def _refuse(group: Group, error: ClientError) -> None:
    """Tell the caller why a launch failed, unless it may work later.

    Raises:
        AwsError: see `_converge`.
    """
    refused: Any = error.response["Error"]
    if refused["Code"] == "UnauthorizedOperation":
        name = group.settings["LaunchTemplate"].get("LaunchTemplateId", "")
        raise AwsError(
            "AccessDenied", f"You are not authorized to use launch template: {name}", 403
        )
    if _WRONG.search(refused["Code"]):
        raise checks.unusable(refused["Message"])


def _matches(group: Group, item: Mapping[str, Any]) -> bool:
    """Whether a group passes a filter, such as `tag:Name` or `tag-key`."""
    name, values = str(item["Name"]), set(item.get("Values", ()))
    if name == "tag-key":
        return any(tag["Key"] in values for tag in group.tags)
    key = name.removeprefix("tag:")
    return any(tag["Key"] == key and tag.get("Value") in values for tag in group.tags)


def _check(settings: Mapping[str, Any]) -> None:
    """Refuse sizes that do not fit each other.

    Raises:
        AwsError: ValidationError.
    """
    smallest, largest = int(settings["MinSize"]), int(settings["MaxSize"])
    desired = int(settings.get("DesiredCapacity", smallest))
    if smallest > largest:
        message = f"Max bound, {largest}, must be greater than or equal to min bound, {smallest}"
        raise AwsError("ValidationError", message)
    if not smallest <= desired <= largest:
        message = (
            f"Desired capacity:{desired} must be between the specified min size:{smallest} and "
            f"max size:{largest}"
        )
        raise AwsError("ValidationError", message)
    lifetime = int(settings.get("MaxInstanceLifetime", 0))
    if lifetime and lifetime < _SHORTEST_LIFETIME_S:
        message = "Valid requests must contain a MaxInstanceLifetime of 0 or at least 86400."
        raise AwsError("ValidationError", message)
