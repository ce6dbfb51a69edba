"""The place in the user's bucket where files are handed over, and the URLs that lead there.

A URL is signed with the user's credentials, for one object, one method and a limited time. Whoever
has it may use it, so its signature is known to `secret_values`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from sm_proxy.aws import stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local import secret_values
from sm_proxy.transfer.s3 import synced

_NEEDED: Final = (
    "The copy needs s3:PutObject, s3:GetObject, s3:DeleteObject and s3:AbortMultipartUpload there,"
    " and kms:GenerateDataKey and kms:Decrypt if the bucket is encrypted with a KMS key. The"
    " policies of the bucket and of the VPC's S3 endpoint must allow it, too."
)
_NO_BUCKET: Final = frozenset({"404", "NoSuchBucket"})


@dataclass(frozen=True)
class Store:
    """A folder of one copy in the user's bucket.

    Attributes:
        aws: for calls, in the bucket's region.
        bucket: its name.
        folder: the prefix of this copy's objects, with a last slash.
        endpoint: the URL at which the container reaches S3; None for the usual one.
    """

    aws: Aws
    bucket: str
    folder: str
    endpoint: str | None = None

    def key(self, number: int) -> str:
        """The key of the copy's file of that number."""
        return f"{self.folder}{number}"

    def url(self, operation: str, seconds: int, **parameters: Any) -> str:
        """A presigned URL for the container, which is a secret until it expires.

        Args:
            operation: `put_object`, `upload_part` or `get_object`.
            seconds: how long it is valid.
            **parameters: of the operation, without its bucket.

        Raises:
            SmProxyError: there are no credentials.
        """
        client: Any  # its methods are made from the service's model
        with self.aws.client("s3") as client:
            # By itself botocore signs for the host of all regions, which a VPC's interface
            # endpoint does not serve, and which does not know a new bucket's region for hours.
            endpoint = self.endpoint or str(client.meta.endpoint_url)
        with self.aws.client("s3", endpoint) as client:
            known = {"Bucket": self.bucket, **parameters}
            url = str(client.generate_presigned_url(operation, known, ExpiresIn=seconds))
        secret_values.keep(*parse_qs(urlsplit(url).query).get("X-Amz-Signature", ()))
        return url

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """A call about the bucket.

        Raises:
            SmProxyError: it failed; a refusal says what the copy needs.
        """
        try:
            return self.aws.call("s3", operation, Bucket=self.bucket, **parameters)
        except ServiceError as error:
            raise self._failure(error) from None
        except SmProxyError as error:
            if error.code == "access-denied":
                raise denied(error.message) from None
            raise

    def complete(self, key: str, upload: str, tags: Mapping[int, str]) -> None:
        """Put the parts of an upload together.

        Args:
            key: of the object.
            upload: its UploadId.
            tags: the ETag of each part, by its number.

        Raises:
            SmProxyError: as `call`.
        """
        parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
        whole = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
        self.call("CompleteMultipartUpload", Key=key, **whole)

    def clear(self, keys: Iterable[str], uploads: Mapping[str, str]) -> str:
        """Abort uploads, then delete objects, as far as that is possible.

        Args:
            keys: of the objects.
            uploads: the UploadId of each upload that is not complete, by key.

        Returns:
            one line for the user about what is left; empty if nothing is.
        """
        calls = [
            *(("AbortMultipartUpload", {"Key": key, "UploadId": uploads[key]}) for key in uploads),
            *(("DeleteObject", {"Key": key}) for key in keys),
        ]
        left = {why: None for operation, names in calls if (why := self._left(operation, names))}
        if not left:
            return ""
        return f"not everything is deleted in s3://{self.bucket}/{self.folder}: {'; '.join(left)}"

    def _left(self, operation: str, names: Mapping[str, str]) -> str:
        """Why a call did not delete something."""
        try:
            answer = self.aws.call("s3", operation, Bucket=self.bucket, **names)
        except ServiceError as error:
            return "" if error.error == "NoSuchUpload" else error.as_failure().message
        except SmProxyError as error:
            return error.message
        return "the bucket keeps old versions" if answer.get("DeleteMarker") else ""

    def _failure(self, error: ServiceError) -> SmProxyError:
        if error.error in _NO_BUCKET:
            what = f"there is no bucket {self.bucket}"
            return SmProxyError("bad-setting", what, "Name a bucket of yours with --bucket.")
        return error.as_failure()


def open_store(aws: Aws, address: str, endpoint: str | None) -> Store:
    """The folder for a new copy, in the bucket's own region.

    Args:
        aws: for the calls.
        address: `BUCKET` or `BUCKET/PREFIX`.
        endpoint: as for `Store`.

    Raises:
        SmProxyError: `bad-setting`, there is no such bucket; or the call failed.
    """
    bucket, prefix = synced.split(f"s3://{address}") or (address, "")
    folder = f"{prefix}{stack_names.COPIES}{secrets.token_hex(16)}/"
    store = Store(aws, bucket, folder, endpoint)
    try:
        region = str(store.call("HeadBucket").get("BucketRegion") or "")
    except SmProxyError as error:
        if error.code != "access-denied":  # HeadBucket alone needs s3:ListBucket
            raise
        region = ""
    return Store(aws.in_region(region or aws.region), bucket, folder, endpoint)


def denied(message: str) -> SmProxyError:
    """The error for a refusal of S3: what a copy through a bucket needs."""
    return SmProxyError("access-denied", message, _NEEDED)
