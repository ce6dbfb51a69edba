"""From a request to the request with ssh, and to the job: what every way of launching shares."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import times
from sm_proxy.launch import (
    access,
    bucket,
    permissions,
    remote_debug,
    shapes,
    sizes,
    vpc,
    wheels,
)
from sm_proxy.launch import channel as channels
from sm_proxy.launch import image as images
from sm_proxy.launch import request as requests
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.image import Image
from sm_proxy.launch.request import Made, Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.launch.vpc import Place
from sm_proxy.launch.wheels import Architecture
from sm_proxy.settings import Settings

_PORT: Final = 2222
"""Of our SSH server in an image that we do not know: MPI jobs start one of their own on 22."""
_PORTS: Final = (22, _PORT)
"""Where our entrypoint listens if nothing says where: see `container/serve.sh`."""
_UNTRIED: Final = Channel("s3://sm-proxy/untried", {})
_NAME_IN_USE: Final = "ResourceInUse"
_CLOCK_ERROR: Final = timedelta(seconds=2)
"""The service's clock is known from the `Date` of a response."""
_PLATFORMS: Final = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
_SHORTEST_SECRET: Final = 8
_UNSURE: Final = "The job may have been created all the same: see `sm-proxy list`."
_HINTS: Final[dict[str, str]] = {
    "InternalFailure": _UNSURE,
    "ServiceUnavailable": _UNSURE,
    _NAME_IN_USE: "Choose another name: --name NAME.",
    "ResourceLimitExceeded": "Ask for a higher limit in Service Quotas, or take another instance:"
    " --instance-type TYPE.",
}
"""What to do about an error of a Create operation."""
_OTHERWISE: Final = "No job was created: correct the request, or the job's role or network."
_STOP: Final = re.compile(r"(?<!\.)\.$")
_INTERFACES: Final = (
    "the job would be new to a VPC",
    "attach network interfaces, as a job in a VPC",
)
_AGENT: Final = (
    "the job would get RemoteDebug",
    "connect to Session Manager, as the agent of RemoteDebug",
)
"""Why a job needs permissions, and what for: see `_check_role`."""
_ANYWAY: Final = "or go on with --yes."


@dataclass(frozen=True)
class Prepared:
    """A request that is ready to be sent.

    Attributes:
        operation: to send it with.
        made: the request, its changes and its channel.
        notes: for the user, one sentence each.
    """

    operation: Operation
    made: Made
    notes: tuple[str, ...]


@dataclass
class _Findings:
    """What is found on the way.

    Attributes:
        sure: whether the user goes on although ssh will probably not reach the job.
        notes: for the user, one sentence each.
    """

    sure: bool
    notes: list[str] = field(default_factory=list)

    def doubt(self, reason: SmProxyError) -> None:
        """Note why ssh will probably not reach the job.

        Raises:
            SmProxyError: the user is not sure.
        """
        if not self.sure:
            # A hint may end with a command, whose end must show.
            hint = f"{_STOP.sub('', reason.hint)}; {_ANYWAY}"
            raise SmProxyError(reason.code, reason.message, hint)
        self.notes.append(f"ssh may not reach the job: {reason.text}")

    @contextlib.contextmanager
    def checking(self, what: str) -> Iterator[None]:
        """Note that something could not be checked, if AWS refuses a call for it."""
        try:
            yield
        except ServiceError as error:
            self.notes.append(f"Not checked: {what} ({error.action}: {error.error})")
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            denied = error.message.partition(": ")[0]  # without the service's own words
            self.notes.append(f"Not checked: {what} ({denied})")


