"""Whether ssh would reach a job: through a bastion or RemoteDebug, and with the job's role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sm_proxy.aws import job_role
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import permissions, remote_debug, shapes, vpc
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.findings import Findings
from sm_proxy.launch.request import Made
from sm_proxy.launch.shapes import Operation
from sm_proxy.launch.vpc import Place

UNKNOWN_IMAGE_PORT: Final = 2222
"""Of our SSH server in an image that we do not know: MPI jobs start one of their own on 22."""
_PORTS: Final = (22, UNKNOWN_IMAGE_PORT)
"""Where our entrypoint listens if nothing says where: see `container/serve.sh`."""
_INTERFACES: Final = (
    "the job would be new to a VPC",
    "attach network interfaces, as a job in a VPC",
)
_AGENT: Final = (
    "ssh would need RemoteDebug",
    "connect to Session Manager, as the agent of RemoteDebug",
)
"""Why a job needs permissions, and what for: see `_check_role`."""


def ports(environment: Mapping[str, str] | None, port: int | None = None) -> tuple[int, ...]:
    """Where the job's SSH server may listen, by its environment, or by the port that is wanted."""
    named = str(port or (environment or {}).get("SM_PROXY_PORT", ""))
    return (int(named),) if named.isdecimal() else _PORTS


def check(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    made: Made,
    bastion: str | None,
    *,
    found: Findings,
) -> None:
    """Note why ssh may not reach the job.

    Args:
        aws: for the calls.
        operation: of the request.
        request: as the user would send it.
        made: the request with ssh.
        bastion: the instance's id, from the settings; None to find it by its tag.
        found: takes the notes.

    Raises:
        SmProxyError: ssh would probably not reach it, unless the user is sure; `access-denied`, the
            job's role lacks a permission.
    """
    shape = shapes.of(operation)
    path = shape.VPC
    network = value_at(made.request, path)
    by_agent = remote_debug.is_on(made.request, shape)
    if by_agent and not (network and remote_debug.is_on(request, shape)):
        _check_role(aws, request, job_role.FOR_REMOTE_DEBUG, _AGENT, found=found)
    if not network:  # only RemoteDebug reaches it
        return
    place = Place(tuple(network["Subnets"]), tuple(network["SecurityGroupIds"]))
    with found.checking("whether the bastion reaches the job"):
        doubts = vpc.doubts(aws, place, bastion, ports(made.request.get("Environment")))
        if doubts and by_agent:
            doubts = _agent_doubts(aws, place)
        for doubt in doubts:
            found.doubt(doubt)
    if value_at(request, path):
        return
    with found.checking("whether the job reaches S3"):
        if not vpc.has_way_to(aws, place.subnets, "s3"):
            what = f"the subnets {', '.join(place.subnets)} have no route to S3"
            hint = "Add a NAT gateway or an S3 gateway endpoint, or name other --subnets."
            found.doubt(SmProxyError("no-vpc", f"{what}, where data and our files are", hint))
    _check_role(aws, request, job_role.IN_A_VPC, _INTERFACES, found=found)


def _agent_doubts(aws: Caller, place: Place) -> list[SmProxyError]:
    """Why the agent of RemoteDebug would not reach Session Manager from a VPC without a bastion."""
    if vpc.has_way_to(aws, place.subnets, "ssmmessages"):
        return []
    what = f"the subnets {', '.join(place.subnets)} have no route to Session Manager"
    hint = "Add a NAT gateway or a VPC endpoint for ssmmessages, or name other --subnets."
    return [SmProxyError("no-vpc", f"{what}, which the agent of RemoteDebug connects to", hint)]


def _check_role(
    aws: Caller,
    request: Mapping[str, Any],
    actions: Sequence[str],
    purpose: tuple[str, str],
    *,
    found: Findings,
) -> None:
    """The job's role may lack what the job now needs.

    Raises:
        SmProxyError: `access-denied`.
    """
    situation, need = purpose
    role = str(request.get("RoleArn", ""))
    missing = permissions.denied(aws, role, actions)
    if missing is None:
        found.notes.append(
            f"Not checked: whether the job's role may {need} must: {actions[0]} and others"
            " (iam:SimulatePrincipalPolicy does not answer)"
        )
    elif missing:
        raise SmProxyError(
            "access-denied",
            f"{situation}, and its role {role} may not {', '.join(missing)}",
            "Allow these actions in the role's policy.",
        )
