"""The route through the agent that RemoteDebug runs in a training container.

It needs no VPC, no bastion and no address: the agent forwards to a port of its own container. Its
target is in the SageMaker guide, "Access a training container through AWS Systems Manager for
remote debugging".
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.job import training_target
from sm_proxy.local import output, threads, waits
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words, open_session, open_stream
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.ssm.dial_failure import dial_failure
from sm_proxy.ssm.session import Kind, Session
from sm_proxy.tunnel.stream import Stream

DIALS_FROM: Final = "container"
MENDABLE: Final[frozenset[Code]] = frozenset({"access-denied", "remote-debug-off"})
_AWAY: Final = "remote-debug-off"
AGENT_S: Final = 60.0
"""How long the agent of a container that has just started may take to connect, in seconds."""
ROLE_HINT: Final = (
    "The job's role needs ssmmessages:CreateControlChannel, CreateDataChannel, OpenControlChannel "
    "and OpenDataChannel; a job in a VPC also needs a way to Session Manager."
)
_DOCUMENT: Final = "AWS-StartPortForwardingSession"
_POLL_S: Final = (2.0, 4.0)
_KIND: Final = "training"
_Opened = TypeVar("_Opened", bound=Stream)


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """Whether RemoteDebug is on; makes no call."""
    del settings, aws
    if container.kind != _KIND:
        return Verdict(usable=False, reason="only training jobs have RemoteDebug")
    if not container.remote_debug:
        switch = f"sm-proxy enable-remote-debug {container.host}"
        return Verdict(usable=False, reason=f"RemoteDebug of {container.job} is off ({switch})")
    return Verdict(usable=True, reason=f"RemoteDebug of {container.job} is on")


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream to a port of the container through the agent in it.

    The agent of a job that was just described may still be connecting: it is waited for. Where the
    job comes from the cache, it may have ended: the caller has to look.

    Raises:
        SmProxyError: `remote-debug-off`, the agent is not connected; access denied; or the data
            channel cannot be opened.
    """
    parameters = {"portNumber": [str(container.port)], "localPortNumber": ["0"]}
    request = SessionRequest(
        container.training_target, _DOCUMENT, parameters, f"sm-proxy {container.job}"
    )
    again = f"Find out why with: sm-proxy doctor {container.host}"
    if container.source == "session":
        again = f"If it has ended, start it again: sm-proxy bootstrap {container.host}"

    def open_now() -> Stream:
        return open_stream(aws, request, words, settings)

    def instead(failure: SmProxyError) -> Stream:
        if failure.code != _AWAY:
            raise failure
        return _open_once_connected(open_now, container.host, settings.wait)

    words = replace(_words(container.job, container.node, again), instead=instead)
    wait = 0.0 if container.cached else settings.wait
    return _open_once_connected(open_now, container.host, wait)


def open_shell(job: str, node: str, host: str, aws: Aws, wait: float) -> Session:
    """Open a shell in a container, by the document that the account's preferences make.

    Args:
        job: the training job's name.
        node: such as `algo-1`.
        host: its host name, for messages.
        aws: for the calls.
        wait: how long the agent may take to connect, in seconds.

    Raises:
        SmProxyError: as `connect`.
    """
    request = SessionRequest(training_target(job, node), None, {}, f"sm-proxy bootstrap {job}")
    words = _words(job, node, f"Run it again: sm-proxy bootstrap {host}")
    return _open_once_connected(lambda: open_session(aws, request, words), host, wait)


def agent_connected(aws: Aws, target: str) -> bool | None:
    """Whether the agent of a target is connected to Session Manager; None if that is denied.

    Raises:
        SmProxyError: the call failed.
    """
    answer = aws.call_if_allowed("ssm", "GetConnectionStatus", Target=target)
    return None if answer is None else answer.get("Status") == "connected"


def _open_once_connected(open_now: Callable[[], _Opened], host: str, within_s: float) -> _Opened:
    """Open a session. If the agent is not connected, try again for `within_s` seconds."""
    try:
        return open_now()
    except SmProxyError as error:
        if error.code != _AWAY or not within_s:
            raise
    within_s = min(within_s, AGENT_S)
    deadline = time.monotonic() + within_s
    output.status(
        f"waiting up to {within_s:.0f} s for the agent in the container of {host} to "
        "connect to Session Manager"
    )
    with waits.waiting(f"waiting for the agent in the container of {host}", within_s, covers=True):
        while True:
            left = max(0.0, deadline - time.monotonic())
            threads.run(time.sleep, min(left, random.uniform(*_POLL_S)))  # noqa: S311 - jitter
            try:
                return open_now()
            except SmProxyError as error:
                if error.code != _AWAY or left <= 0:
                    raise


def _words(job: str, node: str, again: str) -> Words:
    failures: dict[Kind, tuple[Code, str]] = {
        "refused": ("connect-refused", f"Does the SSH server in the container run? {again}"),
        "unreachable": (
            "session-lost",
            "The agent in the container is away. If the job still runs, connect again.",
        ),
        "large": ("session-lost", "Connect again: this container will get small messages."),
    }

    def explain(error: ServiceError) -> SmProxyError:
        if error.error == "TargetNotConnected":
            return SmProxyError(
                _AWAY,
                f"the agent in the container of {job}/{node} is not connected "
                f"to Session Manager: {error.message}",
                ROLE_HINT,
            )
        if (kind := dial_failure(error.message)) is not None:
            return Words(failures=failures).failure(kind, error.message)
        return error.as_failure()

    return Words(explain, failures, "remote-debug")
