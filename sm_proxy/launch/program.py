"""The command of a job: our script, then the command that would have run without us."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import channel as channels
from sm_proxy.launch import limits
from sm_proxy.launch.changes import Draft
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.shapes import Shape

_OWN_INPUT: Final = re.compile(r"s3://.*/[0-9a-f]{32}/")
_OUR_SCRIPT: Final = re.compile(r"(?:.*/)?sm[-_]proxy/entrypoint\.sh")
_SHELLS: Final = frozenset({"sh", "bash", "/bin/sh", "/bin/bash"})
_ENTRYPOINT: Final = "ContainerEntrypoint"
_ARGUMENTS: Final = "ContainerArguments"


def named_entrypoint(shape: Shape, request: Mapping[str, Any]) -> Sequence[str]:
    """The entry point that the request names; empty if it leaves that to the image."""
    return _container(shape, request).get(_ENTRYPOINT) or ()


def our_words(command: Sequence[str]) -> int:
    """How many words at the start of a command are our script and its shell; 0 without it."""
    for position, word in enumerate(command[:2]):
        if _OUR_SCRIPT.fullmatch(word) and all(shell in _SHELLS for shell in command[:position]):
            return position + 1
    return 0


def find(
    shape: Shape,
    request: Mapping[str, Any],
    entrypoint: Sequence[str] | None,
    cmd: Sequence[str],
) -> tuple[str, ...]:
    """What the job runs as the request stands; never empty.

    Args:
        shape: of the request.
        request: the request.
        entrypoint: the image's ENTRYPOINT; None if it is unknown.
        cmd: the image's CMD.

    Raises:
        SmProxyError: `image-unreadable` or `unsupported`.
    """
    arguments = _container(shape, request).get(_ARGUMENTS) or ()
    if named := named_entrypoint(shape, request):
        # The documentation does not tell whether `train` follows an entry point without arguments.
        # Both SDKs send what they want to run in full, so nothing is added.
        return (*named, *arguments)
    if entrypoint is None:
        raise SmProxyError(
            "image-unreadable",
            "the request does not tell what the image runs, and the image was not read",
            "Name the command that the image runs with --entrypoint.",
        )
    program = (*entrypoint, *(arguments or shape.default_arguments(cmd)))
    if not program:
        raise SmProxyError(
            "unsupported",
            "the image has neither ENTRYPOINT nor CMD, so the job would run nothing",
            "Name the command with --entrypoint.",
        )
    return program


def put_ours_first(
    draft: Draft, shape: Shape, program: tuple[str, ...], channel: Channel, *, always: bool
) -> Channel | None:
    """Put our script in front of the program; the channel that the job then needs, if any.

    Args:
        draft: of the request.
        shape: of the request.
        program: see `find`.
        channel: our files.
        always: replace the script that an image brings: it may be too old for what is wanted.

    Raises:
        SmProxyError: as `find_input`.
    """
    ours = our_words(program)
    script = f"{shape.FOLDER}/{channels.ENTRYPOINT}"
    from_channel = ours > 0 and program[ours - 1] == script
    if ours and not from_channel and not always:
        return None  # the image brings our script
    if from_channel and program[ours:][:1] == (channels.ARGV_OPTION,):
        return None  # only the folder that the job has already holds these arguments
    words = program[ours:]
    if not limits.fit_into_request(words):
        channel = channel.with_file(channels.ARGV, channels.argv_file(words))
        words = (channels.ARGV_OPTION, f"{shape.FOLDER}/{channels.ARGV}")
    position = find_input(draft, shape)
    if from_channel and draft.get((*shape.INPUTS, position)):
        why = "the channel carries the current version of our files"
        draft.set((*shape.INPUTS, position, *shape.uri_path()), channel.uri, why)
    else:
        why = "brings the ssh server's scripts into the container, where the program sees it too"
        new = shape.make_input(channel.uri, draft.request)
        draft.set((*shape.INPUTS, position), new, why)
    path = shape.CONTAINER
    draft.set((*path, _ENTRYPOINT), ["sh", script], "our script starts ssh, then the program")
    draft.set((*path, _ARGUMENTS), list(words), "what would have run without us")
    return channel


def find_input(draft: Draft, shape: Shape) -> int:
    """The position of our input, where to append it if it is missing.

    Raises:
        SmProxyError: `request-limit`; `unsupported` for another input with our name.
    """
    inputs = draft.get(shape.INPUTS) or []
    for position, item in enumerate(inputs):
        if shape.name_of_input(item) != channels.NAME:
            continue
        uri = draft.get((*shape.INPUTS, position, *shape.uri_path()))
        if not _OWN_INPUT.fullmatch(str(uri)):
            raise SmProxyError(
                "unsupported",
                f"the request has an input {channels.NAME} that is not ours",
                "Give that input another name.",
            )
        return position
    limits.check(
        f"{len(inputs) + 1} inputs with ours",
        len(inputs) + 1,
        shape.INPUTS_LIMIT,
        "Put our folder into the image (sm-proxy container init), or create the job without one of"
        " them: sm-proxy launch FILE.",
    )
    return len(inputs)


def _container(shape: Shape, request: Mapping[str, Any]) -> Mapping[str, Any]:
    return request.get(str(shape.CONTAINER[0])) or {}
