"""`sm-proxy infra deploy`: makes the stack, or brings it up to date."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sm_proxy.commands import infra_options, infra_recorded, infra_run, options
from sm_proxy.commands.infra_run import Run
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import bastion, changes, config_file, costs, deploy, events
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.bastion import Bastion
from sm_proxy.infra.changes import Deployed
from sm_proxy.infra.costs import Cost
from sm_proxy.infra.deploy import Request
from sm_proxy.infra.plan import Plan
from sm_proxy.infra.stack import Stack
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.routes import bastion_lookup
from sm_proxy.settings import Settings

_NETWORK: Final = frozenset({"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup"})

DESCRIPTION: Final = (
    "Makes the stack, or brings it up to date. It shows what it will make and what that "
    "costs, and asks first."
)
EXAMPLES: Final = (
    ("sm-proxy infra deploy", "three zones, one NAT gateway"),
    ("sm-proxy infra deploy --nat none", "endpoints instead of a way out"),
    ("sm-proxy infra deploy --vpc vpc-0abc123", "in a network that you have"),
)
USES: Final = options.USES_AWS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`infra deploy [options of the plan] [--yes] [--price NAME=USD] [--timeout D] [--json]`."""
    infra_recorded.add_plan(parser)
    infra_options.add_prices(parser)
    infra_run.add_arguments(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Make the stack, update it, or go on showing what CloudFormation does with it.

    Data: `{"stack", "region", "status", "changed", "plan", "outputs", "bastion", "cost",
    "config"}`.
    """
    with Interruptible("nothing has begun") as left:
        return _Deployment(Run.of(args, settings, left), args).run()


class _Deployment:
    """One run of `deploy`."""

    def __init__(self, run: Run, args: argparse.Namespace) -> None:
        self._run = run
        self._args = args
        self._aws = run.aws

    def run(self) -> Result:
        """From the stack's status to the result."""
        name = self._run.name
        found = stacks.find(self._aws, name)
        if found is not None and deploy.step_of(found) == "attach":
            found = self._attach(found)
        step = deploy.step_of(found)
        deployed: dict[str, Any] = {}
        if found is not None:
            deployed = stacks.template(self._aws, name)
            stacks.refuse_foreign(found, lambda: deployed)
        recorded = deploy.recorded(deployed, self._aws.region, name)
        plan = infra_recorded.plan_of(self._args, self._run.settings, self._aws, recorded)
        if found is not None and step == "compare":
            wanted = deploy.request(plan, paused=found.paused)
            made = self._updated(found, deployed, wanted)
        else:
            wanted = deploy.request(plan)
            made = self._created(found, wanted)
        if made is None:
            text = f"the stack {name} was not changed" if found else "nothing was made"
            return Result({"stack": name, "changed": False}, text, exit_status=1)
        return self._finished(plan, *made)

    def _attach(self, found: Stack) -> Stack | None:
        """Go on showing what CloudFormation does; the stack then, None if it is gone."""
        output.status(f"the stack {found.name} is {found.status}; its events follow")
        return self._run.succeeded(found)

    def _created(self, found: Stack | None, wanted: Request) -> tuple[Stack, bool] | None:
        """The new stack; None if the user does not want it."""
        if found is not None:
            why = events.failure(
                found.name, found.status, events.of_operation(self._aws, found.id), found.reason
            )
            output.status(f"the last attempt failed: {why.message}")
            output.status(why.hint)
        output.status(f"what it makes in {self._run.place}: {wanted.summary}")
        if wanted.over_quota:
            output.status(wanted.over_quota)
        self._tell_cost(_cost(wanted.plan, self._args))
        first = f"Delete what is left of {found.name}, and make it again?" if found else "Make it?"
        if not self._run.confirmed(first):
            return None
        if found is not None:
            self._delete(found)
        self._run.left.words = (
            f"the stack may have been made in part; to continue: {self._run.again}"
        )
        return self._run.completed(deploy.create(self._aws, wanted)), True

    def _delete(self, found: Stack) -> None:
        """Remove a stack whose creation failed: CloudFormation can do nothing else with it."""
        last = events.newest(self._aws, found.id)
        stacks.delete(self._aws, found)
        self._run.succeeded(replace(found, status="DELETE_IN_PROGRESS"), last)

    def _updated(
        self, found: Stack, deployed: Mapping[str, Any], wanted: Request
    ) -> tuple[Stack, bool] | None:
        """The updated stack, and whether it was changed; None if the user says no."""
        nothing = f"the stack {found.name} is {found.status} and up to date: nothing to do"
        differing = changes.between(Deployed(deployed, found.parameters), wanted.deployed)
        if not differing:
            output.status(nothing)
            return found, False
        output.status(f"what changes in {self._run.place}:")
        for change in differing:
            output.status(f"- {change.line}")
        if any(
            item.action in {"remove", "replace"} and item.type in _NETWORK for item in differing
        ):
            output.status(
                "AWS removes no subnet and no group that a job is in: end such jobs first"
            )
        if any(item.logical_id == "BastionTemplate" for item in differing) and not found.paused:
            output.status(
                "the running bastion keeps its type and image until it is replaced; to replace"
                " it after this update: `sm-proxy infra pause`, then `sm-proxy infra resume`"
            )
        self._tell_cost(_cost(wanted.plan, self._args))
        if not self._run.confirmed("Change it?"):
            return None
        last = events.newest(self._aws, found.id)
        if not deploy.update(self._aws, wanted):
            output.status(nothing)
            return found, False
        return self._run.completed(replace(found, status="UPDATE_IN_PROGRESS"), last), True

    def _tell_cost(self, cost: Cost) -> None:
        output.status(f"what it costs: {cost.text}")
        for line in cost.details:
            output.status(f"- {line}")

    def _finished(self, plan: Plan, stack: Stack, changed: bool) -> Result:
        """Wait for the bastion, then write config.toml."""
        self._run.left.words = f"the stack {stack.name} is complete; to go on: {self._run.again}"
        found = self._bastion(stack)
        data = {
            "stack": stack.name,
            "region": self._aws.region,
            "status": stack.status,
            "changed": changed,
            "plan": plan.as_data(),
            "outputs": dict(stack.outputs),
            "bastion": found.as_data,
            "cost": _cost(plan, self._args, paused=stack.paused).as_data,
            "config": None,
        }
        subnets = stack.output("Subnets").split(",")
        try:
            path = config_file.write_launch(self._aws.region, subnets, [stack.output("JobGroup")])
        except SmProxyError as error:
            return Result(data, exit_status=1, failure=error)
        output.status(f"{path}: jobs of `launch` and `relaunch` get this network")
        self._warn_of_other_bastion(stack)
        return Result({**data, "config": str(path)}, _next_steps(stack, found))

    def _bastion(self, stack: Stack) -> Bastion:
        group = stack.output("Bastion")
        if stack.paused:
            output.status("the bastion is paused: `sm-proxy infra resume` starts one")
            return bastion.look(self._aws, group)
        return bastion.wait_until_online(
            self._aws, group, self._run.deadline, output.status, self._run.again
        )

    def _warn_of_other_bastion(self, stack: Stack) -> None:
        """A bastion that the user has named comes before the tagged one, and may be elsewhere."""
        named = self._run.settings.bastion
        if not named:
            return
        answer = self._aws.call_if_allowed("ec2", "DescribeInstances", InstanceIds=[named])
        found = bastion_lookup.instances(answer or {})
        if not found or found[0].get("VpcId") != stack.output("VpcId"):
            output.status(
                f"the bastion {named}, which your settings name, is not in {stack.output('VpcId')}:"
                " ssh to jobs there fails. Remove `bastion` from config.toml, or SM_PROXY_BASTION:"
                " sm-proxy finds the bastion of each VPC by its tag"
            )


def _next_steps(stack: Stack, found: Bastion) -> tuple[str, ...]:
    words = "its bastion is paused" if stack.paused else f"its bastion is {found.words}"
    return (
        f"the stack {stack.name} is complete; {words}",
        f"the role for your jobs: {stack.output('JobRole')}",
        "next, once on each laptop: sm-proxy setup",
        "to build an image with ssh: sm-proxy image build DIR --repository NAME:TAG",
        "to start jobs with ssh: sm-proxy launch -- python YOUR_SCRIPT.py",
    )


def _cost(plan: Plan, args: argparse.Namespace, *, paused: bool = False) -> Cost:
    return costs.of(plan, dict(args.price), bastions=0 if paused else 1)
