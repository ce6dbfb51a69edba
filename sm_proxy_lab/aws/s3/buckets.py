"""The buckets of moto's S3: some are there from the start, and each belongs to one region."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from sm_proxy_lab.aws import moto_app
from sm_proxy_lab.aws.http import s3_names
from sm_proxy_lab.aws.http.call import ACCOUNT, DEFAULT_REGION
from sm_proxy_lab.aws.http.errors import AwsError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

LAB: Final = "sm-proxy-lab"
"""The bucket of the lab's own jobs, in the default region."""
# The SageMaker SDK's default bucket; the SDK would make it.
_OF_SDK = re.compile(rf"sagemaker-([a-z0-9-]+-\d)-{ACCOUNT}")
_ANYWHERE = {"CreateBucket", "GetBucketLocation"}


def check(call: Call) -> Any | None:
    """Make a bucket that should be there, and refuse a request to another region's bucket.

    All buckets of the lab belong to its account.

    Returns:
        Moto's bucket; None if there is none.

    Raises:
        AwsError: PermanentRedirect, with the bucket's region; AccessDenied, another owner is
            expected; NoSuchUpload, an upload in parts was aborted or completed.
    """
    name, _ = s3_names.place(call.path)
    if not name or call.operation == "CreateBucket":
        return None
    if call.headers.get("x-amz-expected-bucket-owner", ACCOUNT) != ACCOUNT:
        raise AwsError("AccessDenied", "Access Denied", 403)
    bucket = _find(name)
    if bucket is None or call.operation in _ANYWHERE or bucket.region_name == call.region:
        _check_upload(call, bucket)
        return bucket
    message = (
        "The bucket you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint."
    )
    headers = {"x-amz-bucket-region": str(bucket.region_name)}
    raise AwsError("PermanentRedirect", message, 301, headers)


def _check_upload(call: Call, bucket: Any | None) -> None:
    upload = parse_qs(call.query).get("uploadId")
    if bucket is not None and upload and upload[0] not in bucket.multiparts:
        message = "The specified upload does not exist."
        raise AwsError("NoSuchUpload", message, 404)


def _find(name: str) -> Any | None:
    """Moto's bucket of that name; the buckets of the lab and of the SDK are made if needed."""
    from moto.s3.models import s3_backends  # noqa: PLC0415

    sdk = _OF_SDK.fullmatch(name)
    region = DEFAULT_REGION if name == LAB else sdk and sdk[1]
    with moto_app.LOCK:
        for partition in ("aws", "aws-cn", "aws-us-gov"):
            found = s3_backends[ACCOUNT][partition].buckets.get(name)
            if found is not None:
                return found
        return region and s3_backends[ACCOUNT]["aws"].create_bucket(name, region)
