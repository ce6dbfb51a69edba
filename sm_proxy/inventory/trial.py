"""Whether `connect` would reach a container: all of its steps, without the user's bytes.

The log names a container's address. Only a trial shows whether a server listens there with the
right host key. It opens one session and ends it.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from sm_proxy import public_key, resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import trust_on_first_use
from sm_proxy.jobs import search
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import signals, waits
from sm_proxy.local.waits import Wait
from sm_proxy.routes import sessions
from sm_proxy.routes import table as routes
from sm_proxy.settings import Settings
from sm_proxy.tunnel.blocking_socket import BlockingSocket

_STILL_STARTING: Final = frozenset(
    {"connect-refused", "remote-debug-off", "session-lost", "space-not-ready", "sshd-silent"}
)
"""Errors of a server, or of an agent, that may still be starting."""


@contextlib.contextmanager
def no_session_left_open() -> Iterator[None]:
    """End the sessions of trials, also on a signal or when the terminal is closed."""
    signals.raise_on_hangup()
    try:
        yield
    finally:
        sessions.SESSIONS.end_all()


def wait_until_answering(
    target: Target, settings: Settings, aws: Aws, wait: float, on_status: Callable[[str], None]
) -> Container:
    """Wait until `connect` would reach the container of a host name.

    Args:
        target: the host name, parsed.
        settings: of this run.
        aws: for the calls.
        wait: the longest wait in seconds, for the job, its log and its server together.
        on_status: takes a line for people while it waits.

    Raises:
        SmProxyError: the error that `connect` would end with.
    """
    deadline, left = time.monotonic() + wait, wait
    waiting: Wait | None = None
    with contextlib.ExitStack() as held:
        while True:
            # The cache may name a container that is gone.
            found = resolver.resolve(
                target, settings, aws, wait=left, on_status=on_status, fresh=True
            )
            try:
                refuse_unless_answering(found, settings, aws)
            except SmProxyError as error:
                left = deadline - time.monotonic()
                if error.code not in _STILL_STARTING or left <= 0:
                    raise
                if waiting is None:
                    waiting = held.enter_context(waits.waiting("", left, covers=True))
                waiting.tell(f"{error.message}; waiting, it may still be starting", on_status)
            else:
                return found
            time.sleep(min(left, random.uniform(*search.POLL_S)))  # noqa: S311 - jitter
            left = max(0.0, deadline - time.monotonic())


def refuse_unless_answering(container: Container, settings: Settings, aws: Aws) -> None:
    """Connect to the container's SSH server and check its host key; waits for nothing.

    Raises:
        SmProxyError: the error that `connect` would end with.
    """
    if not container.host_keys:
        pinned = trust_on_first_use.pinned(container, settings, aws.scope)
        container = replace(container, host_keys=(pinned,) if pinned else ())
    tunnel = BlockingSocket(routes.connect(container, replace(settings, wait=0), aws))
    try:
        tunnel.wait_open()
        tunnel.await_greeting(container.place, container.look)
        if container.host_keys:
            _refuse_another_key(container, tunnel)
    finally:
        tunnel.close()


def _refuse_another_key(container: Container, tunnel: BlockingSocket) -> None:
    try:
        seen = trust_on_first_use.read_host_key(tunnel.socket, container.host_keys)
    except SmProxyError:  # our reader may fail on a server that ssh understands
        return
    if seen not in container.host_keys:
        names = ", ".join(map(public_key.describe, container.host_keys))
        raise SmProxyError(
            "host-key-changed",
            f"{container.place} has the host key "
            f"{public_key.describe(seen)}, but {names} is expected",
            f"Find out why with: sm-proxy doctor {container.host}",
        )
