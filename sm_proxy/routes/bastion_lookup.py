"""Find the bastion of a VPC: a running instance with our tag that is online in SSM."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local import debug_log, threads
from sm_proxy.routes.verdict import Verdict
from sm_proxy.state.cache import Cache

TAG: Final = "sm-proxy:role"
TAG_VALUE: Final = "bastion"
TAG_FILTER: Final = {"Name": f"tag:{TAG}", "Values": [TAG_VALUE]}
"""A filter of DescribeInstances."""
OFFLINE_HINT: Final = (
    "Check its SSM agent, its instance profile and its route to the SSM endpoints."
)
MAKE_HINT: Final = "Make one: sm-proxy infra deploy (if it is paused: sm-proxy infra resume)."
NAME_HINT: Final = "Or tag an instance, or name one with --bastion."
OLDEST_AGENT: Final = (3, 1, 1374, 0)
"""The first agent version that forwards to remote hosts (AWS documentation of the document)."""
_STALE: Final = frozenset({"bastion-offline", "no-bastion", "agent-too-old"})
"""Errors of a cached bastion after which another bastion may still serve."""
_CACHE: Final = "bastions"
_CACHED_S: Final = 3600.0
_FRESH_S: Final = 2.0
"""How long an answer counts without a look at the cache: several routes ask for one connection."""
_PAGE: Final = 50
"""DescribeInstanceInformation returns 10 per page by default and 50 at most."""

Chooser = Callable[[Aws, str], tuple[str, bool]]
"""Finds the bastion of a VPC; the second value tells whether it came from the cache."""
_Link = TypeVar("_Link")


class AgentTooOldError(SmProxyError):
    """The bastion's agent cannot forward to another host.

    Attributes:
        target: the bastion's instance id.
    """

    def __init__(self, target: str, information: dict[str, Any]) -> None:
        oldest = ".".join(map(str, OLDEST_AGENT))
        version = information.get("AgentVersion")
        super().__init__(
            "agent-too-old",
            f"the SSM agent of {target} has version {version}; to forward, it needs {oldest}",
            "Update it, for example with the document AWS-UpdateSSMAgent.",
        )
        self.target = target


def choose(aws: Aws, vpc_id: str) -> tuple[str, bool]:
    """The bastion of a VPC, and whether it came from the cache.

    If several processes look at once, one of them asks AWS and the others wait for its answer. So
    do the routes of one connection; they also share an error.

    Raises:
        SmProxyError: as `find`.
    """
    answers = _ANSWERS.setdefault(aws, {})
    answer = answers.get(vpc_id)
    if answer is None or answer.until < time.monotonic():
        answer = answers[vpc_id] = _ask(aws, vpc_id)
    if answer.error is not None:
        raise answer.error
    return answer.target, answer.cached


@dataclass(frozen=True)
class _Answer:
    """What a lookup found, until a time of `time.monotonic`."""

    until: float
    target: str = ""
    cached: bool = False
    error: SmProxyError | None = None


_ANSWERS: Final[WeakKeyDictionary[Aws, dict[str, _Answer]]] = WeakKeyDictionary()


def _ask(aws: Aws, vpc_id: str) -> _Answer:
    try:
        target, cached = _cached_or_found(aws, vpc_id)
    except SmProxyError as error:
        return _Answer(time.monotonic() + _FRESH_S, error=error)
    return _Answer(time.monotonic() + _FRESH_S, target, cached)


def _cached_or_found(aws: Aws, vpc_id: str) -> tuple[str, bool]:
    cache = Cache(_CACHE)
    with cache.alone(aws.scope, vpc_id):
        record = cache.load(aws.scope, vpc_id) or {}
        if isinstance(known := record.get("id"), str):
            return known, True
        target, instance_type = _found(aws, vpc_id)
        record = {"id": target, "type": instance_type}
        cache.save(aws.scope, vpc_id, record=record, expires=time.time() + _CACHED_S)
    return target, False


def reached(aws: Aws, vpc_id: str, choose: Chooser, through: Callable[[str], _Link]) -> _Link:
    """Connect by `through` with the bastion of a VPC; with another one if the cached one is gone.

    Args:
        aws: for the calls.
        vpc_id: the VPC.
        choose: finds the bastion, as the function of that name.
        through: connects by way of an instance.

    Raises:
        SmProxyError: as `choose` and `through`.
    """
    target, cached = threads.run(choose, aws, vpc_id)
    try:
        return through(target)
    except SmProxyError as error:
        if not cached:
            if error.code in _STALE:
                forget(aws, vpc_id)
            raise
        failure = error
    return instead(aws, vpc_id, choose, through, failure)


def instead(
    aws: Aws,
    vpc_id: str,
    choose: Chooser,
    through: Callable[[str], _Link],
    failure: SmProxyError,
) -> _Link:
    """Connect by `through` with the current bastion, after this failure of a cached one.

    Raises:
        SmProxyError: the failure, if another bastion would not help; or as `reached`.
    """
    if failure.code not in _STALE:
        raise failure
    forget(aws, vpc_id)
    debug_log.write("the known bastion no longer works, looking for another")
    target, _ = threads.run(choose, aws, vpc_id)
    return through(target)


def verdict(
    aws: Aws,
    vpc_id: str,
    named: str | None,
    choose: Chooser,
    judged: Callable[[str], Verdict],
    *,
    mendable: Container[Code],
    forwards: bool = True,
) -> Verdict:
    """The verdict of a route that goes by way of a bastion.

    Args:
        aws: for the calls.
        vpc_id: the container's VPC.
        named: the bastion that the settings name; None to find it.
        choose: finds it, as the function of that name.
        judged: the verdict for an instance.
        mendable: errors that another route may avoid.
        forwards: whether the bastion's agent has to be new enough to forward.

    Raises:
        SmProxyError: as `choose`, if no other route could do better.
    """
    try:
        target, cached = (named, False) if named else choose(aws, vpc_id)
    except SmProxyError as error:
        if error.code not in mendable:
            raise
        return Verdict.refused(error)
    found = judged(target)
    if not found.usable or not (cached or named):
        return found

    def anew() -> Verdict:
        forget(aws, vpc_id)
        return verdict(aws, vpc_id, named, choose, judged, mendable=mendable, forwards=forwards)

    return _confirmable(aws, target, found, anew if cached else None, forwards=forwards)


def _confirmable(
    aws: Aws,
    target: str,
    found: Verdict,
    anew: Callable[[], Verdict] | None,
    *,
    forwards: bool,
) -> Verdict:
    """The verdict for a bastion that may be offline by now: it is named, or from the cache.

    Args:
        aws: for the calls.
        target: its instance id.
        found: the verdict, if it is online.
        anew: judges again, after a cached one was forgotten. None for one that the user has named:
            SSM may not know it here, which StartSession will show.
        forwards: whether its agent has to be new enough to forward.
    """

    def confirm() -> Verdict:
        known = _agents_once(aws, target)
        if known is None or (anew is None and target not in known):
            return found
        try:
            _first_online([target], known)
        except SmProxyError as error:
            if isinstance(error, AgentTooOldError) and not forwards:
                return found
            return Verdict.refused(error) if anew is None else anew()
        return found

    return replace(found, confirm=confirm)


def _agents_once(aws: Aws, target: str) -> dict[str, dict[str, Any]] | None:
    """As `agents`, for several routes that ask at once."""
    asked = _AGENTS.setdefault(aws, {})
    until, known = asked.get(target, (0.0, None))
    if until < time.monotonic():
        known = agents(aws, [target])
        asked[target] = (time.monotonic() + _FRESH_S, known)
    return known


_Known = dict[str, dict[str, Any]] | None
_AGENTS: Final[WeakKeyDictionary[Aws, dict[str, tuple[float, _Known]]]] = WeakKeyDictionary()


def forget(aws: Aws, vpc_id: str) -> None:
    """Remove the bastion of a VPC from the cache."""
    _ANSWERS.pop(aws, None)
    Cache(_CACHE).forget(aws.scope, vpc_id)


def known_type(aws: Aws, vpc_id: str, target: str) -> str:
    """The instance type of a bastion, such as `t4g.nano`; empty if it is not cached."""
    record = Cache(_CACHE).load(aws.scope, vpc_id) or {}
    return str(record.get("type", "")) if record.get("id") == target else ""


def find(aws: Aws, vpc_id: str) -> str:
    """Ask AWS for the bastion of a VPC.

    Raises:
        SmProxyError: `no-bastion`, `bastion-offline` or `agent-too-old`.
    """
    return _found(aws, vpc_id)[0]


def _found(aws: Aws, vpc_id: str) -> tuple[str, str]:
    """As `find`, with its instance type."""
    tagged = _tagged(aws, vpc_id)
    running = sorted(item["InstanceId"] for item in tagged if _state(item) == "running")
    if not running:
        stopped = ", ".join(f"{item['InstanceId']} is {_state(item)}" for item in tagged)
        raise SmProxyError(
            "no-bastion",
            f"no running instance in {vpc_id} has the tag {TAG}={TAG_VALUE}"
            + (f" ({stopped})" if stopped else ""),
            "Start it, or name another with --bastion." if stopped else f"{MAKE_HINT} {NAME_HINT}",
        )
    types = {item["InstanceId"]: str(item.get("InstanceType", "")) for item in tagged}
    target = first_usable(aws, running)
    return target, types[target]


def first_usable(aws: Aws, running: list[str]) -> str:
    """The first of these running instances whose agent can forward.

    Without permission to ask SSM about agents, it is the first instance: StartSession will show
    whether that works.

    Raises:
        SmProxyError: `bastion-offline` or `agent-too-old`.
    """
    known = agents(aws, running)
    return running[0] if known is None else _first_online(running, known)


def _first_online(running: list[str], known: dict[str, dict[str, Any]]) -> str:
    online = [item for item in running if known.get(item, {}).get("PingStatus") == "Online"]
    if not online:
        status = known.get(running[0], {}).get("PingStatus", "unknown to SSM")
        raise SmProxyError(
            "bastion-offline",
            f"the bastion {running[0]} is not online in SSM: it is {status}",
            OFFLINE_HINT,
        )
    for item in online:
        if not is_too_old(known[item]):
            return item
    raise AgentTooOldError(online[0], known[online[0]])


def _tagged(aws: Aws, vpc_id: str) -> list[dict[str, Any]]:
    filters = [
        {"Name": "vpc-id", "Values": [vpc_id]},
        TAG_FILTER,
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
    ]
    try:
        answer = aws.call("ec2", "DescribeInstances", Filters=filters)
    except ServiceError as error:
        raise error.as_failure() from None
    return instances(answer)


def instances(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The instances in an answer of DescribeInstances."""
    return [item for group in answer.get("Reservations", []) for item in group["Instances"]]


def _state(instance: dict[str, Any]) -> str:
    return str(instance.get("State", {}).get("Name", ""))


def agents(aws: Aws, ids: list[str]) -> dict[str, dict[str, Any]] | None:
    """SSM's information on the instances by id; None if the call fails or is denied."""
    answer = aws.call_if_allowed(
        "ssm",
        "DescribeInstanceInformation",
        Filters=[{"Key": "InstanceIds", "Values": ids[:_PAGE]}],
        MaxResults=_PAGE,
    )
    if answer is None:
        return None
    return {item["InstanceId"]: item for item in answer.get("InstanceInformationList", [])}


def is_too_old(information: dict[str, Any]) -> bool:
    """Whether SSM reports an agent version that is too old."""
    version = str(information.get("AgentVersion") or "")
    parts = tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))
    return bool(version) and parts < OLDEST_AGENT
