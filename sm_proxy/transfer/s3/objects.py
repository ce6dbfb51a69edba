"""Objects in S3: their sizes, their ages and the tags of their content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import threads

_FEW: Final = 16
"""Up to so many objects are looked up one by one, for which s3:GetObject is enough."""
_AT_ONCE: Final = 8
_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True)
class Object:
    """An object in S3.

    Attributes:
        bucket: its bucket.
        key: its key.
        size: in bytes.
        modified: its LastModified in Unix seconds: when its upload began.
        tag: its ETag.
    """

    bucket: str
    key: str
    size: int
    modified: int
    tag: str


def find(aws: Aws, bucket: str, keys: Sequence[str]) -> dict[str, Object]:
    """Those of some objects that are there, by key.

    Args:
        aws: for the calls.
        bucket: their bucket.
        keys: of the objects.

    Raises:
        SmProxyError: `access-denied`, the call is denied; or a call failed.
    """
    if len(keys) > _FEW:
        wanted, prefix = set(keys), os.path.commonprefix(list(keys))  # noqa: RUF071 - of keys
        return {item.key: item for item in listed(aws, bucket, prefix) if item.key in wanted}
    found = threads.map_concurrently(lambda key: head(aws, bucket, key), keys, _AT_ONCE)
    return {item.key: item for item in found if item is not None}


def head(aws: Aws, bucket: str, key: str) -> Object | None:
    """One object; None if there is none of that key.

    Raises:
        SmProxyError: as `find`. Without s3:ListBucket, S3 denies a missing object.
    """
    try:
        answer = aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    except ServiceError as error:
        if error.error in _MISSING:
            return None
        raise error.as_failure() from None
    size, modified = int(answer["ContentLength"]), int(answer["LastModified"].timestamp())
    return Object(bucket, key, size, modified, str(answer["ETag"]))


def listed(aws: Aws, bucket: str, prefix: str, most: int = 1000) -> Iterator[Object]:
    """All objects whose keys begin with a prefix.

    Args:
        aws: for the calls.
        bucket: their bucket.
        prefix: of their keys.
        most: how many one call lists.

    Raises:
        SmProxyError: as `find`.
    """
    more: dict[str, Any] = {"MaxKeys": most}
    while True:
        try:
            page = aws.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, **more)
        except ServiceError as error:
            raise error.as_failure() from None
        for item in page.get("Contents", ()):
            modified = int(item["LastModified"].timestamp())
            yield Object(bucket, item["Key"], int(item["Size"]), modified, str(item["ETag"]))
        if not page.get("NextContinuationToken"):
            return
        more["ContinuationToken"] = page["NextContinuationToken"]


def refused(error: SmProxyError) -> bool:
    """Whether an error only says that S3 does not serve this user here."""
    return error.code in {"access-denied", "aws-error"}
