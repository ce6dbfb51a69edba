from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sm_proxy.ssm.encryption import OVERHEAD_BYTES, DataKeyCipher

KEY = bytes(range(64))


def test_each_direction_has_its_half_of_the_key() -> None:
    sealed = DataKeyCipher(KEY).encrypt(b"up")
    assert AESGCM(KEY[32:]).decrypt(sealed[:12], sealed[12:], None) == b"up"
    nonce = bytes(12)
    from_agent = nonce + AESGCM(KEY[:32]).encrypt(nonce, b"down", None)
    assert DataKeyCipher(KEY).decrypt(from_agent) == b"down"


def test_the_overhead_is_right_and_nonces_differ() -> None:
    cipher = DataKeyCipher(KEY)
    assert len(cipher.encrypt(b"x")) == 1 + OVERHEAD_BYTES
    assert cipher.encrypt(b"x") != cipher.encrypt(b"x")


@pytest.mark.parametrize("payload", [b"", b"short", bytes(12), bytes(28), bytes(100)])
def test_a_payload_of_another_key_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        DataKeyCipher(KEY).decrypt(payload)


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes instead of 64"):
        DataKeyCipher(bytes(32))
