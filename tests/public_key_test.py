from __future__ import annotations

from sm_proxy import public_key
from sm_proxy.public_key import is_public_key
from tests.fakes import ECDSA_KEY, HOST_KEY

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1WPFtcsn2Qsy5Uf9dxpbUR8VuA4tOSFOdgbgjckIHq"
SHOWN = "SHA256:F5nSvkDWHVTxeQaCsyhIWroG+gvsaYcXM2sFVzGlAMU"  # by ssh-keygen -l


def test_the_fingerprint_is_that_of_ssh_keygen() -> None:
    assert public_key.describe(KEY) == f"{SHOWN} (ssh-ed25519)"


def test_any_bytes_have_a_fingerprint() -> None:
    for blob in (b"", b"\0", b"\0\0\0\x09x", b"\xff" * 9):
        assert public_key.describe_blob(blob).startswith("SHA256:")


def test_valid_public_keys_are_recognised() -> None:
    assert is_public_key(HOST_KEY)
    assert is_public_key(ECDSA_KEY)
