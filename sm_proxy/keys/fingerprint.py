"""Public keys as ssh shows them: `SHA256:... (ssh-ed25519)`, as `ssh-keygen -l` does."""

from __future__ import annotations

import base64
import hashlib


def of(blob: bytes) -> str:
    """The fingerprint of a key in its wire form (RFC 4253, section 6.6), with its type."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    return f"SHA256:{digest} ({name})"


def wire_form(key: str) -> bytes:
    """The wire form of `"type base64"`, which was checked when it was read."""
    return base64.b64decode(key.split(" ")[1])


def of_key(key: str) -> str:
    """The fingerprint of `"type base64"`."""
    return of(wire_form(key))
