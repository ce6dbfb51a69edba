"""SSH public keys: the line `"type base64"`, the wire form, the fingerprint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from typing import Final

_KEY: Final = re.compile(r"((?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60}) ([A-Za-z0-9+/]{16,2000}={0,2})")
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*"')


def describe_blob(blob: bytes) -> str:
    """`SHA256:... (ssh-ed25519)` of a key in its wire form (RFC 4253, section 6.6)."""
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    return f"{fingerprint(blob)} ({name})"


def fingerprint(blob: bytes) -> str:
    """`SHA256:...` of a key in its wire form, as `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def wire_form(key: str) -> bytes:
    """The wire form of a valid `"type base64"`; a comment may follow."""
    return base64.b64decode(key.split()[1])


def line_of(blob: bytes) -> str | None:
    """The `"type base64"` of a key in its wire form; None if it has not the form of a key."""
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")
    line = f"{name} {base64.b64encode(blob).decode()}"
    return line if is_public_key(line) else None


def describe(key: str) -> str:
    """`SHA256:... (ssh-ed25519)` of `"type base64"`."""
    return describe_blob(wire_form(key))


def signature_algorithms(kind: str) -> frozenset[str]:
    """The signature algorithms of a key type (RFC 8332 for `ssh-rsa`)."""
    return frozenset({"rsa-sha2-512", "rsa-sha2-256"} if kind == "ssh-rsa" else {kind})


def bare(line: str) -> str | None:
    """The `"type base64"` of an authorized_keys line, without options and comment; None if none."""
    if line.lstrip().startswith("#"):
        return None
    words = _QUOTED.sub("", line).split()
    pairs = (" ".join(pair) for pair in itertools.pairwise(words))
    return next(filter(is_public_key, pairs), None)


def is_public_key(key: str) -> bool:
    """Whether `key` is `"type base64"` and the base64 begins with the same type (RFC 4253, 6.6)."""
    match = _KEY.fullmatch(key)
    if match is None:
        return False
    try:
        blob = base64.b64decode(match[2], validate=True)
    except binascii.Error:
        return False
    name = match[1].encode()
    return blob.startswith(len(name).to_bytes(4, "big") + name)
