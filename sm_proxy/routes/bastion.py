"""The route through a bastion's SSM agent, with port forwarding to a remote host.

The bastion is the one the user names, else the running instance in the job's VPC with the tag
`sm-proxy:role` = `bastion` that is online in SSM and has the lowest id.
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
"""What a remembered bastion may meet that another one would not."""


def applies(settings: Settings, container: Container) -> bool:
    """It leads to whatever has an address."""
    del settings  # the bastion may stand in another VPC
    return bool(container.address)


def connect(container: Container, settings: Settings, aws: Aws) -> Session:
    """Open a stream to the container's port through the bastion.

    Raises:
        SmProxyError: no bastion, offline, too old, denied, or the data channel cannot be opened.
    """
    if settings.bastion:
        return _through(settings.bastion, container, aws)
    target, remembered = threads.run(bastion_lookup.choose, aws, container.vpc_id)
    try:
        return _through(target, container, aws)
    except SmProxyError as error:
        bastion_lookup.forget(aws, container.vpc_id)
        if not remembered or error.code not in _STALE:
            raise
        debug_log.write("the remembered bastion does not do any more", id=target)
    target, _ = threads.run(bastion_lookup.choose, aws, container.vpc_id)
    return _through(target, container, aws)


def _through(target: str, container: Container, aws: Aws) -> Session:
    debug_log.write("bastion", id=target)
    reason = f"sm-proxy {container.job}"
    api = session_api.SsmApi(aws, target, container.address, container.port, reason)
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
    """StartSession and the websocket; a hang-up meanwhile must not leave a session behind."""
    starting = Background(lambda: sessions.SESSIONS.start(api, scope), begin=False)
    try:
        starting.begin()
        process_identity.this_process()  # while the service works: on macOS it takes a while
        grant = starting.result()
        debug_log.write("session granted", id=grant.session_id)
        return threads.run(ssm.start, api, options, grant)
    except (Hangup, KeyboardInterrupt):  # after anything else, nothing is left open
        if (granted := starting.settled(ssm.TERMINATE_DEADLINE_S)) is not None:
            ssm.terminate_within_bound(api, granted.session_id)
        raise


def _failures(target: str) -> Callable[[Kind, str], SmProxyError]:
    """What makes the failure for a session that did not end cleanly."""

    def failure(kind: Kind, reason: str) -> SmProxyError:
        if kind == "large":
            with contextlib.suppress(OSError):
                private_files.write_private(_small_only(target), b"")
        return session_api.failure(kind, reason)

    return failure


def _small_only(target: str) -> Path:
    """A file that is there once this target has refused a large message."""
    return paths.cache_dir() / "small-messages" / target
