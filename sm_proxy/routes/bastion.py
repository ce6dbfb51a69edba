"""The route through a bastion's SSM agent, with port forwarding to a remote host.

The user may name the bastion. Otherwise it is a running instance in the job's VPC with the tag
`sm-proxy:role` = `bastion` that is online in SSM; of several, the one with the lowest id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log
from sm_proxy.routes import bastion_lookup
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words, open_stream
from sm_proxy.routes.verdict import NO_ADDRESS, Verdict
from sm_proxy.settings import Settings
from sm_proxy.ssm.dial_failure import dial_failure
from sm_proxy.ssm.session import Kind
from sm_proxy.tunnel.stream import Stream

DIALS_FROM: Final = "bastion"
MENDABLE: Final[frozenset[Code]] = frozenset(
    {"access-denied", "agent-too-old", "bastion-offline", "no-bastion"}
)
_DOCUMENT: Final = "AWS-StartPortForwardingSessionToRemoteHost"
FAILURES: Final[dict[Kind, tuple[Code, str]]] = {
    "unreachable": ("bastion-offline", "Check that the instance and its SSM agent are running."),
    "refused": (
        "connect-refused",
        "Is sshd running in the container, and does its security group let the bastion in?",
    ),
    "unanswered": (
        "connect-refused",
        "Let the bastion in through the job's security group, network ACLs and route tables.",
    ),
    "barred": (
        "connect-refused",
        "Does a firewall or a policy on the bastion keep its agent from connecting?",
    ),
    "unresolved": (
        "no-address",
        "The bastion cannot resolve it: check its VPC's DNS, or take an address from the log.",
    ),
    "forbidden": ("address-refused", "The bastion's agent never forwards to this address."),
    "large": ("session-lost", "Connect again: this bastion will get small messages."),
}


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """Whether there is a bastion; asks AWS for it unless one is named or cached.

    Raises:
        SmProxyError: as `bastion_lookup.choose`, if no other route could do better.
    """
    if not container.address:
        return NO_ADDRESS
    vpc_id, named = str(container.vpc_id), settings.bastion

    def judged(target: str) -> Verdict:
        found = f"{target} is the bastion of {vpc_id}"
        reason = f"the settings name the bastion {target}" if named else found
        return Verdict(usable=True, reason=reason)

    choose = bastion_lookup.choose
    return bastion_lookup.verdict(aws, vpc_id, named, choose, judged, mendable=MENDABLE)


def connect(container: Container, settings: Settings, aws: Aws) -> Stream:
    """Open a stream to the container's port through the bastion.

    Raises:
        SmProxyError: no bastion, offline, too old, denied, or the data channel cannot be opened.
    """
    if settings.bastion:
        return _through(settings.bastion, container, settings, aws)
    vpc_id, choose = str(container.vpc_id), bastion_lookup.choose

    def through(target: str) -> Stream:
        return _through(target, container, settings, aws, instead)

    def instead(failure: SmProxyError) -> Stream:
        return bastion_lookup.instead(aws, vpc_id, choose, through, failure)

    return bastion_lookup.reached(aws, vpc_id, choose, through)


def _through(
    target: str,
    container: Container,
    settings: Settings,
    aws: Aws,
    instead: Callable[[SmProxyError], Stream] | None = None,
) -> Stream:
    debug_log.write("bastion", id=target)
    parameters = {
        "host": [str(container.address)],
        "portNumber": [str(container.port)],
        "localPortNumber": ["0"],
    }
    request = SessionRequest(target, _DOCUMENT, parameters, f"sm-proxy {container.job}")
    words = Words(lambda error: explained(error, target, aws), FAILURES, "bastion", instead)
    return open_stream(aws, request, words, settings)


def explained(error: ServiceError, target: str, aws: Aws) -> SmProxyError:
    """The error for a StartSession that failed; asks SSM about the bastion to explain it."""
    try:
        known = bastion_lookup.agents(aws, [target])
    except SmProxyError:
        known = None  # StartSession's own error matters more
    information = (known or {}).get(target, {})
    if bastion_lookup.is_too_old(information):
        return bastion_lookup.AgentTooOldError(target, information)
    if error.error == "TargetNotConnected":
        status = information.get("PingStatus", "unknown to SSM")
        shown = "" if known is None else f" ({status})"
        return SmProxyError(
            "bastion-offline",
            f"the bastion {target} is not connected to SSM{shown}: {error.message}",
            bastion_lookup.OFFLINE_HINT,
        )
    if (kind := dial_failure(error.message)) is not None:
        return Words(failures=FAILURES).failure(kind, error.message)
    if error.error == "InvalidTarget":
        return SmProxyError(
            "no-bastion",
            f"SSM cannot reach the instance {target}: {error.message}",
            "Name a running instance with --bastion.",
        )
    return error.as_failure()
