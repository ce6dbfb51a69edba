"""The route to a Studio space: `sagemaker:StartSession` forwards to the space's ssh server.

The session has one plain stream, and nothing of it is kept for another connection: a space takes
ten sessions at a time.
"""

from __future__ import annotations

import time
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import output, threads, waits
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.space_api import SpaceApi
from sm_proxy.routes.ssm_session import Words, open_session
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.ssm.session import Kind
from sm_proxy.tunnel.farewell import FarewellStream
from sm_proxy.tunnel.stream import Stream

DIALS_FROM: Final = "container"
MENDABLE: Final[frozenset[Code]] = frozenset()
_REGISTERING: Final = frozenset({"InternalFailure", "InternalServerError"})
"""Errors of a space that Session Manager does not know yet, though its app is in service."""
_PAUSES_S: Final = (1.5, 2.25, 3.4, 3.4)
"""Seconds between tries while it registers: those of the AWS Toolkit for VS Code, and one more."""
_NOT_READY: Final = "space-not-ready"
_GONE: Final = frozenset({"ResourceNotFound", "ValidationException"})


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """SageMaker reaches every space whose app runs with remote access; makes no call."""
    del settings, aws
    return Verdict(usable=True, reason=f"SageMaker reaches the space {container.job}")


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream to the space's ssh server.

    A space that was just described may still be registering: it is waited for. Where it comes from
    the cache, it may have stopped: the caller has to look.

    Raises:
        SmProxyError: `space-not-ready`, `space-busy`, `space-stopped`; access denied; or the data
            channel cannot be opened.
    """
    del settings
    for pause in () if container.cached else _PAUSES_S:
        try:
            return _open(container, aws)
        except SmProxyError as error:
            if error.code != _NOT_READY:
                raise
        if pause == _PAUSES_S[0]:
            output.status(
                f"the space {container.job} is not registered with Session Manager yet: trying "
                f"again for {sum(_PAUSES_S):.0f} s"
            )
        with waits.waiting(f"waiting until the space {container.job} is registered"):
            threads.run(time.sleep, pause)
    return _open(container, aws)


def _open(container: Container, aws: Aws) -> Stream:
    request = SessionRequest(container.session_target, None, {}, f"sm-proxy {container.job}")
    return FarewellStream(open_session(aws, request, _words(container), SpaceApi))


def _words(container: Container) -> Words:
    host, space = container.host, container.job
    restart = f"sm-proxy stop {host}, then sm-proxy start {host}"
    failures: dict[Kind, tuple[Code, str]] = {
        "refused": ("connect-refused", container.look),
        "unreachable": (
            "session-lost",
            f"Does the space still run? Connect again, or run: sm-proxy doctor {host}",
        ),
    }

    def explain(error: ServiceError) -> SmProxyError:
        if error.error == "ResourceLimitExceeded":
            return SmProxyError(
                "space-busy",
                f"the space {space} takes no further connection: {error.message}",
                "It takes 10. Close one, such as an editor's window or a terminal; one that was "
                "killed may count for up to an hour.",
            )
        if error.error in _REGISTERING:
            return SmProxyError(
                _NOT_READY,
                f"the space {space} is not registered with Session Manager: {error.message}",
                "If its app has just started, connect again in a minute. If it persists, start its "
                f"app again: {restart}",
                passing=True,
            )
        if error.error in _GONE:
            return SmProxyError(
                "space-stopped",
                f"SageMaker starts no session to the space {space}: {error.message}",
                f"Run: sm-proxy start {host}",
            )
        return error.as_failure()

    return Words(explain, failures, "space")
