"""Changes since a job was created, because of which a copy of it may run other code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import bucket, image, shapes
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.shapes import Operation
from sm_proxy.local.threads import map_concurrently

_OBJECTS: Final = 1000
"""More objects than this are not looked through: code has fewer."""
_AT_ONCE: Final = 8


def since(
    aws: Caller, operation: Operation, request: Mapping[str, Any], created: datetime
) -> list[str]:
    """One sentence for each part of a job that has changed since `created`.

    The image is compared by the time when its tag's present image was pushed. So a tag that was
    moved back to an older image is not noticed. What we are not allowed to read is not mentioned.

    Args:
        aws: for the calls.
        operation: of the request.
        request: of the job.
        created: the job's CreationTime.
    """
    code = [bucket.code_of(request), *bucket.code_inputs(operation, request)]
    uri = str(value_at(request, shapes.of(operation).IMAGE) or "")
    return [*_moved_image(aws, uri, created), *_changed_code(aws, code, created)]


def missing_inputs(aws: Caller, operation: Operation, request: Mapping[str, Any]) -> list[str]:
    """The S3 addresses of a request's inputs, and of its code, at which nothing is.

    A job with such an input is billed for minutes before its container would have started. What we
    are not allowed to read counts as there.

    Args:
        aws: for the calls.
        operation: of the request.
        request: of a job whose inputs should all be there.
    """
    inputs = [url for _, url in bucket.inputs_of(operation, request)]
    urls = dict.fromkeys((bucket.code_of(request), *inputs))
    return [url for url in map_concurrently(partial(_if_gone, aws), urls, _AT_ONCE) if url]


def _if_gone(aws: Caller, url: str) -> str:
    place = bucket.split(url)
    if place is None:
        return ""
    try:
        answer = aws.call("s3", "ListObjectsV2", Bucket=place[0], Prefix=place[1], MaxKeys=1)
    except ServiceError as error:
        return url if error.error == "NoSuchBucket" else ""
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        return ""
    return "" if answer.get("Contents") else url


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
        place = bucket.split(url)
        if place is None:
            continue
        named = {"Bucket": place[0], "Prefix": place[1], "MaxKeys": _OBJECTS}
        answer = aws.call_if_allowed("s3", "ListObjectsV2", **named)
        if answer is None:
            continue
        found = answer.get("Contents", [])
        if not found:
            yield f"The code {url} is gone"
        elif any(item["LastModified"] > created for item in found):
            yield f"The code {url} has changed since the job was created"
