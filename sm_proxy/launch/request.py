"""Switch ssh on in a request: pure, without a call, a file or a clock.

The container of the made job starts our script, which starts what would have run without us.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy import public_key
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.launch import channel as channels
from sm_proxy.launch import form, limits, run_time, shapes
from sm_proxy.launch.changes import Change, Draft
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.shapes import Operation, Shape
from sm_proxy.settings import durations

DEFAULT_KEEP_S: Final = 30 * 60
"""How long a failed job stays, and how long a user may stay connected, unless told otherwise."""
_KEY: Final = "SM_PROXY_AUTHORIZED_KEY"
_OWN_INPUT: Final = re.compile(r"s3://.*/[0-9a-f]{32}/")
_OUR_SCRIPT: Final = re.compile(r"(?:.*/)?sm[-_]proxy/entrypoint\.sh")
_SHELLS: Final = frozenset({"sh", "bash", "/bin/sh", "/bin/bash"})
_ENTRYPOINT: Final = "ContainerEntrypoint"
_ARGUMENTS: Final = "ContainerArguments"


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """What the user wants of ssh in the job.

    None stands for what the request says, or for our default if it says nothing. Any other value
    wins over the request, and the changes show it.

    Attributes:
        keys: lines of public keys; they join those that the request has.
        wait_s: how long the program's start waits for a user; the default is 0.
        keep_s: how long the container stays after the program failed, and at most while a user is
            connected; the default is `DEFAULT_KEEP_S`. A job that succeeded never stays alone.
        shell: print the program instead of running it, until `sm-proxy go`.
        port: of the ssh server.
        image_keys: False ignores the keys in the image's `~/.ssh/authorized_keys`.
        subnets: they replace those of the request.
        security_groups: they replace those of the request.
        without_isolation: switch network isolation off, which no ssh can pass.
    """

    keys: tuple[str, ...]
    wait_s: int | None = None
    keep_s: int | None = None
    shell: bool = False
    port: int | None = None
    image_keys: bool = True
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    without_isolation: bool = False


@dataclass(frozen=True)
class Made:
    """A request with ssh.

    Attributes:
        request: fit for the operation.
        changes: everything that differs from the given request.
        channel: what to upload before the job is made; None if the job needs nothing of it.
    """

    request: dict[str, Any]
    changes: tuple[Change, ...]
    channel: Channel | None


def needs_image(operation: Operation, request: Mapping[str, Any]) -> bool:
    """Whether only the image tells what the job runs: its ENTRYPOINT, and perhaps its CMD."""
    shape = shapes.of(operation)
    return not _container(shape, request).get(_ENTRYPOINT)


def has_ssh(operation: Operation, request: Mapping[str, Any]) -> bool:
    """Whether the request itself starts our script. The image may do so without the request."""
    shape = shapes.of(operation)
    return _our_words(_container(shape, request).get(_ENTRYPOINT) or ()) > 0


def refuse(
    operation: Operation,
    request: Mapping[str, Any],
    ssh: Ssh,
    entrypoint: Sequence[str] | None = None,
) -> None:
    """Raise if the request alone shows that its job cannot have ssh: before any call is made.

    Whether it has a VPC is not among them: the caller may still find one.

    Args:
        operation: of the request.
        request: as the user would send it.
        ssh: what is wanted.
        entrypoint: as the user names it; None if the image would be read for it.

    Raises:
        SmProxyError: `usage`, a part that we read has another type than in the service's model;
            `serverless`, `unsupported`, `network-isolation`, `image-unreadable`, `request-limit` or
            `no-identity`.
    """
    shape = shapes.of(operation)
    form.refuse_malformed(operation, shape, request)
    shape.refuse(request)
    draft = Draft(request)
    _end_isolation(draft, shape, ssh)
    if entrypoint is None and needs_image(operation, request):
        _refuse_private_registry(shape, request)
    _check_network(ssh)
    _find_input(draft, shape)
    _set_environment(draft, shape, ssh)


def add_ssh(
    operation: Operation,
    request: Mapping[str, Any],
    ssh: Ssh,
    channel: Channel,
    entrypoint: Sequence[str] | None,
    *,
    cmd: Sequence[str] = (),
) -> Made:
    """The request with ssh; a second time, it changes nothing.

    Args:
        operation: of the request.
        request: as the user would send it. It is not changed.
        ssh: what is wanted.
        channel: our files for the container.
        entrypoint: the image's ENTRYPOINT, empty if it has none. It matters only where
            `needs_image` says so.
        cmd: the image's CMD, which only a processing job without arguments runs.

    Raises:
        SmProxyError: as `refuse`; `no-vpc`; `image-unreadable` without the `entrypoint` that is
            needed; `unsupported` if the job would run nothing.
    """
    refuse(operation, request, ssh, entrypoint)
    shape = shapes.of(operation)
    draft = Draft(request)
    _end_isolation(draft, shape, ssh)
    _set_network(draft, shape, ssh)
    windows_before = run_time.windows_s(draft.request)
    _set_environment(draft, shape, ssh)
    run_time.extend(draft, run_time.windows_s(draft.request) - windows_before)
    program = _program(shape, request, entrypoint, cmd)
    needed = _set_program(draft, shape, program, channel, ssh)
    return Made(draft.request, draft.changes, needed)


def _end_isolation(draft: Draft, shape: Shape, ssh: Ssh) -> None:
    if not draft.get(shape.ISOLATION):
        return
    if not ssh.without_isolation:
        raise SmProxyError(
            "network-isolation",
            "the job is in network isolation, so nothing can connect to its containers",
            "Use --without-isolation to run it with network access.",
        )
    why = "ssh cannot reach a job in network isolation; its program gets network access"
    draft.set(shape.ISOLATION, value=False, why=why)


def _refuse_private_registry(shape: Shape, request: Mapping[str, Any]) -> None:
    config = _container(shape, request).get("TrainingImageConfig") or {}
    if config.get("TrainingRepositoryAccessMode") == "Vpc":
        raise SmProxyError(
            "image-unreadable",
            "the image is in a private registry, so its entry point is unknown",
            "Name the command that the image runs with --entrypoint.",
        )


def _check_network(ssh: Ssh) -> None:
    for noun, given, most in (
        ("subnets", ssh.subnets, limits.SUBNETS),
        ("security groups", ssh.security_groups, limits.SECURITY_GROUPS),
    ):
        limits.check(f"{len(given)} {noun}", len(given), most, f"Name at most {most} {noun}.")


def _set_network(draft: Draft, shape: Shape, ssh: Ssh) -> None:
    config = draft.get(shape.VPC) or {}
    wanted = {
        "SecurityGroupIds": list(ssh.security_groups or config.get("SecurityGroupIds") or ()),
        "Subnets": list(ssh.subnets or config.get("Subnets") or ()),
    }
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise SmProxyError(
            "no-vpc",
            f"the job has no {' and no '.join(missing)}, so it would run where ssh cannot reach it",
            "Use --subnets and --security-groups with a network that the bastion reaches.",
        )
    if not config:
        draft.set(shape.VPC, wanted, "the job runs in a VPC, where the bastion can reach it")
        return
    for name, value in wanted.items():
        draft.set((*shape.VPC, name), value, "you named another network for the job")


def _set_environment(draft: Draft, shape: Shape, ssh: Ssh) -> None:
    variables: Mapping[str, str] = draft.get(("Environment",)) or {}

    def put(name: str, value: str, why: str) -> None:
        draft.set(("Environment", name), value, why)

    _add_keys(variables, shape, ssh, put)
    keep_s = ssh.keep_s
    if keep_s is None and not any(name.startswith("SM_PROXY_KEEP_") for name in variables):
        keep_s = DEFAULT_KEEP_S
    for name, seconds, why in (
        ("SM_PROXY_WAIT", ssh.wait_s, "the program waits so long for your connection"),
        ("SM_PROXY_KEEP_FAILURE", keep_s, "the container stays so long after a failure"),
        ("SM_PROXY_KEEP_CONNECTED", keep_s, "it stays so long at most while you are connected"),
    ):
        if seconds is not None and seconds != run_time.seconds(variables.get(name)):
            put(name, durations.form(seconds), why)
    if ssh.shell:
        put("SM_PROXY_SHELL", "yes", "the program is printed, and runs after `sm-proxy go`")
    if ssh.port is not None:
        put("SM_PROXY_PORT", str(ssh.port), "the ssh server leaves port 22 to the image's own")
    if not ssh.image_keys and "SM_PROXY_IMAGE_KEYS" not in variables:
        put("SM_PROXY_IMAGE_KEYS", "no", "keys that lie in the image may not log in")
    count = len(draft.get(("Environment",)) or {})
    limits.check(
        f"{count} environment variables",
        count,
        limits.VARIABLES,
        "Remove some of the request's `Environment`.",
    )


def _add_keys(
    variables: Mapping[str, str], shape: Shape, ssh: Ssh, put: Callable[[str, str, str], None]
) -> None:
    there = {
        public_key.bare(value) for name, value in variables.items() if name.startswith(_KEY)
    } - {None}
    if not there and not ssh.keys:
        raise SmProxyError(
            "no-identity",
            "there is no public key that may log in to the job",
            "Make one: sm-proxy setup.",
        )
    names = (_KEY if number == 1 else f"{_KEY}_{number}" for number in range(1, 10_000))
    free = (name for name in names if name not in variables)
    for line in ssh.keys:
        key = public_key.bare(line)
        if key is None:
            raise SmProxyError(
                "usage",
                f"{printable(line, 60)!r} is not an SSH public key",
                "Give a line of a file such as ~/.ssh/id_ed25519.pub.",
            )
        if key in there:
            continue
        limits.check(
            f"the public key {public_key.describe(key)} has {len(key)} characters",
            len(key),
            shape.VARIABLE_LIMIT,
            "Use an ed25519 key: `sm-proxy keys` makes one.",
        )
        put(next(free), key, f"lets {public_key.describe(key)} log in")
        there.add(key)


def _program(
    shape: Shape,
    request: Mapping[str, Any],
    entrypoint: Sequence[str] | None,
    cmd: Sequence[str],
) -> tuple[str, ...]:
    """What the job would run without us: never empty."""
    container = _container(shape, request)
    arguments = container.get(_ARGUMENTS) or ()
    named = container.get(_ENTRYPOINT)
    if named:
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


def _set_program(
    draft: Draft, shape: Shape, program: tuple[str, ...], channel: Channel, ssh: Ssh
) -> Channel | None:
    """Put our script in front of the program; the channel that the job then needs, if any."""
    ours = _our_words(program)
    script = f"{shape.FOLDER}/{channels.ENTRYPOINT}"
    from_channel = ours > 0 and program[ours - 1] == script
    if ours and not from_channel and not ssh.shell:
        return None  # the image brings our script
    if from_channel and program[ours:][:1] == (channels.ARGV_OPTION,):
        return None  # only the folder that the job has already holds these arguments
    words = program[ours:]
    if limits.too_long_for_request(words):
        channel = channel.with_file(channels.ARGV, channels.argv_file(words))
        words = (channels.ARGV_OPTION, f"{shape.FOLDER}/{channels.ARGV}")
    position = _find_input(draft, shape)
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


def _find_input(draft: Draft, shape: Shape) -> int:
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
        "Remove one, or copy the container folder into the image: sm-proxy container init.",
    )
    return len(inputs)


def _container(shape: Shape, request: Mapping[str, Any]) -> Mapping[str, Any]:
    return request.get(str(shape.CONTAINER[0])) or {}


def _our_words(program: Sequence[str]) -> int:
    """How many words at the start of a command are our script and its shell; 0 without it."""
    for position, word in enumerate(program[:2]):
        if _OUR_SCRIPT.fullmatch(word) and all(shell in _SHELLS for shell in program[:position]):
            return position + 1
    return 0
