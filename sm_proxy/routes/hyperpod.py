"""The route to a node of a HyperPod cluster: Session Manager forwards to the node's own sshd.

The target's form is that of AWS's HyperPod samples (awsome-distributed-ai, `easy-ssh.sh`).
"""

from __future__ import annotations

from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
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
_FAILURES: Final[dict[Kind, tuple[Code, str]]] = {
    "refused": ("connect-refused", "Does sshd run on the node?"),
}


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
    del settings
    request = SessionRequest(
        container.session_target,
        _DOCUMENT,
        {"portNumber": [str(container.port)]},
        f"sm-proxy {container.job}",
    )

    def explain(error: ServiceError) -> SmProxyError:
        if error.error == "TargetNotConnected":
            return SmProxyError(
                "session-lost",
                f"the agent of {container.node} in cluster {container.job} is not connected to "
                f"Session Manager: {error.message}",
                "Has the node been replaced? See: sm-proxy nodes "
                f"{container.host.split('.', 1)[0]}.hyperpod",
            )
        return error.as_failure()

    return open_session(aws, request, Words(explain, _FAILURES, "hyperpod"))
