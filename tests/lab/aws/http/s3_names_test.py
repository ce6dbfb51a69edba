from __future__ import annotations

import pytest

from sm_proxy_lab.aws.http.request import parse


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/b?list-type=2", "s3:ListBucket"),
        ("GET", "/b/k", "s3:GetObject"),
        ("PUT", "/b/k", "s3:PutObject"),
        ("PUT", "/b", "s3:CreateBucket"),
        ("POST", "/b/k?uploads", "s3:PutObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=x", "s3:PutObject"),
        ("GET", "/b/k?uploadId=x", "s3:ListMultipartUploadParts"),
        ("DELETE", "/b/k?uploadId=x", "s3:AbortMultipartUpload"),
        ("GET", "/b?location", "s3:GetBucketLocation"),
        ("GET", "/", "s3:ListAllMyBuckets"),
        ("PUT", "/", "s3:PUT /"),
    ],
)
def test_requests_map_to_iam_actions(method: str, path: str, action: str) -> None:
    assert parse(method, path, {}, b"").action == action
