"""What has changed since a job was created, so that a copy of it may run other code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from sm_proxy.launch import bucket, image, shapes
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.shapes import Operation

_OBJECTS: Final = 1000
"""More objects than this are not looked through: code has fewer."""


def since(
    aws: Caller, operation: Operation, request: Mapping[str, Any], created: datetime
) -> list[str]:
    """One sentence for each part of a job that has changed since `created`.

    The image is compared by the time when its tag's present image was pushed. So a tag that was
    moved back to an older image is not noticed. What we may not look at is not mentioned.

    Args:
        aws: for the calls.
        operation: of the request.
        request: of the job.
        created: the job's CreationTime.
    """
    code = [bucket.code_of(request), *bucket.code_inputs(operation, request)]
    uri = str(value_at(request, shapes.of(operation).IMAGE) or "")
    return [*_moved_image(aws, uri, created), *_changed_code(aws, code, created)]


def _moved_image(aws: Caller, uri: str, created: datetime) -> Iterator[str]:
    address = image.parse(uri)
    if address is None or "imageTag" not in address.by:
        return
    registry = aws if address.region == aws.region else aws.in_region(address.region)
    named = {**address.repository, "imageIds": [dict(address.by)]}
    answer = registry.call_if_allowed("ecr", "DescribeImages", **named) or {}
    pushed = [item.get("imagePushedAt") for item in answer.get("imageDetails", [])]
    if any(isinstance(when, datetime) and when > created for when in pushed):
        yield f"The image {uri} was pushed again after the job was created"


def _changed_code(aws: Caller, urls: Iterable[str], created: datetime) -> Iterator[str]:
    for url in urls:
        if not url.startswith("s3://"):
            continue
        name, _, prefix = url.removeprefix("s3://").partition("/")
        named = {"Bucket": name, "Prefix": prefix, "MaxKeys": _OBJECTS}
        answer = aws.call_if_allowed("s3", "ListObjectsV2", **named)
        if answer is None:
            continue
        found = answer.get("Contents", [])
        if not found:
            yield f"The code {url} is gone"
        elif any(item["LastModified"] > created for item in found):
            yield f"The code {url} has changed since the job was created"
