"""The policy of administrators is enough to make, change and delete the stack in the lab."""

from __future__ import annotations

from dataclasses import replace

from sm_proxy.infra import policies
from tests.lab.aws.cloudformation.helpers import Stack, body, network
from tests.lab.aws.harness import REGION, Lab
from tests.lab.aws.iam import identities

SCOPE = policies.Scope("aws", REGION, "123456789012")


def stack_of_an_administrator(lab: Lab) -> Stack:
    rows = [row.as_json() for row in policies.statements("admin", SCOPE)]
    role = identities.make_role(lab, *rows)
    stack = Stack(lab, REGION)
    stack.name = SCOPE.stack
    stack.client = identities.client(lab, "cloudformation", identities.session(lab, role))
    return stack


def tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def test_an_administrator_makes_changes_and_deletes_the_stack(lab: Lab) -> None:
    """The change is one of routes, of a group, of a rule, of policies and of tags."""
    stack = stack_of_an_administrator(lab)
    wanted = network(2, "one")
    stack.create(body(wanted), Tags=tags(stack=SCOPE.stack, old="1"))
    assert stack.ended()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    changed = body(replace(wanted, nat="per-zone", bastion_days=60, data_buckets=("data-1",)))
    changed = changed.replace("SSH from the bastion", "ssh from the bastion")
    ended = stack.update(changed, Tags=tags(stack=SCOPE.stack, new="1"))
    assert ended["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    assert stack.delete()["StackStatus"] == "DELETE_COMPLETE", stack.reasons()
