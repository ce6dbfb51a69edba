"""The operations that change stacks. `describe.py` has those that read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws import inside
from sm_proxy_lab.aws.cloudformation import operations, parameters, template
from sm_proxy_lab.aws.cloudformation.describe import Describe
from sm_proxy_lab.aws.cloudformation.drift import Drift
from sm_proxy_lab.aws.cloudformation.engine import Worker
from sm_proxy_lab.aws.cloudformation.parameters import invalid
from sm_proxy_lab.aws.cloudformation.stacks import Stack, Stacks, Wanted, now
from sm_proxy_lab.aws.cloudformation.types import TYPES
from sm_proxy_lab.aws.http import query
from sm_proxy_lab.aws.http.errors import AwsError, Reply

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call

_LONGEST_BODY: Final = 51_200
_NAME: Final = "[a-zA-Z][-a-zA-Z0-9]*"
_LONGEST_NAME: Final = 128
_UPDATABLE: Final = re.compile(r"(CREATE|UPDATE|UPDATE_ROLLBACK)_COMPLETE|UPDATE_FAILED")
_DELETABLE: Final = re.compile(r".*(_COMPLETE|_FAILED)|(CREATE|DELETE|ROLLBACK)_IN_PROGRESS")
_MOST_TAGS: Final = 50
_CAPABILITIES: Final = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_ON_FAILURE: Final = ("ROLLBACK", "DELETE", "DO_NOTHING")


class Requests:
    """Answers the requests to CloudFormation."""

    def __init__(self, app: inside.App, faults: Faults) -> None:
        self._app = app
        self._faults = faults
        self._stacks = Stacks()
        self._operations: dict[str, Callable[[Call, dict[str, Any]], Mapping[str, Any]]] = {
            "CreateStack": self._create,
            "UpdateStack": self._update,
            "DeleteStack": self._delete,
            "ValidateTemplate": _validate,
            **Describe(self._stacks).operations,
            **Drift(self._stacks, self._worker).operations,
        }

    def answer(self, call: Call) -> Reply:
        """Answer a call.

        Raises:
            AwsError: The refusal.
        """
        return query.reply(call, self._operations[call.operation](call, query.read(call)))

    def _worker(self, call: Call, stack: Stack) -> Worker:
        """What works on a stack with the permissions of a call's caller."""
        key = call.access_key or ""
        client = inside.Clients(self._app, stack.region, key, "cloudformation")
        return Worker(stack, TYPES, client, self._faults)

    def _create(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        name = str(request.get("StackName", ""))
        if len(name) > _LONGEST_NAME or re.fullmatch(_NAME, name) is None:
            raise _constraint("stackName", name, f"satisfy regular expression pattern: {_NAME}")
        with self._stacks.lock:
            if self._stacks.find(call.region, name) is not None:
                raise AwsError("AlreadyExistsException", f"Stack [{name}] already exists")
            stack = Stack(call.region, call.partition, name, _wanted(request, None))
            on_failure = str(request.get("OnFailure", "ROLLBACK"))
            if on_failure not in _ON_FAILURE:
                demand = f"satisfy enum value set: [{', '.join(_ON_FAILURE)}]"
                raise _constraint("onFailure", on_failure, demand)
            if "OnFailure" in request and "DisableRollback" in request:
                raise invalid("You can specify either DisableRollback or OnFailure, but not both.")
            if request.get("DisableRollback"):
                on_failure = "DO_NOTHING"
            stack.rollback = on_failure != "DO_NOTHING"
            stack.token = request.get("ClientRequestToken")
            stack.report("CREATE_IN_PROGRESS", "User Initiated")
            self._stacks.add(stack)
        worker = self._worker(call, stack)
        operations.start(lambda: operations.create(worker, on_failure), stack)
        return {"StackId": stack.id}

    def _update(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        name = str(request.get("StackName", ""))
        with self._stacks.lock:
            stack = self._stacks.find(call.region, name)
            if stack is None:
                raise invalid(f"Stack [{name}] does not exist")
            if _UPDATABLE.fullmatch(stack.status) is None:
                words = f"is in {stack.status} state and can not be updated."
                raise invalid(f"Stack:{stack.id} {words}")
            before, wanted = stack.wanted, _wanted(request, stack.wanted)
            if wanted.same_as(before):
                raise invalid("No updates are to be performed.")
            stack.token = request.get("ClientRequestToken")
            stack.cancelled.clear()
            stack.wanted, stack.updated = wanted, now()
            stack.report("UPDATE_IN_PROGRESS", "User Initiated")
        worker = self._worker(call, stack)
        operations.start(lambda: operations.update(worker, before), stack)
        return {"StackId": stack.id}

    def _delete(self, call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
        with self._stacks.lock:
            stack = self._stacks.find(call.region, str(request.get("StackName", "")))
            if stack is None or stack.status in {"DELETE_COMPLETE", "DELETE_IN_PROGRESS"}:
                return {}
            retain = frozenset(map(str, request.get("RetainResources", ())))
            if retain and stack.status != "DELETE_FAILED":
                words = "specify RetainResources only when the stack is in DELETE_FAILED state"
                raise invalid(f"Invalid operation on stack [{stack.id}]: {words}")
            if _DELETABLE.fullmatch(stack.status) is None:
                words = f"cannot be deleted while in status {stack.status}"
                raise invalid(f"Stack [{stack.id}] {words}")
            stack.token = request.get("ClientRequestToken")
            stack.report("DELETE_IN_PROGRESS", "User Initiated")
            stack.cancelled.set()  # a creation under way ends
        worker = self._worker(call, stack)
        operations.start(lambda: operations.delete(worker, retain), stack)
        return {}


def _validate(_call: Call, request: dict[str, Any]) -> Mapping[str, Any]:
    found = read_template(str(request.get("TemplateBody", "")))
    shown = [
        {
            "ParameterKey": name,
            "DefaultValue": rules.get("Default"),
            "NoEcho": bool(rules.get("NoEcho", False)),
            "Description": rules.get("Description"),
        }
        for name, rules in found.parameters.items()
    ]
    answer = {"Parameters": shown, "Description": found.description}
    if not found.capabilities:
        return answer
    made = sorted({kind for kind in map(found.type_of, found.resources) if "::IAM::" in kind})
    reason = f"The following resource(s) require capabilities: [{', '.join(made)}]"
    return {**answer, "Capabilities": found.capabilities, "CapabilitiesReason": reason}


def _wanted(request: Mapping[str, Any], before: Wanted | None) -> Wanted:
    """What a request wants its stack to be.

    Raises:
        AwsError: ValidationError, or InsufficientCapabilitiesException.
    """
    if "TemplateBody" in request:
        found = read_template(str(request["TemplateBody"]))
    elif before is not None and request.get("UsePreviousTemplate"):
        found = before.template
    else:
        raise invalid("Either Template URL or Template Body must be specified.")
    values = parameters.values(
        found.parameters, request.get("Parameters", ()), before.values if before else {}
    )
    given = set(request.get("Capabilities", ()))
    if given - set(_CAPABILITIES):
        demand = f"satisfy enum value set: [{', '.join(_CAPABILITIES)}]"
        raise _constraint("capabilities", f"[{', '.join(sorted(given))}]", demand)
    for needed in found.capabilities:
        if needed not in given and "CAPABILITY_NAMED_IAM" not in given:
            message = f"Requires capabilities : [{needed}]"
            raise AwsError("InsufficientCapabilitiesException", message)
    tags = request.get("Tags")
    if tags is None:
        named = before.tags if before else {}
    else:
        named = {str(tag["Key"]): str(tag["Value"]) for tag in tags}
        if any(key.lower().startswith("aws:") for key in named):
            raise invalid("aws: prefixed tag key names are not allowed for external use.")
        if len(named) > _MOST_TAGS:
            demand = f"have length less than or equal to {_MOST_TAGS}"
            raise _constraint("tags", str(tags), demand)
    kept = before.capabilities if before else ()
    return Wanted(found, values, named, tuple(request.get("Capabilities", kept)))


def read_template(body: str) -> template.Template:
    """Parse the body of a template.

    Raises:
        AwsError: ValidationError: it is too long, or not valid.
    """
    if len(body.encode()) > _LONGEST_BODY:
        demand = f"have length less than or equal to {_LONGEST_BODY}"
        raise _constraint("templateBody", body, demand)
    return template.parse(body, TYPES)


def _constraint(where: str, value: str, demand: str) -> AwsError:
    return invalid(
        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: "
        f"Member must {demand}"
    )
