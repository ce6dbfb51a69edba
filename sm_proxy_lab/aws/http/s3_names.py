"""IAM's names for S3 requests, which have only a method, a path and a query."""

from __future__ import annotations

from urllib.parse import parse_qs

_OBJECT = {
    "GET": "GetObject",
    "HEAD": "GetObject",
    "PUT": "PutObject",
    "POST": "PutObject",  # the start and the end of an upload in parts
    "DELETE": "DeleteObject",
}
_BUCKET = {
    "GET": "ListBucket",
    "HEAD": "ListBucket",
    "PUT": "CreateBucket",
    "DELETE": "DeleteBucket",
}
# (method, whether the path has a key, word of the query) -> action.
_BY_QUERY = {
    ("GET", True, "uploadId"): "ListMultipartUploadParts",
    ("DELETE", True, "uploadId"): "AbortMultipartUpload",
    ("GET", False, "location"): "GetBucketLocation",
    ("GET", False, "uploads"): "ListBucketMultipartUploads",
    ("GET", False, "versions"): "ListBucketVersions",
    ("POST", False, "delete"): "DeleteObject",
    ("GET", False, "versioning"): "GetBucketVersioning",
    ("PUT", False, "versioning"): "PutBucketVersioning",
    ("GET", False, "policy"): "GetBucketPolicy",
    ("PUT", False, "policy"): "PutBucketPolicy",
    ("DELETE", False, "policy"): "DeleteBucketPolicy",
    ("GET", False, "encryption"): "GetEncryptionConfiguration",
    ("PUT", False, "encryption"): "PutEncryptionConfiguration",
    ("GET", False, "lifecycle"): "GetLifecycleConfiguration",
    ("PUT", False, "lifecycle"): "PutLifecycleConfiguration",
    ("GET", False, "ownershipControls"): "GetBucketOwnershipControls",
    ("PUT", False, "ownershipControls"): "PutBucketOwnershipControls",
    ("GET", False, "publicAccessBlock"): "GetBucketPublicAccessBlock",
    ("PUT", False, "publicAccessBlock"): "PutBucketPublicAccessBlock",
    ("GET", False, "tagging"): "GetBucketTagging",
    ("PUT", False, "tagging"): "PutBucketTagging",
}


def action(method: str, path: str, query: str = "") -> str | None:
    """The IAM action of a path-style request; None if these tables do not have it."""
    bucket, key = place(path)
    if not bucket:
        return "ListAllMyBuckets" if method == "GET" else None
    for word in parse_qs(query, keep_blank_values=True):
        found = _BY_QUERY.get((method, bool(key), word))
        if found:
            return found
    return (_OBJECT if key else _BUCKET).get(method)


def place(path: str) -> tuple[str, str]:
    """The bucket and the key in a path; empty if it has none."""
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key
