"""Makes, changes and deletes the resources of a stack, each when those that it needs are ready.

Independent resources go side by side, as in the real service.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.cloudformation import intrinsics
from sm_proxy_lab.aws.cloudformation.resource_type import (
    Context,
    GoneError,
    Made,
    ResourceType,
    changed,
    wrong,
)
from sm_proxy_lab.aws.cloudformation.stacks import Resource, Stack, Wanted
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults

_AT_ONCE: Final = 32
_STEP_S: Final = 0.02
_MISSING: Final = re.compile(r"NotFound|NoSuch|DoesNotExist|404")
"""HeadBucket has the status in place of a code."""
_HANDLER_CODES: Final = (
    (re.compile(r"AccessDenied|Unauthorized"), "AccessDenied"),
    (_MISSING, "NotFound"),
    (re.compile(r"Already|Duplicate"), "AlreadyExists"),
    (re.compile(r"LimitExceeded"), "ServiceLimitExceeded"),
    (re.compile(r"Throttl|RequestLimit"), "Throttling"),
    (re.compile(r"Internal"), "ServiceInternalError"),
)
"""Codes of services, and those of the registry's handlers."""


class FaultError(Exception):
    """A failure that a test has asked for."""


@dataclass(frozen=True)
class Worker:
    """One operation on one stack, for one caller.

    Attributes:
        client: service -> botocore client for the caller.
    """

    stack: Stack
    types: Mapping[str, ResourceType]
    client: Callable[[str], Any]
    faults: Faults

    def make(self, wanted: Wanted) -> list[str]:
        """Create and change resources until all of `wanted` are there; stop at the first failure.

        Returns:
            The logical ids of those that failed.
        """
        return self._walk(
            {name: set(needs) for name, needs in wanted.template.needs.items()},
            lambda name: self._make(name, wanted),
        )

    def remove(
        self, resources: list[Resource], *, retain: frozenset[str] = frozenset()
    ) -> list[str]:
        """Delete resources, those that need others before these.

        Args:
            resources: what to delete.
            retain: logical ids of resources that are forgotten, not deleted.

        Returns:
            The logical ids of those that failed.
        """
        by_key = {f"{number}:{item.name}": item for number, item in enumerate(resources)}
        users = {
            key: {
                other for other, user in by_key.items() if item.name in user.needs and other != key
            }
            for key, item in by_key.items()
        }
        failed = self._walk(users, lambda key: self._remove(by_key[key], retain), go_on=True)
        return [by_key[key].name for key in failed]

    def context(self, name: str, begun: Callable[[Made], None] = lambda _: None) -> Context:
        """What the handler of a resource is given."""
        stack = self.stack
        marks = {"stack-name": stack.name, "stack-id": stack.id, "logical-id": name}
        return Context(
            client=self.client,
            region=stack.region,
            partition=stack.partition,
            stack=stack.name,
            name=name,
            tags=stack.wanted.tags,
            begun=begun,
            marks={f"aws:cloudformation:{key}": value for key, value in marks.items()},
        )

    def _walk(
        self, needs: Mapping[str, set[str]], work: Callable[[str], bool], *, go_on: bool = False
    ) -> list[str]:
        """Work on each name after those that it needs; return those that failed."""
        open_, ready, failed = dict(needs), set[str](), list[str]()
        running: dict[Future[bool], str] = {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="stack") as pool:
            while True:
                for name in [name for name, first in open_.items() if first <= ready]:
                    running[pool.submit(work, name)] = name
                    del open_[name]
                if not running:
                    return failed
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(done)
                    if done.result():
                        ready.add(name)
                    else:
                        failed.append(name)
                        if not go_on:
                            self.stack.cancelled.set()
                if self.stack.cancelled.is_set() and not go_on:
                    open_.clear()

    def _make(self, name: str, wanted: Wanted) -> bool:
        """Create or change one resource; whether it is as wanted."""
        stack, kind = self.stack, wanted.template.type_of(name)
        resource = stack.resources.get(name)
        try:
            properties = intrinsics.resolve(
                dict(wanted.template.resources[name].get("Properties", {})),
                lambda ref, attribute: stack.lookup(wanted, ref, attribute),
            )
        except AwsError as error:
            stack.report_resource(self._new(name, wanted), "CREATE_FAILED", error.message)
            return False
        told = wrong(self.types[kind], properties)
        words = f"Properties validation failed for resource {name} with message:\n{told}"
        if resource is None or resource.made is None or resource.type != kind:
            if told:
                stack.report_resource(self._new(name, wanted), "CREATE_FAILED", words)
                return False
            return self._create(self._new(name, wanted), properties)
        if told:
            stack.report_resource(resource, "UPDATE_FAILED", words)
            return False
        resource.needs = wanted.template.needs[name]
        different = changed(resource.properties, properties)
        if different - self.types[kind].in_place:
            reason = (
                "Requested update requires the creation of a new physical resource; "
                "hence creating one."
            )
            stack.report_resource(resource, "UPDATE_IN_PROGRESS", reason)
            return self._create(self._new(name, wanted), properties, "UPDATE")
        return not different or self._update(resource, properties)

    def _new(self, name: str, wanted: Wanted) -> Resource:
        """Give the stack a new resource, perhaps in the place of one that exists."""
        item = wanted.template.resources[name]
        kept = item.get("DeletionPolicy") == "Retain"
        new = Resource(name, item["Type"], wanted.template.needs[name], kept=kept)
        with self.stack.lock:
            old = self.stack.resources.get(name)
            if old is not None and old.made is not None:
                self.stack.replaced.append(old)
            self.stack.resources[name] = new
        return new

    def _create(
        self, resource: Resource, properties: Mapping[str, Any], verb: str = "CREATE"
    ) -> bool:
        resource.properties = properties
        if verb == "CREATE":
            self.stack.report_resource(resource, "CREATE_IN_PROGRESS")

        def begun(made: Made) -> None:
            is_new, resource.made, resource.id = resource.made is None, made, made.id
            if is_new:
                reason = "Resource creation Initiated"
                self.stack.report_resource(resource, f"{verb}_IN_PROGRESS", reason)

        def create() -> None:
            context = self.context(resource.name, begun)
            begun(self.types[resource.type].create(context, properties))

        return self._attempt(resource, verb, create)

    def _update(self, resource: Resource, properties: Mapping[str, Any]) -> bool:
        old, made = resource.properties, resource.made
        self.stack.report_resource(resource, "UPDATE_IN_PROGRESS")

        def update() -> None:
            if made is not None:
                context = self.context(resource.name)
                kind = self.types[resource.type]
                resource.made = kind.update(context, made, old, properties)
                resource.id = resource.made.id
                resource.properties = properties

        return self._attempt(resource, "UPDATE", update)

    def _remove(self, resource: Resource, retain: frozenset[str]) -> bool:
        made, stack = resource.made, self.stack
        if resource.kept or resource.name in retain:
            stack.report_resource(resource, "DELETE_SKIPPED")
        elif made is None:
            stack.report_resource(resource, "DELETE_COMPLETE")
        else:
            stack.report_resource(resource, "DELETE_IN_PROGRESS")
            kind = self.types[resource.type]
            if not self._attempt(
                resource,
                "DELETE",
                lambda: kind.delete(self.context(resource.name), made, resource.properties),
            ):
                return False
        resource.made = None
        return True

    def _attempt(self, resource: Resource, verb: str, work: Callable[[], None]) -> bool:
        """Do the work on a resource, and report how it ended; whether it went well."""
        stack = self.stack
        try:
            self._check_fault(resource, verb)
            work()
        except Exception as error:  # noqa: BLE001 - each failure is an event of the resource
            # A resource that was deleted elsewhere counts as deleted.
            if verb != "DELETE" or not is_gone(error):
                stack.report_resource(resource, f"{verb}_FAILED", _describe(error, resource.type))
                return False
        if self._was_cancelled(verb):
            noun = "creation" if verb == "CREATE" else "update"
            stack.report_resource(resource, f"{verb}_FAILED", f"Resource {noun} cancelled")
            return False
        stack.report_resource(resource, f"{verb}_COMPLETE")
        return True

    def _was_cancelled(self, verb: str) -> bool:
        """Let time pass as a test has asked for; whether a cancellation has ended it."""
        began = time.monotonic()
        while time.monotonic() - began < self.faults["stack_delay_ms"] / 1000:
            if verb != "DELETE" and self.stack.cancelled.is_set():
                return True
            time.sleep(_STEP_S)
        return False

    def _check_fault(self, resource: Resource, verb: str) -> None:
        """Fail if a test has asked for it.

        Raises:
            FaultError: It has.
        """
        before = "" if verb == "CREATE" else f"{verb.lower()}:"
        for key in (resource.name, resource.type):
            if message := self.faults["stack"].get(before + key):
                raise FaultError(message)


def is_gone(error: Exception) -> bool:
    """Whether an error says that the resource does not exist."""
    return isinstance(error, GoneError) or _MISSING.search(_code(error)) is not None


def _code(error: Exception) -> str:
    """The code of a service's refusal; empty for other errors."""
    response: Any = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _describe(error: Exception, kind: str) -> str:
    """The reason for a failure, as CloudFormation writes it for its handlers."""
    response: Any = getattr(error, "response", None)
    if response is None:
        if not isinstance(error, FaultError):
            traceback.print_exception(error, file=sys.stderr)
        detail, handler_code = str(error), "GeneralServiceException"
    else:
        code, meta = _code(error), response["ResponseMetadata"]
        service, status = kind.split("::")[1].capitalize(), meta["HTTPStatusCode"]
        detail = (
            f"{response['Error'].get('Message', code)} (Service: {service}, "
            f"Status Code: {status}, Request ID: {meta.get('RequestId', '')})"
        )
        found = (name for pattern, name in _HANDLER_CODES if pattern.search(code))
        handler_code = next(found, "InvalidRequest")
    return (
        f'Resource handler returned message: "{detail}" '
        f"(RequestToken: {uuid.uuid4()}, HandlerErrorCode: {handler_code})"
    )
