"""AES-256-GCM of the stream, for an agent that asks for KMS encryption.

Today's agent never asks in port sessions (A: sessionplugin.go:121-125), though an account's
session preferences may name a key. There is one data key of 64 bytes: its first half decrypts the
agent's payloads, and its second half encrypts ours. A payload is 12 bytes of nonce, the ciphertext,
and its tag (P: encryption/encrypter.go:56-137).
"""

from __future__ import annotations

import os
from typing import Final, Protocol

KEY_BYTES: Final = 64
_NONCE_BYTES: Final = 12
OVERHEAD_BYTES: Final = _NONCE_BYTES + 16
"""How much a payload grows: nonce and tag."""


class Cipher(Protocol):
    """Encrypts and decrypts payloads."""

    def encrypt(self, payload: bytes) -> bytes:
        """The payload to send to the agent."""

    def decrypt(self, payload: bytes) -> bytes:
        """The agent's payload in clear; raises ValueError if another key encrypted it."""


class DataKeyCipher:
    """The cipher of one data key."""

    def __init__(self, plaintext_key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - rare

        if len(plaintext_key) != KEY_BYTES:
            raise ValueError(f"the data key has {len(plaintext_key)} bytes instead of {KEY_BYTES}")
        self._inbound = AESGCM(plaintext_key[:32])
        self._outbound = AESGCM(plaintext_key[32:])

    def encrypt(self, payload: bytes) -> bytes:
        """The payload to send to the agent."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._outbound.encrypt(nonce, payload, None)

    def decrypt(self, payload: bytes) -> bytes:
        """The agent's payload in clear.

        Raises:
            ValueError: it was not encrypted with our key.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - rare

        try:
            return self._inbound.decrypt(payload[:_NONCE_BYTES], payload[_NONCE_BYTES:], None)
        except InvalidTag:
            raise ValueError("a payload was not encrypted with the session's key") from None
