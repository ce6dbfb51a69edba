"""The route to a node of a HyperPod cluster: Session Manager forwards to the node's own sshd.

Target and document are those of AWS's HyperPod samples (awsome-distributed-ai, `easy-ssh.sh`).
A session of AWS-StartSSHSession carries one plain stream: smux needs the type LocalPortForwarding
in the handshake (A: session/plugins/port/port.go), so a connection has a session of its own.
"""

from __future__ import annotations

from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.jobs.container import Container
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words, open_session
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.ssm.session import Kind
from sm_proxy.tunnel.stream import Stream

DIALS_FROM: Final = "container"
MENDABLE: Final[frozenset[Code]] = frozenset()
_DOCUMENT: Final = "AWS-StartSSHSession"
_NOTHING_LISTENS: Final[tuple[Kind, ...]] = ("refused", "unanswered")


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """Session Manager reaches every node that runs; makes no call."""
    del settings, aws
    return Verdict(usable=True, reason=f"Session Manager reaches {container.node}")


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream to the node's sshd.

    Raises:
        SmProxyError: `session-lost`, the node's agent is away; access denied; or the data channel
            cannot be opened.
    """
    request = SessionRequest(
        container.session_target,
        _DOCUMENT,
        {"portNumber": [str(container.port)]},
        f"sm-proxy {container.job}",
    )

    def explain(error: ServiceError) -> SmProxyError:
        if error.error == "TargetNotConnected":
            cluster = hostname.compose(settings.prefix, container.job, kind=container.kind).host
            return SmProxyError(
                "session-lost",
                f"the agent of node {container.node} in cluster {container.job} is not connected "
                f"to Session Manager: {error.message}",
                f"See which nodes the cluster has now: sm-proxy nodes {cluster}",
            )
        return error.as_failure()

    advice: tuple[Code, str] = ("connect-refused", container.look)
    failures = dict.fromkeys(_NOTHING_LISTENS, advice)
    return open_session(aws, request, Words(explain, failures, "hyperpod"))
