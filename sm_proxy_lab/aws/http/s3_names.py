"""What S3 calls its operations: a request has a method and a path, no name."""

from __future__ import annotations

_OBJECT = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
_BUCKET = {"GET": "ListBucket", "HEAD": "ListBucket", "PUT": "CreateBucket"}


def action(method: str, path: str) -> str | None:
    """The name of the IAM action of a request, path style; None for what has no name here."""
    bucket, _, key = path.lstrip("/").partition("/")
    if key:
        return _OBJECT.get(method)
    return _BUCKET.get(method) if bucket else None
