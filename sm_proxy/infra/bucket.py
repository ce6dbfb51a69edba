"""The stack's bucket: what is in it, and how to empty it. S3 deletes empty buckets only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.infra.watch import Say
from sm_proxy.local import sizes
from sm_proxy.settings.deadline import Deadline

OURS: Final = (stack_names.CONTEXTS, stack_names.FILES)
"""Prefixes of what we put there: the contexts of image builds, and the input channel of jobs."""
_BATCH: Final = 1000
"""The most keys in one DeleteObjects call."""
_SHOWN: Final = 4


@dataclass(frozen=True)
class Contents:
    """The objects of a bucket, all versions of them.

    Attributes:
        counts: how many, by the first part of their keys, such as `build/`.
        sizes: their bytes, by the same.
    """

    counts: Mapping[str, int]
    sizes: Mapping[str, int]

    @property
    def others(self) -> tuple[str, ...]:
        """The prefixes that are not ours, sorted."""
        return tuple(sorted(set(self.counts) - set(OURS)))

    @property
    def words(self) -> str:
        """For people: `build/ (3 objects, 2.1 MB)`."""
        return ", ".join(self.of(prefix) for prefix in sorted(self.counts)) or "empty"

    def of(self, prefix: str) -> str:
        """One prefix, for people."""
        size = sizes.in_words(self.sizes[prefix])
        return f"{printable(prefix, 60)} ({objects(self.counts[prefix])}, {size})"


def objects(count: int) -> str:
    """For people: `1 object`, `2 objects`."""
    return f"{count} object{'' if count == 1 else 's'}"


def contents(aws: Aws, bucket: str) -> Contents:
    """What is in the bucket; nothing if it is gone.

    Raises:
        SmProxyError: as `Aws.call`; `aws-error`.
    """
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for item in _versions(aws, bucket):
        folder, slash, _ = str(item["Key"]).partition("/")
        counts[folder + slash] += 1
        sizes[folder + slash] += int(item.get("Size") or 0)
    return Contents(dict(counts), dict(sizes))


def refuse_data(bucket: str, found: Contents) -> None:
    """Refuse to delete files that the user has put into the bucket.

    Raises:
        SmProxyError: `in-use`.
    """
    if not found.others:
        return
    named = ", ".join(found.of(prefix) for prefix in found.others[:_SHOWN])
    more = " and more" if len(found.others) > _SHOWN else ""
    raise SmProxyError(
        "in-use",
        f"the bucket {bucket} has files that sm-proxy did not put there: {named}{more}",
        "Move them to another bucket. To delete them with the stack: sm-proxy infra delete"
        " --with-data",
    )


def empty(aws: Aws, bucket: str, deadline: Deadline, say: Say, *, with_data: bool) -> int:
    """Delete every version of every object; return how many there were.

    Args:
        aws: for the calls.
        bucket: its name.
        deadline: when to give up.
        say: takes a line now and then.
        with_data: also what we have not put there. Jobs may have written since we looked.

    Raises:
        SmProxyError: `wait-timeout`; `access-denied`; `aws-error`, S3 kept some of them.
    """
    done = 0
    batch: list[dict[str, str]] = []
    for item in _versions(aws, bucket):
        if not with_data and not str(item["Key"]).startswith(OURS):
            continue
        version = {"VersionId": item["VersionId"]} if item.get("VersionId") else {}
        batch.append({"Key": item["Key"], **version})
        if len(batch) == _BATCH:
            done += _delete(aws, bucket, batch)
            batch = []
            say(f"deleted {done} objects of {bucket}", dim=True)
            if deadline.left <= 0:
                raise deadline.passed(
                    f"the bucket {bucket} is not empty yet", "Run the same command again."
                )
    return done + (_delete(aws, bucket, batch) if batch else 0)


def _delete(aws: Aws, bucket: str, batch: list[dict[str, str]]) -> int:
    try:
        answer = aws.call(
            "s3", "DeleteObjects", Bucket=bucket, Delete={"Objects": batch, "Quiet": True}
        )
    except ServiceError as error:
        if error.error == "NoSuchBucket":
            return 0
        raise error.as_failure() from None
    if kept := answer.get("Errors"):
        first = kept[0]
        raise SmProxyError(
            "access-denied" if first.get("Code") == "AccessDenied" else "aws-error",
            f"S3 keeps {len(kept)} objects of {bucket}, such as {first.get('Key')}:"
            f" {first.get('Message') or first.get('Code')}",
            "Allow s3:DeleteObject and s3:DeleteObjectVersion on it: `sm-proxy infra policy admin`"
            " prints what `sm-proxy infra` needs.",
        )
    return len(batch)


def _versions(aws: Aws, bucket: str) -> Iterator[dict[str, Any]]:
    """Versions and delete markers."""
    more: dict[str, str] = {}
    while True:
        try:
            page = aws.call("s3", "ListObjectVersions", Bucket=bucket, **more)
        except ServiceError as error:
            if error.error == "NoSuchBucket":
                return
            raise error.as_failure() from None
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])
        if not page.get("IsTruncated"):
            return
        named = {"KeyMarker": page.get("NextKeyMarker")}
        named["VersionIdMarker"] = page.get("NextVersionIdMarker")
        more = {key: value for key, value in named.items() if value}
