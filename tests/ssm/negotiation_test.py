from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sm_proxy.ssm.encryption import DataKeyCipher
from sm_proxy.ssm.handshake import Encryption, HandshakeError
from sm_proxy.ssm.negotiation import Negotiation
from tests.ssm import agent_wire as wire


def answered(negotiation: Negotiation, request: bytes) -> Any:
    answer = negotiation.on_request(request)
    assert isinstance(answer, bytes)
    return json.loads(answer)


def test_each_action_is_answered_in_order() -> None:
    answer = answered(Negotiation(), wire.handshake_request())
    assert answer["Errors"] is None
    assert answer["ClientVersion"] >= "1.2.339.0"
    assert answer["ProcessedClientActions"] == [
        {"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}
    ]


def test_an_unknown_action_is_declined_with_status_3() -> None:
    request = {"AgentVersion": "3", "RequestedClientActions": [{"ActionType": "Dance"}]}
    negotiation = Negotiation()
    answer = answered(negotiation, json.dumps(request).encode())
    assert answer["ProcessedClientActions"][0]["ActionStatus"] == 3
    assert "Dance" in negotiation.refusal
    with pytest.raises(HandshakeError, match="Dance"):
        negotiation.on_complete(b"{}")


def test_a_second_request_is_ignored() -> None:
    negotiation = Negotiation()
    negotiation.on_request(wire.handshake_request())
    assert negotiation.on_request(wire.handshake_request()) is None


def encrypted(**extra: Any) -> Negotiation:
    negotiation = Negotiation()
    wanted = negotiation.on_request(wire.handshake_request(KMSKeyId="k", **extra))
    assert wanted == Encryption("k", extra.get("Challenge", ""))
    return negotiation


@pytest.mark.parametrize("extra", [{}, {"Challenge": "c"}])
def test_the_answer_carries_the_data_key(extra: dict[str, str]) -> None:
    answer = json.loads(encrypted(**extra).provide_key(b"wrapped", DataKeyCipher(bytes(64))))
    result = answer["ProcessedClientActions"][1]["ActionResult"]
    assert base64.b64decode(result["KMSCipherTextKey"]) == b"wrapped"
    assert result.get("ChallengeAcknowledgement", False) is bool(extra)


def test_a_refused_key_fails_its_action() -> None:
    negotiation = encrypted()
    answer = json.loads(negotiation.refuse_key("denied"))
    assert answer["ProcessedClientActions"][1]["ActionStatus"] == 2
    assert answer["Errors"] == ["denied"]
    assert negotiation.refusal == "denied"


def test_completion_without_the_key_is_refused() -> None:
    with pytest.raises(HandshakeError, match="did not wait"):
        encrypted().on_complete(b"{}")


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"Challenge":7}', b'{"Challenge":"AAAA"}'])
def test_a_bad_challenge_is_refused(payload: bytes) -> None:
    negotiation = encrypted()
    negotiation.provide_key(b"wrapped", DataKeyCipher(bytes(64)))
    with pytest.raises(HandshakeError):
        negotiation.on_challenge(payload)


def test_a_challenge_is_answered_once() -> None:
    negotiation = encrypted()
    negotiation.provide_key(b"wrapped", DataKeyCipher(bytes(64)))
    nonce = bytes(12)
    sealed = nonce + AESGCM(bytes(32)).encrypt(nonce, b"prove it", None)
    challenge = json.dumps({"Challenge": base64.b64encode(sealed).decode()}).encode()
    proof = base64.b64decode(json.loads(negotiation.on_challenge(challenge) or b"")["Challenge"])
    assert AESGCM(bytes(32)).decrypt(proof[:12], proof[12:], None) == b"prove it"
    assert negotiation.on_challenge(challenge) is None


def test_a_challenge_without_encryption_is_refused() -> None:
    with pytest.raises(HandshakeError):
        Negotiation().on_challenge(b"{}")


def shell_request() -> bytes:
    action = {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Standard_Stream"}}
    document = {"AgentVersion": "3.3.1230.0", "RequestedClientActions": [action]}
    return json.dumps(document).encode()


def test_a_shell_is_accepted_only_if_we_asked_for_one() -> None:
    wanted = Negotiation("Standard_Stream")
    assert answered(wanted, shell_request())["ProcessedClientActions"][0]["ActionStatus"] == 1
    port = Negotiation()
    assert answered(port, shell_request())["ProcessedClientActions"][0]["ActionStatus"] == 3
    assert "Standard_Stream" in port.refusal
    other = Negotiation("Standard_Stream")
    assert answered(other, wire.handshake_request())["Errors"]
