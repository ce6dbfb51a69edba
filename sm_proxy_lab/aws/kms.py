"""KMS data keys for encrypted sessions.

The "ciphertext" is a mark, a digest of the encryption context, and the key in clear text. So the
gateway can open it without a call (`open_blob`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_MARK = b"sm-proxy-lab-key"


def seal_blob(key: bytes, context: dict[str, str]) -> bytes:
    """The ciphertext blob of a data key under an encryption context."""
    return _MARK + _digest(context) + key


def open_blob(blob: bytes, context: dict[str, str]) -> bytes:
    """The data key in a ciphertext blob.

    Raises:
        ValueError: `seal_blob` did not make this blob, or it has another context.
    """
    mark, digest, key = blob[:16], blob[16:48], blob[48:]
    if mark != _MARK or digest != _digest(context):
        raise ValueError("not a data key of this encryption context")
    return key


def generate(call: Call) -> dict[str, Any]:
    """Answer GenerateDataKey, for any key id."""
    size = call.params.get("NumberOfBytes") or (
        16 if call.params.get("KeySpec") == "AES_128" else 32
    )
    key = secrets.token_bytes(size)
    blob = seal_blob(key, call.params.get("EncryptionContext", {}))
    return {
        "KeyId": _key_arn(call, call.params["KeyId"]),
        "Plaintext": base64.b64encode(key).decode(),
        "CiphertextBlob": base64.b64encode(blob).decode(),
    }


def decrypt(call: Call) -> dict[str, Any] | None:
    """Answer Decrypt for a blob that `generate` made; None for any other blob."""
    blob = base64.b64decode(call.params.get("CiphertextBlob", ""))
    if not blob.startswith(_MARK):
        return None
    try:
        key = open_blob(blob, call.params.get("EncryptionContext", {}))
    except ValueError:
        raise AwsError("InvalidCiphertextException", "") from None
    arn = _key_arn(call, call.params.get("KeyId", "alias/lab"))
    return {"KeyId": arn, "Plaintext": base64.b64encode(key).decode()}


def _key_arn(call: Call, key_id: str) -> str:
    if key_id.startswith("arn:"):
        return key_id
    return call.arn("kms", key_id if key_id.startswith("alias/") else f"key/{key_id}")


def _digest(context: dict[str, str]) -> bytes:
    return hashlib.sha256(json.dumps(context, sort_keys=True).encode()).digest()
