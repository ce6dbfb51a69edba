"""The operations of CloudFormation that read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws import page_tokens
from sm_proxy_lab.aws.cloudformation import parameters
from sm_proxy_lab.aws.cloudformation.parameters import invalid
from sm_proxy_lab.aws.cloudformation.stacks import Resource, Stack, Stacks

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_PAGE: Final = 100
Operation = Callable[["Call", "dict[str, Any]"], "Mapping[str, Any]"]


class Describe:
    """Reads the stacks."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        self.operations: dict[str, Operation] = {
            "DescribeStacks": self._describe,
            "DescribeStackEvents": self._events,
            "DescribeStackResources": self._resources,
            "ListStacks": self._list,
            "GetTemplate": self._template,
        }

    def _find(self, call: Call, request: Mapping[str, Any]) -> Stack:
        name = str(request.get("StackName", ""))
        stack = self._stacks.find(call.region, name)
        if stack is None:
            raise invalid(f"Stack with id {name} does not exist")
        return stack

    def _describe(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        if "StackName" in request:
            return {"Stacks": [_stack(self._find(call, request))]}
        alive = (item for item in self._stacks.all(call.region) if item.status != "DELETE_COMPLETE")
        shown, token = page_tokens.page(
            [_stack(item) for item in alive], request.get("NextToken"), _PAGE, _BAD_TOKEN
        )
        return {"Stacks": shown, "NextToken": token}

    def _list(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        wanted = set(request.get("StackStatusFilter", ()))
        found = [
            {
                "StackId": stack.id,
                "StackName": stack.name,
                "TemplateDescription": stack.wanted.template.description,
                "CreationTime": stack.created,
                "LastUpdatedTime": stack.updated,
                "DeletionTime": stack.deleted,
                "StackStatus": stack.status,
                "StackStatusReason": stack.reason,
                "DriftInformation": stack.drift,
            }
            for stack in self._stacks.all(call.region)
            if not wanted or stack.status in wanted
        ]
        shown, token = page_tokens.page(found, request.get("NextToken"), _PAGE, _BAD_TOKEN)
        return {"StackSummaries": shown, "NextToken": token}

    def _events(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        name = str(request.get("StackName", ""))
        stack = self._stacks.find(call.region, name)
        if stack is None:
            raise invalid(f"Stack [{name}] does not exist")
        with stack.lock:
            events = stack.events[:]
        # A token counts from the oldest event, so that new events do not move the pages.
        token = request.get("NextToken")
        try:
            end = int(page_tokens.unseal(token)) if token else len(events)
        except (TypeError, ValueError):
            raise _BAD_TOKEN from None
        start = max(end - _PAGE, 0)
        return {
            "StackEvents": events[start:end][::-1],
            "NextToken": page_tokens.seal(start) if start else None,
        }

    def _resources(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        made = request.get("PhysicalResourceId")
        if made is None:
            stack = self._find(call, request)
        else:
            holders = (
                item
                for item in self._stacks.all(call.region)
                if any(found.made and found.id == made for found in item.resources.values())
            )
            found = next(holders, None)
            if found is None:
                raise invalid(f"Stack for {made} does not exist")
            stack = found
        logical = request.get("LogicalResourceId")
        with stack.lock:
            shown = [
                _resource(stack, item)
                for item in stack.resources.values()
                if logical in {None, item.name}
            ]
        return {"StackResources": shown}

    def _template(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        stack = self._find(call, request)
        return {
            "TemplateBody": stack.wanted.template.text,
            "StagesAvailable": ["Original", "Processed"],
        }


_BAD_TOKEN: Final = invalid("Invalid NextToken")


def _stack(stack: Stack) -> dict[str, Any]:
    with stack.lock:
        return {
            "StackId": stack.id,
            "StackName": stack.name,
            "Description": stack.wanted.template.description,
            "Parameters": parameters.shown(stack.wanted.template.parameters, stack.wanted.values),
            "CreationTime": stack.created,
            "LastUpdatedTime": stack.updated,
            "DeletionTime": stack.deleted,
            "RollbackConfiguration": {},
            "StackStatus": stack.status,
            "StackStatusReason": stack.reason,
            "DisableRollback": not stack.rollback,
            "NotificationARNs": [],
            "Capabilities": list(stack.wanted.capabilities),
            "Outputs": stack.outputs,
            "Tags": [{"Key": key, "Value": text} for key, text in stack.wanted.tags.items()],
            "EnableTerminationProtection": False,
            "DriftInformation": stack.drift,
        }


def _resource(stack: Stack, item: Resource) -> dict[str, Any]:
    return {
        "StackName": stack.name,
        "StackId": stack.id,
        "LogicalResourceId": item.name,
        "PhysicalResourceId": item.id or None,
        "ResourceType": item.type,
        "Timestamp": item.changed,
        "ResourceStatus": item.status,
        "ResourceStatusReason": item.reason,
        "DriftInformation": {"StackResourceDriftStatus": item.drift},
    }