def prepare(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    ssh: Ssh,
    *,
    settings: Settings | None = None,
    entrypoint: Sequence[str] | None = None,
    sure: bool = False,
    on_status: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Switch ssh on in a request, after asking AWS what stands in the way. Changes nothing there.

    Args:
        aws: for the calls.
        operation: of the request.
        request: as the user would send it. It is not changed.
        ssh: what is wanted of ssh.
        settings: of this run; its bastion and its `launch_s3` count.
        entrypoint: what the image runs, if the user says so.
        sure: whether to go on if ssh will probably not reach the job: the reason is then a note.
        on_status: takes a line for people while it works.

    Raises:
        SmProxyError: as `request.refuse`; the image or the bucket cannot be read; the job's role
            lacks a permission; ssh would probably not reach the job, unless `sure`.
    """
    settings = settings or Settings()
    requests.refuse(operation, request, ssh, entrypoint)
    found = _Findings(sure)
    image = _read(aws, operation, request, entrypoint, found)
    ssh = _with_port(operation, request, ssh, image)
    ssh = _with_network(aws, operation, request, ssh, settings)
    if entrypoint is None and image:
        entrypoint = image.entrypoint
    cmd = image.command if image else ()
    made = requests.add_ssh(operation, request, ssh, _UNTRIED, entrypoint, cmd=cmd)
    if ssh.remote_debug:
        _check_role(aws, request, permissions.FOR_REMOTE_DEBUG, _AGENT, found=found)
    _check_network(aws, operation, request, made, settings.bastion, found=found)
    if made.channel is not None:
        channel = _channel(aws, operation, request, settings, image, found=found, say=on_status)
        made = requests.add_ssh(operation, request, ssh, channel, entrypoint, cmd=cmd)
    found.notes.append(access.others(request, ssh))
    return Prepared(operation, made, tuple(filter(None, found.notes)))


def submit(
    aws: Caller, prepared: Prepared, on_status: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Upload the channel, then create the job. Returns AWS's answer.

    Raises:
        SmProxyError: as `channel.upload`, or AWS refuses the request.
    """
    if prepared.made.channel is not None:
        channels.upload(aws, prepared.made.channel, on_status)
    began = aws.now()
    try:
        return aws.call("sagemaker", prepared.operation, **prepared.made.request)
    except ServiceError as error:
        # botocore repeats a call whose answer got lost, although the job may have been created.
        if error.error == _NAME_IN_USE and (ours := _created_since(began, aws, prepared)):
            return ours
        hint = _HINTS.get(error.error, _OTHERWISE)
        told = _without_values(str(error), prepared.made.request)
        raise SmProxyError("aws-error", told, hint) from None
    except SmProxyError as error:
        if error.code == "network":
            error.hint = f"{error.hint} {_UNSURE}"
        raise


def _without_values(message: str, request: Mapping[str, Any]) -> str:
    """The service's message without the values of a job's variables, which it may repeat.

    They may be secrets, and the message is kept in the state folder.
    """
    values = {
        value
        for member in ("Environment", "HyperParameters")
        for value in (request.get(member) or {}).values()
        if len(value) >= _SHORTEST_SECRET
    }
    for value in sorted(values, key=len, reverse=True):
        message = message.replace(value, "...")
    return message


def deliver(aws: Caller, prepared: Prepared, on_status: Callable[[str], None]) -> dict[str, Any]:
    """Tell the notes and upload the channel; the request, which another program sends itself.

    Raises:
        SmProxyError: as `channel.upload`.
    """
    for note in prepared.notes:
        on_status(note)
    if prepared.made.channel is not None:
        channels.upload(aws, prepared.made.channel, on_status)
    return prepared.made.request


def _created_since(began: datetime, aws: Caller, prepared: Prepared) -> dict[str, Any] | None:
    """The description of a job that an earlier try has created; None for any other job."""
    request, shape = prepared.made.request, shapes.of(prepared.operation)
    describe = prepared.operation.replace("Create", "Describe")
    found = dict(aws.call("sagemaker", describe, **{shape.NAME: request[shape.NAME]}))
    is_new = times.first_time(found.get("CreationTime")) >= began - _CLOCK_ERROR
    is_alive = found.get(shape.NAME.replace("Name", "Status")) == "InProgress"
    # Describe adds defaults to other members.
    same = all(found.get(name) == request.get(name) for name in ("Environment", "RoleArn"))
    return found if is_alive and same and is_new else None


def _read(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    entrypoint: Sequence[str] | None,
    found: _Findings,
) -> Image | None:
    """The image. If its entry point is known otherwise, only its hints count, and it may be None.

    Raises:
        SmProxyError: `image-unreadable`, only the image tells what the job runs.
    """
    uri = str(value_at(request, shapes.of(operation).IMAGE) or "")
    machine = _architecture(operation, request)
    try:
        image = images.read(aws, uri, machine)
    except SmProxyError as error:
        needed = entrypoint is None and requests.needs_image(operation, request)
        if needed or error.code != "image-unreadable":
            raise
        found.notes.append("Not checked: whether the image has an SSH server or Python")
        return None
    _check_image(image, machine, found)
    return image


def _check_image(image: Image, machine: Architecture, found: _Findings) -> None:
    if image.architecture and image.architecture != machine:
        what = f"the image {image.uri} is for {image.architecture}, and the instances are {machine}"
        hint = f"Build it for the platform {_PLATFORMS[machine]}."
        found.doubt(SmProxyError("no-server", f"{what}: nothing in it can run there", hint))
    elif image.is_distroless:
        what = (
            f"the image {image.uri} seems to be distroless, thus without the shell that ssh needs"
        )
        hint = "Build it on an image with a shell, such as python:3.12-slim."
        found.doubt(SmProxyError("no-server", what, hint))
    elif not (image.is_ours or image.has_sshd or image.has_python):
        what = f"nothing in the image {image.uri} hints at an SSH server or at Python"
        hint = "Install openssh-server in the image."
        found.doubt(
            SmProxyError("no-server", f"{what}, and the server that we bring needs Python", hint)
        )


def _architecture(operation: Operation, request: Mapping[str, Any]) -> Architecture:
    """Of the job's instances. Of all types for jobs, only those with a Grace CPU are not x86-64."""
    resources = value_at(request, shapes.of(operation).RESOURCES)
    return "aarch64" if "-gb" in sizes.type_of(resources) else "x86_64"


def _with_port(
    operation: Operation, request: Mapping[str, Any], ssh: Ssh, image: Image | None
) -> Ssh:
    """An image that we do not know may need port 22 itself, and may let in keys that it carries."""
    if requests.has_ssh(operation, request) or (image and image.is_ours):
        return ssh
    named = "SM_PROXY_PORT" in (request.get("Environment") or {})
    port = ssh.port or (None if named else _PORT)
    return replace(ssh, port=port, image_keys=False)


def _with_network(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    ssh: Ssh,
    settings: Settings,
) -> Ssh:
    """A job without VPC and RemoteDebug goes where the bastion is, unless a network is named."""
    shape = shapes.of(operation)
    reachable = ssh.remote_debug or remote_debug.is_on(request, shape)
    if reachable or value_at(request, shape.VPC) or ssh.subnets or ssh.security_groups:
        return ssh
    place = vpc.of_bastion(aws, settings.bastion, _ports(request.get("Environment"), ssh.port))
    return replace(ssh, subnets=place.subnets, security_groups=place.security_groups)


def _ports(environment: Mapping[str, str] | None, port: int | None = None) -> tuple[int, ...]:
    named = str(port or (environment or {}).get("SM_PROXY_PORT", ""))
    return (int(named),) if named.isdecimal() else _PORTS


def _channel(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    settings: Settings,
    image: Image | None,
    *,
    found: _Findings,
    say: Callable[[str], None],
) -> Channel:
    root = bucket.choose(aws, operation, request, settings.launch_s3)
    found.notes.append(root.note)
    if image and image.has_sshd:
        return channels.container_channel(root.url, {}, root.owner)
    try:
        files = wheels.for_architecture(_architecture(operation, request), say)
    except SmProxyError as error:
        found.doubt(error)
        files = {}
    return channels.container_channel(root.url, files, root.owner)


def _check_network(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    made: Made,
    bastion: str | None,
    *,
    found: _Findings,
) -> None:
    shape = shapes.of(operation)
    path = shape.VPC
    network = value_at(made.request, path)
    if not network:  # RemoteDebug reaches it
        return
    place = Place(tuple(network["Subnets"]), tuple(network["SecurityGroupIds"]))
    with found.checking("whether the bastion reaches the job"):
        doubts = vpc.doubts(aws, place, bastion, _ports(made.request.get("Environment")))
        if doubts and remote_debug.is_on(made.request, shape):
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
    _check_role(aws, request, permissions.IN_A_VPC, _INTERFACES, found=found)


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
    found: _Findings,
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
