"""Switch ssh on in a request: pure, without a call, a file or a clock.

The container of the made job starts our script, which starts what would have run without us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy import public_key
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.launch import form, limits, remote_debug, run_time, shapes
from sm_proxy.launch import program as programs
from sm_proxy.launch.changes import Change, Draft, value_at
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.shapes import Operation, Shape
from sm_proxy.settings import durations

DEFAULT_KEEP_S: Final = 30 * 60
"""How long a failed job stays, and how long a user may stay connected, by default."""
_KEY: Final = "SM_PROXY_AUTHORIZED_KEY"


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
        network_from: what names these subnets and groups, if the user did not.
        without_isolation: switch network isolation off, which no ssh can pass.
        remote_debug: switch RemoteDebug on; the job then needs no network of the bastion's.
    """

    keys: tuple[str, ...]
    wait_s: int | None = None
    keep_s: int | None = None
    shell: bool = False
    port: int | None = None
    image_keys: bool = True
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    network_from: str = ""
    without_isolation: bool = False
    remote_debug: bool = False


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
    return not programs.named_entrypoint(shape, request)


def has_ssh(operation: Operation, request: Mapping[str, Any]) -> bool:
    """Whether the request itself starts our script. The image may do so without the request."""
    shape = shapes.of(operation)
    return programs.our_words(programs.named_entrypoint(shape, request)) > 0


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
    _open_ways(draft, shape, ssh)
    if entrypoint is None and needs_image(operation, request):
        _refuse_private_registry(shape, request)
    _check_network(ssh)
    programs.find_input(draft, shape)
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
    _open_ways(draft, shape, ssh)
    _set_network(draft, shape, ssh)
    windows_before = run_time.windows_s(draft.request)
    _set_environment(draft, shape, ssh)
    run_time.extend(draft, run_time.windows_s(draft.request) - windows_before)
    program = programs.find(shape, request, entrypoint, cmd)
    needed = programs.put_ours_first(draft, shape, program, channel, always=ssh.shell)
    return Made(draft.request, draft.changes, needed)


def _open_ways(draft: Draft, shape: Shape, ssh: Ssh) -> None:
    _end_isolation(draft, shape, ssh)
    if ssh.remote_debug:
        remote_debug.switch_on(draft, shape)


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
    path = (*shape.CONTAINER, "TrainingImageConfig", "TrainingRepositoryAccessMode")
    if value_at(request, path) == "Vpc":
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
    if remote_debug.is_on(draft.request, shape) and not any(wanted.values()):
        return
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise SmProxyError(
            "no-vpc",
            f"the job has no {' and no '.join(missing)}, so it would run where ssh cannot reach it",
            "Use --subnets and --security-groups with a network that the bastion reaches"
            f"{', or --remote-debug' if shape.REMOTE_DEBUG else ''}.",
        )
    if not config:
        where = f"the network of {ssh.network_from}" if ssh.network_from else "a VPC"
        draft.set(shape.VPC, wanted, f"the job runs in {where}, where the bastion can reach it")
        return
    for name, value in wanted.items():
        draft.set((*shape.VPC, name), value, "you named another network for the job")


def _set_environment(draft: Draft, shape: Shape, ssh: Ssh) -> None:
    variables: Mapping[str, str] = draft.get(("Environment",)) or {}

    def put(name: str, value: str, why: str) -> None:
        if name in variables:
            why += "; you asked for it, so it replaces the request's own"
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
        "Create the job with a shorter `Environment`: sm-proxy launch FILE.",
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
            "Use an ed25519 key: `ssh-keygen -t ed25519 -f FILE`, then "
            "`sm-proxy setup --identity-file FILE`.",
        )
        put(next(free), key, f"lets {public_key.describe(key)} log in")
        there.add(key)
