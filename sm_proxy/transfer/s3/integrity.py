"""Compare a downloaded file with what S3 knows of its object."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.transfer.s3.objects import Object

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_OF_PARTS: Final = re.compile(r"([0-9a-f]{32})-([0-9]+)")
_NOT_MD5: Final = frozenset({"aws:kms", "aws:kms:dsse"})
"""Encryptions under which an ETag is no MD5 (Amazon S3 API reference, "Object")."""
_READ: Final = 1 << 20


def agrees(aws: Aws, item: Object, path: Path) -> bool | None:
    """Whether a file has the content of an object that has not changed since it was listed.

    Compared is the SHA-256 or the CRC32 that S3 has of it, else the MD5 of its ETag, else the MD5
    of each part of a multipart upload.

    Args:
        aws: for HeadObject.
        item: the object, as it was listed.
        path: the file.

    Returns:
        None if S3 has no checksum of it that we can compute.

    Raises:
        OSError: the file cannot be read.
        SmProxyError: a call failed.
    """
    place = {"Bucket": item.bucket, "Key": item.key}
    known = aws.call_if_allowed("s3", "HeadObject", ChecksumMode="ENABLED", **place)
    if known is None or known.get("ETag") != item.tag or path.stat().st_size != item.size:
        return False
    if (checksum := _of_whole(known.get("ChecksumSHA256"))) is not None:
        return _digest(path, hashlib.sha256()) == checksum
    if (checksum := _of_whole(known.get("ChecksumCRC32"))) is not None:
        return _crc32(path) == checksum
    if known.get("ServerSideEncryption") in _NOT_MD5:
        return None
    tag = item.tag.strip('"')
    if _MD5.fullmatch(tag):
        return _digest(path, hashlib.md5(usedforsecurity=False)).hex() == tag
    return _parts_agree(aws, item, path, tag)


def _of_whole(checksum: Any) -> bytes | None:
    """A checksum of the whole object; that of a multipart upload may be of its parts' checksums."""
    if not checksum or "-" in str(checksum):
        return None
    try:
        return base64.b64decode(str(checksum), validate=True)
    except ValueError:
        return None


def _parts_agree(aws: Aws, item: Object, path: Path, tag: str) -> bool | None:
    """Compare with the ETag of a multipart upload: the MD5 of its parts' MD5s.

    Only the length of the first part is looked up. If the others have another one, the result is
    None.
    """
    found = _OF_PARTS.fullmatch(tag)
    if found is None:
        return None
    place: Mapping[str, Any] = {"Bucket": item.bucket, "Key": item.key}
    first = aws.call_if_allowed("s3", "HeadObject", PartNumber=1, **place)
    length = int(first["ContentLength"]) if first else 0
    if length <= 0 or -(-item.size // length) != int(found[2]):
        return None
    digests = b"".join(_digests(path, length))
    return hashlib.md5(digests, usedforsecurity=False).hexdigest() == found[1] or None


def _digests(path: Path, length: int) -> list[bytes]:
    """The MD5 of each `length` bytes of a file."""
    found = []
    with path.open("rb") as file:
        left, digest = length, hashlib.md5(usedforsecurity=False)
        while content := file.read(min(_READ, left)):
            digest.update(content)
            left -= len(content)
            if not left:
                found.append(digest.digest())
                left, digest = length, hashlib.md5(usedforsecurity=False)
        if left != length:
            found.append(digest.digest())
    return found


def _digest(path: Path, digest: Any) -> bytes:
    with path.open("rb") as file:
        while content := file.read(_READ):
            digest.update(content)
    return bytes(digest.digest())


def _crc32(path: Path) -> bytes:
    value = 0
    with path.open("rb") as file:
        while content := file.read(_READ):
            value = binascii.crc32(content, value)
    return value.to_bytes(4, "big")
