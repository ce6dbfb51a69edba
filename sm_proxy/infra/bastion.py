"""The bastion of a stack: the one instance of its Auto Scaling group, and its state in SSM."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sm_proxy.aws import asking
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import waits
from sm_proxy.local.waits import Wait
from sm_proxy.routes import bastion_lookup
from sm_proxy.settings.deadline import Deadline

_POLL_S: Final = (2.0, 4.0)
_SURE: Final = 3
"""After this many looks we believe that the group was set to no instance."""
_ALIVE: Final = ("Pending", "InService")
ONLINE: Final = "Online"


@dataclass(frozen=True)
class Bastion:
    """Its current state.

    Attributes:
        wanted: the group's desired number of instances: 0 while it is paused; None if somebody
            has deleted the group.
        instance: its id; empty if there is none.
        ping: SSM's PingStatus, such as `Online`; empty if SSM does not know the instance, None if
            these credentials may not ask.
        launched: when the instance was launched.
        replaced_by: when the group replaces it at the latest.
    """

    wanted: int | None
    instance: str = ""
    ping: str | None = ""
    launched: datetime | None = None
    replaced_by: datetime | None = None

    @property
    def online(self) -> bool:
        """Whether Session Manager reaches it, as far as SSM tells."""
        return self.ping == ONLINE

    @property
    def words(self) -> str:
        """For people."""
        if self.wanted is None:
            return "its group is gone"
        if not self.instance:
            return "its instance is not launched yet" if self.wanted else "paused"
        if self.ping is None:
            return f"{self.instance}: these credentials may not ask SSM whether it is online"
        return f"{self.instance}: {self.ping or 'SSM does not know it yet'}"

    @property
    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "instance": self.instance or None,
            "online": None if self.ping is None else self.online,
            "paused": self.wanted == 0,
            "launched": self.launched.isoformat() if self.launched else None,
            "replaced_by": self.replaced_by.isoformat() if self.replaced_by else None,
        }


def look(aws: Aws, group: str) -> Bastion:
    """Ask about the bastion: three calls.

    Args:
        aws: for the calls.
        group: the name of its Auto Scaling group.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    found = _group(aws, group)
    if found is None:
        return Bastion(wanted=None)
    wanted = int(found.get("DesiredCapacity", 0))
    alive = [item for item in _instances(found) if item.state.startswith(_ALIVE)]
    if not alive:
        return Bastion(wanted)
    # While an old one is replaced there are two; the last is the new one.
    instance = alive[-1].id
    agents = bastion_lookup.agents(aws, [instance])
    ping = None if agents is None else str(agents.get(instance, {}).get("PingStatus", ""))
    launched = _launched(aws, instance)
    days = found.get("MaxInstanceLifetime")
    until = launched + timedelta(seconds=int(days)) if launched and days else None
    return Bastion(wanted, instance, ping, launched, until)


def instances(aws: Aws, group: str) -> tuple[str, ...]:
    """The ids of all instances of the group, also of those that are ending.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    return tuple(item.id for item in _instances(_group(aws, group) or {}))


def wait_until_online(
    aws: Aws, group: str, deadline: Deadline, say: Callable[[str], None], again: str
) -> Bastion:
    """Wait until Session Manager reaches the bastion.

    Args:
        aws: for the calls.
        group: the name of its Auto Scaling group.
        deadline: when to give up.
        say: takes a line whenever something changes.
        again: the command that continues the wait.

    Raises:
        SmProxyError: `bastion-offline`, after the deadline, or if no bastion will be launched; as
            `look`.
    """
    with waits.waiting("waiting until the bastion is online in SSM", deadline.left) as wait:
        return _online(aws, group, deadline, functools.partial(_report, wait, say), again)


def _report(wait: Wait, say: Callable[[str], None], words: str) -> None:
    wait.tell(f"waiting until the bastion is online in SSM; {words}", say)


def _online(
    aws: Aws, group: str, deadline: Deadline, tell: Callable[[str], None], again: str
) -> Bastion:
    looks = 0
    while True:
        try:
            found = look(aws, group)
            if found.online or found.ping is None:
                return found
            trouble = "" if found.instance else _trouble(aws, group)
        except SmProxyError as error:
            if not error.passing or deadline.left <= 0:
                raise
            words = error.message
        else:
            if not found.wanted and looks >= _SURE:
                raise _unwanted(found, group)
            if deadline.left <= 0:
                raise _offline(found, group, trouble, deadline, again)
            words = f"{found.words}{trouble}"
        tell(words)
        looks += 1
        deadline.sleep(_POLL_S)


def _unwanted(found: Bastion, group: str) -> SmProxyError:
    """The error for a group that was changed outside of the stack."""
    if found.wanted is None:
        what = f"the bastion's group {group} was deleted"
        hint = "Make the stack anew: `sm-proxy infra delete`, then `sm-proxy infra deploy`."
    else:
        what = f"the bastion's group {group} was set to no instance"
        hint = "Let the stack set it: `sm-proxy infra pause`, then `sm-proxy infra resume`."
    return SmProxyError("bastion-offline", what, hint)


def _offline(
    found: Bastion, group: str, trouble: str, deadline: Deadline, again: str
) -> SmProxyError:
    if not found.instance:
        return SmProxyError(
            "bastion-offline",
            f"the group {group} has launched no bastion{trouble}",
            "If its type or its zone is the reason: sm-proxy infra deploy --bastion-type t3.nano."
            f" To wait longer: `{again}`.",
        )
    return SmProxyError(
        "bastion-offline",
        f"after {int(deadline.seconds)} s, the bastion {found.instance} is not online in SSM:"
        f" {found.words}",
        f"{bastion_lookup.OFFLINE_HINT} `sm-proxy doctor` checks them. To wait longer: `{again}`.",
    )


class _Instance(NamedTuple):
    """One of the group, with its LifecycleState."""

    id: str
    state: str


def _instances(group: Mapping[str, Any]) -> list[_Instance]:
    return [
        _Instance(str(item["InstanceId"]), str(item.get("LifecycleState", "")))
        for item in group.get("Instances", [])
    ]


def _group(aws: Aws, name: str) -> dict[str, Any] | None:
    answer = asking.ask(
        aws, "autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=[name]
    )
    return next(iter(answer.get("AutoScalingGroups", [])), None)


def _launched(aws: Aws, instance: str) -> datetime | None:
    answer = aws.call_if_allowed("ec2", "DescribeInstances", InstanceIds=[instance])
    found = bastion_lookup.instances(answer or {})
    return found[0].get("LaunchTime") if found else None


def _trouble(aws: Aws, group: str) -> str:
    """Why the group's last attempt failed: `: <the service's words>`; empty if it did not."""
    answer = aws.call_if_allowed(
        "autoscaling", "DescribeScalingActivities", AutoScalingGroupName=group, MaxRecords=1
    )
    last: dict[str, Any] = next(iter((answer or {}).get("Activities", [])), {})
    if last.get("StatusCode") not in {"Failed", "Cancelled"}:
        return ""
    return f": {printable(str(last.get('StatusMessage') or last.get('Description') or ''))}"
