"""The client's side of the handshake: the agent's payloads come in, the answers go out.

The agent asks once for a list of actions, waits for the results, challenges us if the stream is to
be encrypted, and says that the handshake is complete (A: datachannel/datachannel.go:860-1011).
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from sm_proxy.ssm.encryption import Cipher
from sm_proxy.ssm.handshake import (
    Answer,
    Complete,
    Encryption,
    HandshakeError,
    Request,
    read_complete,
    read_document,
    read_request,
)

_SESSION_TYPE: Final = "Port"


class Negotiation:
    """One session's handshake.

    Attributes:
        request: what the agent asked for, once it has.
        cipher: of the stream, if the agent wanted one.
        refusal: why we could not do what the agent asked for; it will end the session.
    """

    def __init__(self) -> None:
        self.request: Request | None = None
        self.cipher: Cipher | None = None
        self.refusal = ""
        self._challenged = False

    def on_request(self, payload: bytes) -> Encryption | bytes | None:
        """The HandshakeRequest.

        Returns:
            The answer; or the encryption that needs a key first; None if it is no news.

        Raises:
            HandshakeError: it is not the JSON it should be.
        """
        if self.request is not None:
            return None
        self.request = read_request(payload)
        return self.request.encryption or self._answer(self.request, None)

    def provide_key(self, ciphertext: bytes, cipher: Cipher) -> bytes:
        """The answer, now that there is a data key: its ciphertext goes to the agent."""
        if self.request is None or self.request.encryption is None:
            raise ValueError("no data key was asked for")
        self.cipher = cipher
        key: dict[str, Any] = {"KMSCipherTextKey": base64.b64encode(ciphertext).decode()}
        if self.request.encryption.challenge:
            key["ChallengeAcknowledgement"] = True
        return self._answer(self.request, key)

    def refuse_key(self, reason: str) -> bytes:
        """The answer without a data key."""
        if self.request is None:
            raise ValueError("no data key was asked for")
        return self._answer(self.request, None, reason)

    def on_challenge(self, payload: bytes) -> bytes | None:
        """The proof that we hold the data key: the challenge decrypted, and encrypted our way.

        Raises:
            HandshakeError: not ours to answer, or not made with our key.
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
        """The HandshakeComplete.

        Raises:
            HandshakeError: nothing was asked before, or we had to refuse it.
        """
        if self.request is None:
            raise HandshakeError("the agent completed a handshake that it had not begun")
        if self.refusal:
            raise HandshakeError(self.refusal)
        if self.request.encryption is not None and self.cipher is None:
            raise HandshakeError("the agent did not wait for the data key it asked for")
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
            elif kind == "SessionType" and _session_type(action) == _SESSION_TYPE:
                answer.succeed(kind)
            else:
                self.refusal = f"the agent asked for {kind} {_session_type(action) or ''}".rstrip()
                answer.decline(kind)
        return answer.encode()


def _session_type(action: Any) -> object:
    parameters = action.get("ActionParameters")
    return parameters.get("SessionType") if isinstance(parameters, dict) else None
