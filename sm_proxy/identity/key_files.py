"""Key pairs on disk. A kill at any point leaves a usable key.

The public half is removed first and written last. OpenSSH's private format holds the public key in
the clear, so a private key without its `.pub` can be completed; a private key beside another key's
`.pub` would mislead ssh.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.local import footprint, private_files
from sm_proxy.public_key import is_public_key

COMMENT: Final = "sm-proxy"
_MAGIC: Final = b"openssh-key-v1\0"
_LIMIT: Final = 1 << 16


@dataclass(frozen=True)
class Pair:
    """A key pair in memory.

    Attributes:
        private: the content of the private key's file.
        public: the line `"type base64 comment"`.
    """

    private: bytes
    public: str


def generate(passphrase: str | None = None) -> Pair:
    """A new ed25519 pair, the private half in OpenSSH's format.

    Args:
        passphrase: encrypts the private half (bcrypt, AES-256).
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - made once
        Ed25519PrivateKey,
    )
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    cipher = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, cipher)
    return Pair(private, f"{public} {COMMENT}")


def public_path(path: Path) -> Path:
    """The path of the public half of the private key `path`."""
    return path.with_name(path.name + ".pub")


def write(path: Path, pair: Pair) -> None:
    """Write a pair to `path`, replacing what is there. The caller holds the lock.

    Raises:
        OSError: it cannot be written.
    """
    for left in path.parent.glob(f".{path.name}.*"):  # temporary files of a killed writer
        left.unlink(missing_ok=True)
    public_path(path).unlink(missing_ok=True)
    footprint.note_ssh_folder(path)
    private_files.write_private(path, pair.private)
    restore_public_half(path, pair)


def remove(path: Path) -> None:
    """Remove a pair; a missing file is not an error.

    Raises:
        OSError: it cannot be removed.
    """
    path.unlink(missing_ok=True)
    public_path(path).unlink(missing_ok=True)


def read(path: Path) -> Pair:
    """Read one of our own pairs from its private half, which holds the public key too.

    Raises:
        OSError: the file is missing, is not a regular file of ours, or is not a key.
    """
    private = private_files.read_own(path, _LIMIT)
    public = _public_key_inside(private)
    if public is None:
        raise OSError(f"{path} is not a private key in OpenSSH's format")
    return Pair(private, f"{public} {COMMENT}")


def has_our_comment(path: Path) -> bool:
    """Whether the public half beside the private key `path` has the comment of those we make."""
    try:
        words = private_files.read_own(public_path(path), _LIMIT).split()
    except OSError:
        return False
    return words[2:] == [COMMENT.encode()]


def is_whole(path: Path, pair: Pair) -> bool:
    """Whether the public half beside the private key `path` is that of `pair`."""
    try:
        words = public_path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return False
    return words[:2] == pair.public.split()[:2]


def restore_public_half(path: Path, pair: Pair) -> None:
    """Write the public half, which a killed run may have left out.

    Raises:
        OSError: it cannot be written.
    """
    private_files.write_private(public_path(path), f"{pair.public}\n".encode(), 0o644)


def is_encrypted(private: bytes) -> bool:
    """Whether a private key in OpenSSH's format needs a passphrase."""
    blob = _decoded(private)
    return blob is not None and _read_string(blob, len(_MAGIC))[0] != b"none"


def _public_key_inside(private: bytes) -> str | None:
    """The public key inside a private one, encrypted or not (PROTOCOL.key of OpenSSH)."""
    blob = _decoded(private)
    if blob is None:
        return None
    at = len(_MAGIC)
    for _ in ("cipher", "kdf", "options of the kdf"):
        _, at = _read_string(blob, at)
    public, _ = _read_string(blob, at + 4)  # after the number of keys
    kind, _ = _read_string(public, 0)
    line = f"{kind.decode('ascii', 'replace')} {base64.b64encode(public).decode()}"
    return line if is_public_key(line) else None


def _decoded(private: bytes) -> bytes | None:
    lines = private.decode("ascii", "replace").split("\n")
    body = "".join(line.strip() for line in lines if not line.startswith("-----"))
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None
    return blob if blob.startswith(_MAGIC) else None


def _read_string(blob: bytes, at: int) -> tuple[bytes, int]:
    """The length-prefixed string at offset `at`, and the offset of the next field."""
    prefix = blob[at : at + 4]
    length = struct.unpack(">I", prefix)[0] if len(prefix) == 4 else 0
    return blob[at + 4 : at + 4 + length], at + 4 + length
