"""The API calls of one SSM session: start, resume, terminate, and get its encryption key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.routes import sessions
from sm_proxy.ssm.handshake import SessionType
from sm_proxy.ssm.session import FinalError, Grant

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


@dataclass(frozen=True)
class SessionRequest:
    """The parameters of StartSession.

    Attributes:
        target: an instance id, `sagemaker-training-job:<job>_algo-<n>`, or what another API takes.
        document: name of the SSM document; None for the account's default, a shell.
        parameters: of the document.
        reason: shown in the console and in CloudTrail.
    """

    target: str
    document: str | None
    parameters: Mapping[str, list[str]]
    reason: str


class SsmApi:
    """The session's API calls.

    Args:
        aws: makes the calls.
        request: what the session is for.
        explain: makes the error for a StartSession that the service refused.
    """

    def __init__(
        self,
        aws: Aws,
        request: SessionRequest,
        explain: Callable[[ServiceError], SmProxyError] = ServiceError.as_failure,
    ) -> None:
        self._aws = aws
        self._request = request
        self._explain = explain

    @property
    def session_type(self) -> SessionType:
        """That of the document."""
        return "Port" if self._request.document else "Standard_Stream"

    def start(self) -> Grant:
        """StartSession on the target."""
        request = self._request
        asked: dict[str, Any] = {"Target": request.target, "Reason": request.reason}
        if request.document is not None:
            asked["DocumentName"] = request.document
        if request.parameters:
            asked["Parameters"] = dict(request.parameters)
        try:
            answer = self._aws.call("ssm", "StartSession", **asked)
        except ServiceError as error:
            raise self._explain(error) from None
        return self._granted(answer)

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
        return self._granted(answer) if answer.get("TokenValue") else None

    def terminate(self, session_id: str) -> None:
        """TerminateSession."""
        sessions.SESSIONS.leave(session_id)
        sessions.terminate(self._aws, session_id)
        sessions.SESSIONS.over(session_id)

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        """GenerateDataKey, with the context that the agent checks (A: crypto/blockcipher.go)."""
        context = {"aws:ssm:SessionId": session_id, "aws:ssm:TargetId": self._request.target}
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

    def _granted(self, answer: dict[str, Any]) -> Grant:
        """The grant in an answer, with the endpoint that is configured for streams."""
        grant = _grant(answer)
        url = grant.stream_url
        return replace(grant, stream_url=self._aws.stream_url(url)) if url else grant


def _grant(answer: dict[str, Any]) -> Grant:
    return Grant(answer["SessionId"], answer["TokenValue"], answer.get("StreamUrl", ""))
