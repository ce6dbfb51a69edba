"""The route through a bastion's SSM agent, with port forwarding to a remote host.

The user may name the bastion. Otherwise it is a running instance in the job's VPC with the tag
`sm-proxy:role` = `bastion` that is online in SSM; of several, the one with the lowest id.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, output, paths, private_files, process_identity, threads
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background
from sm_proxy.routes import bastion_lookup, session_api, sessions
from sm_proxy.settings import Settings
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.outbox import LARGE_PAYLOAD, SAFE_PAYLOAD
from sm_proxy.ssm.session import Kind, Session

NAME: Final = "bastion"
_STALE: Final = frozenset({"bastion-offline", "no-bastion", "agent-too-old"})
"""Errors of a cached bastion after which another bastion may still serve."""


def applies(settings: Settings, container: Container) -> bool:
    """Whether the container has an address: the bastion may be in any VPC."""
    del settings
    return bool(container.address)


def connect(container: Container, settings: Settings, aws: Aws) -> Session:
    """Open a stream to the container's port through the bastion.

    Raises:
        SmProxyError: no bastion, offline, too old, denied, or the data channel cannot be opened.
    """
    if container.address is None:
        raise SmProxyError(
            "no-vpc",
            f"no address of {container.host} in its VPC is known: a bastion cannot reach it",
            "Its RemoteDebug is on: use the route remote-debug.",
        )
    if settings.bastion:
        return _through(settings.bastion, container, aws)
    vpc_id = str(container.vpc_id)
    target, cached = threads.run(bastion_lookup.choose, aws, vpc_id)
    try:
        return _through(target, container, aws)
    except SmProxyError as error:
        bastion_lookup.forget(aws, vpc_id)
        if not cached or error.code not in _STALE:
            raise
        debug_log.write("the cached bastion no longer serves, looking for another", id=target)
    target, _ = threads.run(bastion_lookup.choose, aws, vpc_id)
    return _through(target, container, aws)


def _through(target: str, container: Container, aws: Aws) -> Session:
    debug_log.write("bastion", id=target)
    reason = f"sm-proxy {container.job}"
    api = session_api.SsmApi(aws, target, str(container.address), container.port, reason)
    options = ssm.Options(
        payload_limit=SAFE_PAYLOAD if private_files.exists(_small_only(target)) else LARGE_PAYLOAD,
        network=aws.network,
        on_status=output.status,
        failure=_failures(target),
        over=sessions.SESSIONS.over,
        target=target,
    )
    return _opened(api, options, aws.scope)


def _opened(api: session_api.SsmApi, options: ssm.Options, scope: str) -> Session:
    """Start the session and open its websocket; a hang-up meanwhile leaves no session open."""
    starting = Background(lambda: sessions.SESSIONS.start(api, scope), begin=False)
    try:
        starting.begin()
        process_identity.this_process()  # slow on macOS, so it runs while the service works
        grant = starting.result()
        debug_log.write("session granted", id=grant.session_id)
        return threads.run(ssm.start, api, options, grant)
    except (Hangup, KeyboardInterrupt):  # any other error leaves no session open
        if (granted := starting.settled(ssm.TERMINATE_DEADLINE_S)) is not None:
            ssm.terminate_within_bound(api, granted.session_id)
        raise


def _failures(target: str) -> Callable[[Kind, str], SmProxyError]:
    """The function that makes the error for a session that did not end cleanly."""

    def failure(kind: Kind, reason: str) -> SmProxyError:
        if kind == "large":
            with contextlib.suppress(OSError):
                private_files.write_private(_small_only(target), b"")
        return session_api.failure(kind, reason)

    return failure


def _small_only(target: str) -> Path:
    """The file that exists once this target has refused a large message."""
    return paths.cache_dir() / "small-messages" / target
