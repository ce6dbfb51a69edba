"""From a request to the request with ssh, and to the job: what every way of launching shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import times
from sm_proxy.launch import (
    access,
    bucket,
    reach,
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
from sm_proxy.launch.findings import Findings
from sm_proxy.launch.image import Image
from sm_proxy.launch.request import Made, Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.launch.wheels import Architecture
from sm_proxy.settings import Settings

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
    """Switch ssh on in a request, after checks with AWS that ssh will work. Creates nothing.

    Args:
        aws: for the calls.
        operation: of the request.
        request: as the user would send it. It is not changed.
        ssh: what is wanted of ssh.
        settings: of this run; its `bastion`, `launch` and `launch_s3` count.
        entrypoint: what the image runs, if the user says so.
        sure: whether to go on if ssh will probably not reach the job: the reason is then a note.
        on_status: takes a line for people while it works.

    Raises:
        SmProxyError: as `request.refuse`; the image or the bucket cannot be read; the job's role
            lacks a permission; ssh would probably not reach the job, unless `sure`.
    """
    settings = settings or Settings()
    requests.refuse(operation, request, ssh, entrypoint)
    found = Findings(sure)
    image = _read(aws, operation, request, entrypoint, found)
    ssh = _with_port(operation, request, ssh, image)
    ssh = _with_network(aws, operation, request, ssh, settings)
    if entrypoint is None and image:
        entrypoint = image.entrypoint
    cmd = image.command if image else ()
    made = requests.add_ssh(operation, request, ssh, _UNTRIED, entrypoint, cmd=cmd)
    reach.check(aws, operation, request, made, settings.bastion, found=found)
    if made.channel is not None:
        channel = _channel(aws, operation, request, settings, image, found=found, say=on_status)
        made = requests.add_ssh(operation, request, ssh, channel, entrypoint, cmd=cmd)
    found.notes.append(access.others_with_access(request, ssh))
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
    """Show the notes and upload the channel; returns the request, which another program sends.

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
    found: Findings,
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


def _check_image(image: Image, machine: Architecture, found: Findings) -> None:
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
    port = ssh.port or (None if named else reach.UNKNOWN_IMAGE_PORT)
    return replace(ssh, port=port, image_keys=False)


def _with_network(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    ssh: Ssh,
    settings: Settings,
) -> Ssh:
    """A job without VPC and RemoteDebug goes where the settings say, else where the bastion is.

    What the user or the request names comes first.

    Raises:
        SmProxyError: `no-vpc`, the network of the settings is gone, or the bastion shows none.
    """
    shape = shapes.of(operation)
    reachable = ssh.remote_debug or remote_debug.is_on(request, shape)
    if reachable or value_at(request, shape.VPC) or ssh.subnets or ssh.security_groups:
        return ssh
    if settings.launch and settings.launch.region == aws.region:
        place = vpc.of_settings(aws, settings.launch)
        return replace(
            ssh,
            subnets=place.subnets,
            security_groups=place.security_groups,
            network_from=vpc.IN_SETTINGS,
        )
    place = vpc.of_bastion(aws, settings.bastion, reach.ports(request.get("Environment"), ssh.port))
    return replace(ssh, subnets=place.subnets, security_groups=place.security_groups)


def _channel(
    aws: Caller,
    operation: Operation,
    request: Mapping[str, Any],
    settings: Settings,
    image: Image | None,
    *,
    found: Findings,
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
