"""Checks of the bastion: it is tagged, it runs, its agent is online."""

from __future__ import annotations

import contextlib
from typing import Any

from sm_proxy.aws.errors import ServiceError
from sm_proxy.doctor.check import Context, DoubtfulCheck, SkipCheck, needed
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.subnets import describe_subnets
from sm_proxy.routes import bastion_lookup


def running(context: Context) -> str:
    """A bastion is named or tagged, and runs."""
    wanted = context.settings.bastion
    if wanted:
        found = _instances(context, InstanceIds=[wanted])
    else:
        filters = [bastion_lookup.TAG_FILTER]
        if context.job is not None:
            if not context.job.subnets:
                raise SkipCheck("the job runs outside a VPC")
            vpc_id = describe_subnets(context.aws, context.job.subnets).vpc_id
            filters.append({"Name": "vpc-id", "Values": [vpc_id]})
        found = _instances(context, Filters=filters)
    states = {item["InstanceId"]: item.get("State", {}).get("Name", "?") for item in found}
    up = sorted(name for name, state in states.items() if state == "running")
    if not up:
        raise _no_bastion(context, states)
    serving = _serving(context, up)
    context.hop = next(item for item in found if item["InstanceId"] == serving)
    return serving


def _serving(context: Context, up: list[str]) -> str:
    """The bastion that a connection would use; the first one if it would use none."""
    if len(up) > 1:
        with contextlib.suppress(SmProxyError):
            return bastion_lookup.first_usable(context.aws, up)
    return up[0]


def _no_bastion(context: Context, states: dict[str, str]) -> SmProxyError:
    stopped = [name for name, state in states.items() if state in {"stopped", "stopping"}]
    shown = ", ".join(f"{name} is {state}" for name, state in states.items())
    where = f" --region {context.aws.region}"
    if stopped:
        start = f"aws ec2 start-instances --instance-ids {stopped[0]}{where}"
        return SmProxyError("no-bastion", f"the bastion is not running: {shown}", start)
    if named := context.settings.bastion:
        what = f"there is no instance {named} in {context.aws.region}"
        return SmProxyError("no-bastion", what, "Name another with --bastion.")
    what = f"no instance has the tag {bastion_lookup.TAG}={bastion_lookup.TAG_VALUE}"
    pair = f"Key={bastion_lookup.TAG},Value={bastion_lookup.TAG_VALUE}"
    tag = f"aws ec2 create-tags --tags {pair}{where} --resources ID"
    hint = f"{bastion_lookup.MAKE_HINT} Or tag an instance: {tag}"
    return SmProxyError("no-bastion", what, hint)


def agent(context: Context) -> str:
    """The agent is online in SSM, and new enough."""
    target = needed(context.hop, "the bastion")["InstanceId"]
    known = information(context, target)
    status = known.get("PingStatus", "unknown to SSM")
    if status != "Online":
        raise SmProxyError(
            "bastion-offline",
            f"the agent of {target} is {status}",
            "Its instance profile needs AmazonSSMManagedInstanceCore; then restart it with: "
            f"aws ec2 reboot-instances --instance-ids {target} --region {context.aws.region}",
        )
    version = str(known.get("AgentVersion") or "")
    if bastion_lookup.is_too_old(known):
        oldest = ".".join(map(str, bastion_lookup.OLDEST_AGENT))
        raise SmProxyError(
            "agent-too-old",
            f"the agent of {target} has version {version}, but it needs {oldest} or newer",
            f"aws ssm send-command --document-name AWS-UpdateSSMAgent --instance-ids {target}"
            f" --region {context.aws.region}",
        )
    return f"Online, version {version or 'unknown'}"


def information(context: Context, target: str) -> dict[str, Any]:
    """SSM's information on an instance; empty if SSM does not know it.

    Raises:
        SkipCheck: the call fails or is denied.
    """
    try:
        answer = context.aws.call(
            "ssm",
            "DescribeInstanceInformation",
            Filters=[{"Key": "InstanceIds", "Values": [target]}],
        )
    except ServiceError as error:
        raise DoubtfulCheck(f"SSM does not answer: {error.error}") from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        raise DoubtfulCheck("ssm:DescribeInstanceInformation is denied") from None
    return next(iter(answer.get("InstanceInformationList", [])), {})


def _instances(context: Context, **asked: Any) -> list[dict[str, Any]]:
    try:
        answer = context.aws.call("ec2", "DescribeInstances", **asked)
    except ServiceError as error:
        if error.error.startswith("InvalidInstanceID"):
            return []
        raise error.as_failure() from None
    except SmProxyError as error:
        if error.code != "access-denied" or not context.settings.bastion:
            raise
        context.hop = {"InstanceId": context.settings.bastion}
        raise DoubtfulCheck(
            "ec2:DescribeInstances is denied; the settings name the bastion"
        ) from None
    return bastion_lookup.instances(answer)
