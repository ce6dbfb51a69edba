"""The API calls of one SSM session: start, resume, terminate, and get its encryption key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.routes import bastion_lookup, sessions
from sm_proxy.ssm.dial_failure import dial_failure
from sm_proxy.ssm.session import FinalError, Grant, Kind

DOCUMENT: Final = "AWS-StartPortForwardingSessionToRemoteHost"
_KEY_UNUSABLE: Final = frozenset(
    {
        "DisabledException",
        "InvalidKeyUsageException",
        "KMSInvalidStateException",
        "NotFoundException",
    }
)
"""KMS errors for a key that stays unusable however often we try."""
_KEY_BYTES: Final = 64
_CODES: Final[dict[Kind, Code]] = {
    "lost": "session-lost",
    "unopened": "network",
    "unreachable": "bastion-offline",
    "refused": "connect-refused",
    "unanswered": "connect-refused",
    "barred": "connect-refused",
    "unresolved": "no-address",
    "forbidden": "address-refused",
    "closed": "session-lost",
    "large": "session-lost",
    "doubled": "session-lost",
}
_HINTS: Final[dict[Kind, str]] = {
    "lost": "Connect again.",
    "unopened": "Check the network, proxy and VPN: the data channel uses a host of its own.",
    "unreachable": "Check that the instance and its SSM agent are running.",
    "refused": "Is sshd running in the container, and does its security group let the bastion in?",
    "unanswered": "Let the bastion in through the job's security group, its subnets' network ACLs "
    "and its route tables.",
    "barred": "Does a firewall or a policy on the bastion keep its agent from connecting?",
    "unresolved": "The bastion cannot resolve it: check its VPC's DNS, or take an address from "
    "the job's log.",
    "forbidden": "The bastion's agent never forwards to this address.",
    "closed": "Connect again.",
    "doubled": "Connect again, and repeat the transfer that was cut off.",
    "large": "Connect again: this bastion will get small messages.",
}


class SsmApi:
    """The session's API calls for one target, host and port."""

    def __init__(self, aws: Aws, target: str, host: str, port: int, reason: str) -> None:
        self._aws = aws
        self._target = target
        self._parameters = {"host": [host], "portNumber": [str(port)], "localPortNumber": ["0"]}
        self._reason = reason

    def start(self) -> Grant:
        """StartSession on the bastion."""
        try:
            answer = self._aws.call(
                "ssm",
                "StartSession",
                Target=self._target,
                DocumentName=DOCUMENT,
                Parameters=self._parameters,
                Reason=self._reason,
            )
        except ServiceError as error:
            raise self._diagnosed(error) from None
        return self._placed(_grant(answer))

    def resume(self, session_id: str) -> Grant | None:
        """ResumeSession; None if the service no longer knows the session."""
        try:
            answer = self._aws.call("ssm", "ResumeSession", SessionId=session_id)
        except ServiceError as error:
            if error.error == "DoesNotExistException":
                return None
            raise
        except SmProxyError as error:
            if error.code in {"access-denied", "no-credentials", "expired-credentials"}:
                what = f"the connection was lost and cannot be resumed: {error.message}"
                raise FinalError(SmProxyError(error.code, what, error.hint)) from None
            raise
        return self._placed(_grant(answer)) if answer.get("TokenValue") else None

    def terminate(self, session_id: str) -> None:
        """TerminateSession."""
        sessions.SESSIONS.leave(session_id)
        sessions.terminate(self._aws, session_id)
        sessions.SESSIONS.over(session_id)

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        """GenerateDataKey, with the context that the agent checks (A: crypto/blockcipher.go)."""
        context = {"aws:ssm:SessionId": session_id, "aws:ssm:TargetId": self._target}
        if challenge:
            context["aws:ssm:RandomChallenge"] = challenge
        try:
            answer = self._aws.call(
                "kms",
                "GenerateDataKey",
                KeyId=key_id,
                NumberOfBytes=_KEY_BYTES,
                EncryptionContext=context,
            )
        except SmProxyError as error:
            what = f"sessions are encrypted with the KMS key {key_id}: {error.message}"
            raise FinalError(SmProxyError(error.code, what, error.hint)) from None
        except ServiceError as error:
            if error.error not in _KEY_UNUSABLE:
                raise
            what = (
                f"sessions are encrypted with the KMS key {key_id}, which cannot be used: {error}"
            )
            hint = (
                "Ask the administrator of Session Manager to enable the key or to choose another."
            )
            raise FinalError(SmProxyError("aws-error", what, hint)) from None
        return answer["CiphertextBlob"], answer["Plaintext"]

    def _placed(self, grant: Grant) -> Grant:
        """The grant with the endpoint that is configured for streams."""
        url = grant.stream_url
        return replace(grant, stream_url=self._aws.stream_url(url)) if url else grant

    def _diagnosed(self, error: ServiceError) -> SmProxyError:
        """The error for a StartSession that failed; asks SSM about the target to explain it."""
        try:
            known = bastion_lookup.agents(self._aws, [self._target])
        except SmProxyError:
            known = None  # StartSession's own error matters more
        information = (known or {}).get(self._target, {})
        if bastion_lookup.is_too_old(information):
            return bastion_lookup.agent_too_old(self._target, information)
        if error.error == "TargetNotConnected":
            status = information.get("PingStatus", "unknown to SSM")
            shown = "" if known is None else f" ({status})"
            return SmProxyError(
                "bastion-offline",
                f"the bastion {self._target} is not connected to SSM{shown}: {error.message}",
                bastion_lookup.OFFLINE_HINT,
            )
        if (kind := dial_failure(error.message)) is not None:
            return failure(kind, error.message)
        if error.error == "InvalidTarget":
            return SmProxyError(
                "no-bastion",
                f"SSM cannot reach the instance {self._target}: {error.message}",
                "Name a running instance with --bastion.",
            )
        return error.as_failure()


def failure(kind: Kind, reason: str) -> SmProxyError:
    """The error for a session that did not end cleanly, or never began."""
    return SmProxyError(_CODES[kind], reason, _HINTS[kind])


def _grant(answer: dict[str, Any]) -> Grant:
    return Grant(answer["SessionId"], answer["TokenValue"], answer.get("StreamUrl", ""))
