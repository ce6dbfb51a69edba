"""The life of a stack: creation, update and deletion, with what comes after a failure.

Each runs in a thread of its own, while DescribeStacks shows how far it is.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sm_proxy_lab.aws.cloudformation import intrinsics
from sm_proxy_lab.aws.cloudformation.stacks import Resource, Stack, Wanted, now
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.cloudformation.engine import Worker

_BY_USER: Final = "User Initiated"


def start(work: Callable[[], None], stack: Stack) -> None:
    """Run an operation on a stack in a thread; it waits until the one before it has ended."""

    def run() -> None:
        with stack.running:
            try:
                work()
            except Exception:  # noqa: BLE001 - a bug of the lab must not leave the stack in progress
                traceback.print_exc(file=sys.stderr)
                verb = stack.status.partition("_")[0]
                stack.report(f"{verb}_FAILED", "Internal Failure")

    threading.Thread(target=run, name=f"stack {stack.name}", daemon=True).start()


def create(worker: Worker, on_failure: str) -> None:
    """Make all resources of a new stack.

    Args:
        worker: does the work.
        on_failure: `ROLLBACK`, `DELETE` or `DO_NOTHING`.
    """
    stack = worker.stack
    failed = worker.make(stack.wanted)
    if stack.status == "DELETE_IN_PROGRESS":  # asked for meanwhile; what deletes it waits for us
        return
    if not failed and not (failed := _set_outputs(stack)):
        stack.report("CREATE_COMPLETE")
        return
    reason = f"The following resource(s) failed to create: [{', '.join(failed)}]. "
    if on_failure == "DO_NOTHING":
        stack.report("CREATE_FAILED", reason)
        return
    verb = "DELETE" if on_failure == "DELETE" else "ROLLBACK"
    asked = "Delete" if on_failure == "DELETE" else "Rollback"
    stack.report(f"{verb}_IN_PROGRESS", f"{reason}{asked} requested by user.")
    _end(stack, verb, worker.remove(list(stack.resources.values())))


def update(worker: Worker, before: Wanted) -> None:
    """Update the resources of a stack to its new template; roll back to `before` on a failure."""
    stack = worker.stack
    failed = worker.make(stack.wanted)
    if not failed and not (failed := _set_outputs(stack)):
        stack.report("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        _clean_up(worker)
        stack.report("UPDATE_COMPLETE")
        return
    reason = f"The following resource(s) failed to update: [{', '.join(failed)}]. "
    stack.report("UPDATE_ROLLBACK_IN_PROGRESS", reason)
    stack.cancelled.clear()
    with stack.lock:
        stack.wanted = before
        for old in stack.replaced[:]:
            new, stack.resources[old.name] = stack.resources[old.name], old
            stack.replaced.remove(old)
            stack.replaced.append(new)
    failed = worker.make(before)
    if failed:
        stack.report("UPDATE_ROLLBACK_FAILED", reason)
        return
    _set_outputs(stack)
    stack.report("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
    _clean_up(worker)
    stack.report("UPDATE_ROLLBACK_COMPLETE")


def delete(worker: Worker, retain: frozenset[str]) -> None:
    """Delete the resources that are left."""
    stack = worker.stack
    left = [item for item in stack.resources.values() if item.status != "DELETE_COMPLETE"]
    _end(stack, "DELETE", worker.remove(left, retain=retain))


def _end(stack: Stack, verb: str, failed: list[str]) -> None:
    if failed:
        reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
        stack.report(f"{verb}_FAILED", reason)
        return
    if verb == "DELETE":
        stack.deleted = now()
    stack.report(f"{verb}_COMPLETE")


def _clean_up(worker: Worker) -> None:
    """Delete what the stack no longer has; what cannot be deleted is left behind."""
    stack = worker.stack
    names = stack.wanted.template.resources
    gone: list[Resource] = [item for item in stack.resources.values() if item.name not in names]
    worker.remove([*gone, *stack.replaced])
    with stack.lock:
        stack.replaced.clear()
        for item in gone:
            del stack.resources[item.name]


def _set_outputs(stack: Stack) -> list[str]:
    """Evaluate the outputs; return the names of those that have no value."""
    failed: list[str] = []
    outputs: list[dict[str, str]] = []
    for name, item in stack.wanted.template.outputs.items():
        try:
            value = intrinsics.resolve(
                item["Value"], lambda ref, attribute: stack.lookup(stack.wanted, ref, attribute)
            )
        except AwsError:
            failed.append(name)
            continue
        outputs.append({"OutputKey": name, "OutputValue": str(value)})
        if item.get("Description"):
            outputs[-1]["Description"] = item["Description"]
    stack.outputs = outputs
    return failed
