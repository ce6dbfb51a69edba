"""`sm-proxy bootstrap`: puts an SSH server into a running container that has none of ours."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy import resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.bootstrap import server
from sm_proxy.bootstrap.server import Started
from sm_proxy.bootstrap.shell import RemoteShell
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.identity.identities import Identity
from sm_proxy.inventory import trial
from sm_proxy.jobs import hostname, kinds, log_streams, lookup, session_markers
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.launch import wheels
from sm_proxy.local import output, prompt, waits
from sm_proxy.local.output import Result
from sm_proxy.local.prompt import NobodyToAskError
from sm_proxy.routes import remote_debug
from sm_proxy.settings import Settings
from sm_proxy.tunnel.blocking_socket import BlockingSocket

_PLAN: Final = (
    "an SSH server starts in the running container, beside its program, until the container ends",
    "our scripts go into a private folder in its /tmp",
    "an image with neither sshd nor dropbear also gets 5 MB of Python packages there",
    "it listens on the container's loopback address only, and only the key {key} may log in",
    "as root it also writes /etc/profile.d/sm-proxy.sh, and unlocks a locked root account for keys",
    "sessions run as the user of the container's SSM agent, with the job's variables",
    "if the account logs its sessions, our files are in that log; what ssh carries later is not",
)

DESCRIPTION: Final = (
    "Starts an SSH server in a running training container whose image has none. "
    "RemoteDebug must be on. Lists what it will change, and asks first."
)
EXAMPLES: Final = (
    ("sm-proxy enable-remote-debug sm-myjob", "first, if RemoteDebug is off"),
    ("sm-proxy bootstrap sm-myjob", "then ssh sm-myjob works"),
)
USES: Final = options.USES_SSH


@dataclass(frozen=True)
class _Place:
    """The container to change.

    Attributes:
        target: its host name, parsed.
        job: its job.
        stream: its newest log stream; empty if there is none.
    """

    target: Target
    job: Job
    stream: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`bootstrap HOST [--yes] [--json]`."""
    options.add_host(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask before the change")
    options.add_ssh_config(parser, options.CONFIG_OF_KEY)
    options.add_json(parser)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Put our server into the container of a job whose RemoteDebug is on.

    Data: `{"job", "node", "changed", "source", "port", "user", "host_keys"}`; without a change,
    `source` tells where the container's marker is: in its log, or kept from an earlier session.
    """
    target = options.target_of(args, settings)
    options.refuse_unless_job(target, "has an SSH server of its own")
    aws = Aws(settings.profile, settings.region)
    job = lookup.find(aws, target, output.status)
    _refuse(job, target)
    if (found := _reachable(target, settings, aws)) is not None:
        return found
    newest = log_streams.find_newest(aws, kinds.of(job.kind).streams(job, target.node))
    place = _Place(target, job, newest or "")
    identity = identities.ensure(settings)
    if not _agreed(place, identity, yes=args.yes):
        data = {"job": job.name, "node": target.node, "changed": False}
        return Result(data, (f"{job.noun} {job.name} was not changed",), exit_status=1)
    with trial.no_session_left_open():
        started = _start(place, identity, settings, aws)
    session_markers.keep(aws, job, target.node, place.stream, started.line)
    JobCache(aws).forget_container(target)
    return _result(place, started, settings)


def _refuse(job: Job, target: Target) -> None:
    """Refuse a job that no shell session leads into.

    Raises:
        SmProxyError: with the code that fits.
    """
    job.refuse_unless_training("Put our entrypoint into its image: sm-proxy container init DIR.")
    job.refuse_if_over()
    kinds.refuse_missing_node(job, target.node)
    if not job.remote_debug:
        # Not switched on here: RemoteDebug lets everyone who may start sessions into the job's
        # containers.
        raise SmProxyError(
            "remote-debug-off",
            f"RemoteDebug of {job.noun} {job.name} is switched off",
            f"Switch it on: sm-proxy enable-remote-debug {target.host}, then run:"
            f" sm-proxy bootstrap {target.host}",
        )
    if not job.running:
        raise SmProxyError(
            "no-address",
            f"job {job.name} is {job.status}: it has no running container yet",
            f"When it is Training: sm-proxy bootstrap {target.host}",
        )


def _reachable(target: Target, settings: Settings, aws: Aws) -> Result | None:
    """The result for a container that has our entrypoint, so that nothing is to do."""
    try:
        found = resolver.resolve(target, settings, aws, fresh=True)
    except SmProxyError as error:
        if error.code not in {"no-address", "address-refused", "host-key-unknown"}:
            raise
        return None
    if found.source != "marker":
        return None
    data = {name: found.as_data()[name] for name in ("job", "node", "source", "port", "user")}
    data |= {"changed": False, "host_keys": list(found.host_keys)}
    return Result(data, (f"nothing to do, it has an SSH server of ours: ssh {target.host}",))


def _agreed(place: _Place, identity: Identity, *, yes: bool) -> bool:
    """Show what will be changed, and ask.

    Raises:
        SmProxyError: `usage`, there is no terminal to ask on.
    """
    for line in _PLAN:
        output.status(line.format(key=identity.fingerprint))
    name = f"{place.job.name}/{place.target.node}"
    try:
        return yes or prompt.confirm(f"Change the running container of {name}?")
    except NobodyToAskError:
        raise SmProxyError(
            "usage",
            f"bootstrap changes the container of {name}, and there is no terminal to ask on",
            f"If you mean that: sm-proxy bootstrap {place.target.host} --yes",
        ) from None


def _start(place: _Place, identity: Identity, settings: Settings, aws: Aws) -> Started:
    job, node = place.job.name, place.target.node
    session = remote_debug.open_shell(job, node, place.target.host, aws, settings.wait)
    tunnel = BlockingSocket(session)
    try:
        tunnel.wait_open()
        shell = RemoteShell(tunnel.socket, tunnel.raise_failure)
        output.status(f"a shell session is open in {job}/{node}: sending our SSH server")
        shell.enter()
        key = " ".join(identity.public_key.split()[:2])
        with waits.waiting(f"starting our SSH server in {job}/{node}"):
            started = server.start(shell, key, _fetch_wheels, output.status)
        shell.leave()
    finally:
        tunnel.close()
    if started.marker.node != node:
        raise SmProxyError(
            "unsupported",
            f"the container of {job}/{node} says that it is {started.marker.node}",
            f"Name that node: sm-proxy bootstrap {_host(place, started.marker.node)}",
        )
    return started


def _fetch_wheels(version: str, target: str) -> dict[str, bytes]:
    return wheels.for_python(version, target, output.status)


def _host(place: _Place, node: str) -> str:
    return hostname.compose(place.target.prefix, place.job.name, node).host


def _result(place: _Place, started: Started, settings: Settings) -> Result:
    found = started.marker
    data: dict[str, Any] = {
        "job": place.job.name,
        "node": place.target.node,
        "changed": True,
        "source": "session",
        "port": found.port,
        "user": found.user,
        "host_keys": list(found.host_keys),
    }
    host = place.target.host
    name = host if found.user == settings.user else f"{found.user}@{host}"
    return Result(data, f"the SSH server runs\nssh {name}")
