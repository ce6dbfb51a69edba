"""IAM's names for S3 requests, which have only a method and a path."""

from __future__ import annotations

_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_BUCKET = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket"}


def action(method: str, path: str) -> str | None:
    """The IAM action of a path-style request; None if this table does not have it."""
    bucket, _, key = path.lstrip("/").partition("/")
    if key:
        return _OBJECT.get(method)
    return _BUCKET.get(method) if bucket else None
