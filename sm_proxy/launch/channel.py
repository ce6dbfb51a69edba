"""The input channel `sm_proxy`: a folder in S3 that brings our entrypoint into a job's container.

Its prefix is named after its content. So it is uploaded once, two users may upload it at the same
time, and a job that starts later finds what its request meant.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch.caller import Caller
from sm_proxy.local import container_files
from sm_proxy.local.threads import map_concurrently

NAME: Final = "sm_proxy"
"""Not `sm-proxy`: SDK 3 makes a shell variable of a channel's name, and dies of a dash."""
TRAINING_PATH: Final = f"/opt/ml/input/data/{NAME}"
PROCESSING_PATH: Final = f"/opt/ml/processing/input/{NAME}"
ENTRYPOINT: Final = "entrypoint.sh"
ARGV: Final = "argv"
"""The file with the program's words, if a request cannot hold them."""
ARGV_OPTION: Final = "--argv-file"
"""`sh PATH/entrypoint.sh --argv-file PATH/argv` runs those words."""
WHEELS: Final = "wheels"
"""The folder with an SSH server in Python, for images that have none (launch/wheels.py)."""

_ROOT: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/((?:[A-Za-z0-9._=-]+/)*)")
_ANOTHER_PLACE: Final = "name another folder for our files: SM_PROXY_LAUNCH_S3=s3://BUCKET/FOLDER"
_UPLOADS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Channel:
    """The folder that the channel carries.

    Attributes:
        root: the folder in S3 below which its own prefix lies, such as `s3://bucket/prefix`.
        files: the content of each file, by its path in the folder.
    """

    root: str
    files: Mapping[str, bytes]

    @property
    def uri(self) -> str:
        """Its prefix in S3, `s3://bucket/prefix/<32 hex digits>/`. The digits are the content's."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            # The lengths: or the end of one file could be the beginning of the next one's name.
            digest.update(f"{len(name.encode())} {len(content)} ".encode() + name.encode())
            digest.update(content)
        return f"{self.root.rstrip('/')}/{digest.hexdigest()[:32]}/"

    def with_file(self, name: str, content: bytes) -> Channel:
        """The same folder with one more file."""
        return replace(self, files={**self.files, name: content})


def container_channel(root: str, wheels: Mapping[str, bytes]) -> Channel:
    """A channel with our entrypoint, and these files of `launch/wheels.py` (they may be none).

    Raises:
        SmProxyError: `bad-setting`, `root` is not a folder in S3.
    """
    _location(root)
    ours = {
        name: content.replace(
            b"\r\n", b"\n"
        )  # a checkout on Windows may have changed the line ends
        for name, content in container_files.read().items()
        if container_files.belongs_in_an_image(name)
    }
    theirs = {f"{WHEELS}/{name}": content for name, content in wheels.items()}
    return Channel(root.rstrip("/"), {**ours, **theirs})


def argv_file(words: Sequence[str]) -> bytes:
    """The file from which entrypoint.sh reads a command: sh sets its arguments from these words."""
    return b" \\\n".join([b"set --", *(shlex.quote(word).encode() for word in words)]) + b"\n"


def upload(aws: Caller, channel: Channel, on_status: Callable[[str], None]) -> None:
    """Put the files into S3 that are not there yet.

    An object of S3 is there whole or not at all, and each is compared by name and size. So an
    upload that was killed is continued, and S3 checks the content of each by its SHA-256.

    Raises:
        SmProxyError: `access-denied`, naming the action; `bucket-unreadable`, there is no such
            bucket; or as `Aws.call`.
    """
    bucket, prefix = _location(channel.uri)
    there = _sizes(aws, bucket, prefix)
    missing = [name for name, content in channel.files.items() if there.get(name) != len(content)]
    if not missing:
        return
    size = sum(len(channel.files[name]) for name in missing) / 1e6
    on_status(f"uploading the ssh server's files to {channel.uri} ({size:.1f} MB)")
    map_concurrently(
        lambda name: _put(aws, bucket, prefix + name, channel.files[name]),
        missing,
        _UPLOADS_AT_ONCE,
    )


def _location(url: str) -> tuple[str, str]:
    """The bucket of a folder in S3, and the prefix of the names in it."""
    found = _ROOT.fullmatch(url.rstrip("/") + "/")
    if found is None:
        raise SmProxyError(
            "bad-setting",
            f"{url!r} is not a folder in S3",
            "Write it as s3://bucket/folder, of letters, digits and . _ = - only.",
        )
    return found[1], found[2]


def _sizes(aws: Caller, bucket: str, prefix: str) -> dict[str, int]:
    """The size of each object below `prefix`; empty if we may not list them."""
    try:
        return {
            item["Key"].removeprefix(prefix): item["Size"] for item in _listed(aws, bucket, prefix)
        }
    except ServiceError as error:
        raise _failure(error, bucket) from None
    except SmProxyError as error:
        if error.code == "access-denied":
            return {}
        raise


def _listed(aws: Caller, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        page = aws.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, **token)
        yield from page.get("Contents", [])
        if not page.get("NextContinuationToken"):
            return
        token = {"ContinuationToken": page["NextContinuationToken"]}


def _put(aws: Caller, bucket: str, key: str, content: bytes) -> None:
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    try:
        aws.call("s3", "PutObject", Bucket=bucket, Key=key, Body=content, ChecksumSHA256=checksum)
    except ServiceError as error:
        raise _failure(error, bucket) from None
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        hint = f"{error.hint} Or {_ANOTHER_PLACE}.".lstrip()
        raise SmProxyError(error.code, error.message, hint) from None


def _failure(error: ServiceError, bucket: str) -> SmProxyError:
    if error.error != "NoSuchBucket":
        return error.as_failure()
    return SmProxyError(
        "bucket-unreadable",
        f"there is no bucket {bucket}",
        "Name a bucket that exists, in the job's region: SM_PROXY_LAUNCH_S3=s3://BUCKET/FOLDER.",
    )
