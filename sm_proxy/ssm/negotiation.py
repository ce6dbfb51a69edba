"""The client's side of the handshake: the agent's payloads go in, our answers come out.

The agent sends one HandshakeRequest with a list of actions and waits for their results. If the
stream will be encrypted, it sends a challenge. At the end it sends HandshakeComplete
(A: datachannel/datachannel.go:860-1011).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from sm_proxy.ssm.encryption import Cipher
from sm_proxy.ssm.handshake import (
    Answer,
    Complete,
    Encryption,
    HandshakeError,
    Request,
    SessionType,
    read_complete,
    read_document,
    read_request,
)


class Negotiation:
    """One session's handshake.

    Args:
        session_type: the only type that we accept: bytes for a port must not reach a shell.

    Attributes:
        session_type: as given.
        request: the agent's request; None before it arrives.
        cipher: the stream's cipher; None without encryption.
        refusal: why we refused an action, so that the agent will end the session; usually empty.
    """

    def __init__(self, session_type: SessionType = "Port") -> None:
        self.session_type = session_type
        self.request: Request | None = None
        self.cipher: Cipher | None = None
        self.refusal = ""
        self._challenged = False

    @property
    def may_be_skipped(self) -> bool:
        """Whether output may come without a handshake: for a shell, if no request has come."""
        return self.session_type == "Standard_Stream" and self.request is None

    def on_request(self, payload: bytes) -> Encryption | bytes | None:
        """Process the HandshakeRequest.

        Returns:
            The answer, or the encryption that needs a key first; None for a second request.

        Raises:
            HandshakeError: the payload is malformed.
        """
        if self.request is not None:
            return None
        self.request = read_request(payload)
        return self.request.encryption or self._answer(self.request, None)

    def provide_key(self, ciphertext: bytes, cipher: Cipher) -> bytes:
        """The answer, now that there is a data key: its ciphertext goes to the agent."""
        if self.request is None or self.request.encryption is None:
            raise ValueError("no data key was requested")
        self.cipher = cipher
        key: dict[str, Any] = {"KMSCipherTextKey": base64.b64encode(ciphertext).decode()}
        if self.request.encryption.challenge:
            key["ChallengeAcknowledgement"] = True
        return self._answer(self.request, key)

    def refuse_key(self, reason: str) -> bytes:
        """The answer without a data key."""
        if self.request is None:
            raise ValueError("no data key was requested")
        return self._answer(self.request, None, reason)

    def on_challenge(self, payload: bytes) -> bytes | None:
        """Prove that we have the data key: decrypt the challenge, and encrypt it for the agent.

        Raises:
            HandshakeError: the agent did not ask for encryption, or used another key.
        """
        if self.cipher is None:
            raise HandshakeError("the agent sent a challenge without asking for encryption")
        if self._challenged:
            return None
        self._challenged = True
        try:
            challenge = base64.b64decode(read_document(payload)["Challenge"])
            proof = self.cipher.encrypt(self.cipher.decrypt(challenge))
        except (ValueError, TypeError, KeyError, binascii.Error) as error:
            raise HandshakeError(f"the encryption challenge failed: {error}") from None
        return json.dumps({"Challenge": base64.b64encode(proof).decode()}).encode()

    def on_complete(self, payload: bytes) -> tuple[Request, Complete]:
        """Process the HandshakeComplete.

        Raises:
            HandshakeError: there was no request, we refused it, or its key is still missing.
        """
        if self.request is None:
            raise HandshakeError("the agent completed a handshake that it had not begun")
        if self.refusal:
            raise HandshakeError(self.refusal)
        if self.request.encryption is not None and self.cipher is None:
            raise HandshakeError("the agent did not wait for the data key that it requested")
        return self.request, read_complete(payload)

    def _answer(self, request: Request, key: dict[str, Any] | None, reason: str = "") -> bytes:
        answer = Answer()
        for action in request.actions:
            kind = str(action.get("ActionType"))
            if kind == "KMSEncryption" and key is not None:
                answer.succeed(kind, key)
            elif kind == "KMSEncryption":
                self.refusal = reason or "the agent asked for encryption without naming a key"
                answer.fail(kind, self.refusal)
            elif kind == "SessionType" and _session_type(action) == self.session_type:
                answer.succeed(kind)
            else:
                self.refusal = f"the agent asked for {kind} {_session_type(action) or ''}".rstrip()
                answer.decline(kind)
        return answer.encode()


def _session_type(action: Any) -> object:
    parameters = action.get("ActionParameters")
    return parameters.get("SessionType") if isinstance(parameters, dict) else None
