"""From a request to the request with ssh, and to the job: what every way of launching shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sm_proxy.aws.errors import ServiceError
from sm_proxy.launch import channel as channels
from sm_proxy.launch import image as images
from sm_proxy.launch import request as requests
from sm_proxy.launch import shapes
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.image import Image
from sm_proxy.launch.request import Made, Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """A request that is ready to be sent.

    Attributes:
        operation: to send it with.
        made: the request, its changes and its channel.
        image: None if it was not read.
        notes: for the user, one sentence each.
    """

    operation: Operation
    made: Made
    image: Image | None
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
    """Switch ssh on in a request, after asking AWS what stands in the way. Changes nothing there.

    Args:
        aws: for the calls.
        operation: of the request.
        request: as the user would send it. It is not changed.
        ssh: what is wanted of ssh.
        settings: of this run; its bastion counts.
        entrypoint: what the image runs, if the user says so.
        sure: whether to go on if the job can probably not be reached: the reason is then a note.
        on_status: takes a line for people while it works.

    Raises:
        SmProxyError: as `request.refuse`; the image or the bucket cannot be read; the job's role
            lacks a permission; the job could probably not be reached, unless `sure`.
    """
    del settings, sure, on_status
    requests.refuse(operation, request, ssh, entrypoint)
    image = None
    if entrypoint is None and requests.needs_image(operation, request):
        image = images.read(aws, str(value_at(request, shapes.of(operation).IMAGE)))
    words = entrypoint if image is None else image.entrypoint
    channel = channels.container_channel("s3://to-be-chosen/sm-proxy/channel", {})
    cmd = image.command if image else ()
    made = requests.add_ssh(operation, request, ssh, channel, words, cmd=cmd)
    return Prepared(operation, made, image, ())


def submit(
    aws: Caller, prepared: Prepared, on_status: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Upload the channel, then create the job. Returns AWS's answer.

    Raises:
        SmProxyError: as `channel.upload`, or AWS refuses the request.
    """
    if prepared.made.channel is not None:
        channels.upload(aws, prepared.made.channel, on_status)
    try:
        return aws.call("sagemaker", prepared.operation, **prepared.made.request)
    except ServiceError as error:
        raise error.as_failure() from None
