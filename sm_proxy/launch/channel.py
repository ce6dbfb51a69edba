"""The input channel `sm_proxy`: a folder in S3 that brings our entrypoint into a job's container.

Its prefix is named after its content. So it is uploaded once, two users may upload it at the same
time, and a job that starts later finds what its request meant.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Channel:
    """The folder that the channel carries.

    Attributes:
        root: the folder in S3 below which its own prefix lies, such as `s3://bucket/prefix`.
        files: the content of each file, by its path in the folder.
        owner: the account that the bucket must belong to; empty if the user named the folder, or
            the job uses it already.
    """

    root: str
    files: Mapping[str, bytes]
    owner: str = ""

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


def container_channel(root: str, wheels: Mapping[str, bytes], owner: str = "") -> Channel:
    """A channel with our entrypoint, and these files of `launch/wheels.py` (they may be none).

    Args:
        root: as in `Channel`.
        wheels: contents by name.
        owner: as in `Channel`.

    Raises:
        SmProxyError: `bad-setting`, `root` is not a folder in S3.
    """
    _location(root)
    ours = container_files.for_a_container()
    theirs = {f"{WHEELS}/{name}": content for name, content in wheels.items()}
    return Channel(root.rstrip("/"), {**ours, **theirs}, owner)


def argv_file(words: Sequence[str]) -> bytes:
    """The file from which entrypoint.sh reads a command: sh sets its arguments from these words."""
    return b" \\\n".join([b"set --", *(shlex.quote(word).encode() for word in words)]) + b"\n"


def upload(aws: Caller, channel: Channel, on_status: Callable[[str], None]) -> None:
    """Upload the files that are missing in S3, or were changed there.

    An object of S3 is there whole or not at all, so an upload that was killed is continued. S3
    checks the content of what we send by its SHA-256. What is there already is compared by its
    digest, because it will run in the job's container.

    Raises:
        SmProxyError: `access-denied`, naming the action; or as `missing`.
    """
    names = missing(aws, channel)
    if not names:
        return
    size = sum(len(channel.files[name]) for name in names) / 1e6
    on_status(f"uploading the ssh server's files to {channel.uri} ({size:.1f} MB)")
    folder = _Folder.of(aws, channel)
    map_concurrently(lambda name: folder.put(name, channel.files[name]), names, _AT_ONCE)


def missing(aws: Caller, channel: Channel) -> list[str]:
    """The names of the files that are not in S3, or not as they should be.

    Raises:
        SmProxyError: `bucket-unreadable`, there is no such bucket; `unsupported`, the folder has
            other files; or as `Aws.call`.
    """
    folder = _Folder.of(aws, channel)
    there = folder.list()
    _refuse_others(channel, there)
    names = list(channel.files)
    whole = map_concurrently(
        lambda name: folder.has(name, channel.files[name], there.get(name)), names, _AT_ONCE
    )
    return [name for name, is_whole in zip(names, whole, strict=True) if not is_whole]


def _refuse_others(channel: Channel, there: Iterable[str]) -> None:
    """Refuse a folder with other files: the container would get them, and Python import them."""
    # Consoles make an empty object for a folder.
    others = [name for name in there if name not in channel.files and name[-1:] not in {"", "/"}]
    if others:
        raise SmProxyError(
            "unsupported",
            f"somebody has put other files into {channel.uri}, such as {others[0]}, and the job"
            " would get them too",
            f"Delete these files, and find out who may write there. Or {_ANOTHER_PLACE}.",
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


@dataclass(frozen=True)
class _Folder:
    """A channel's folder in S3.

    Attributes:
        aws: for the calls.
        bucket: its name.
        prefix: of its objects' keys.
        owner: parameter of each call, by which S3 refuses a bucket of another account; or none.
    """

    aws: Caller
    bucket: str
    prefix: str
    owner: Mapping[str, str]

    @classmethod
    def of(cls, aws: Caller, channel: Channel) -> _Folder:
        owner = {"ExpectedBucketOwner": channel.owner} if channel.owner else {}
        return cls(aws, *_location(channel.uri), owner)

    def list(self) -> dict[str, dict[str, Any]]:
        """S3's data of each object, by name; empty if we may not list them."""
        try:
            return {item["Key"].removeprefix(self.prefix): item for item in self._listed()}
        except ServiceError as error:
            raise _failure(error, self.bucket) from None
        except SmProxyError as error:
            if error.code == "access-denied":
                return {}
            raise

    def has(self, name: str, content: bytes, listed: Mapping[str, Any] | None) -> bool:
        """Whether an object has this content, by what `list` tells of it.

        Its ETag is the MD5 of the content, but not under a KMS key. Then S3 is asked for the
        SHA-256 that we sent with it.
        """
        if listed is None or listed["Size"] != len(content):
            return False
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if str(listed.get("ETag")).strip('"') == digest:
            return True
        place = {"Bucket": self.bucket, "Key": self.prefix + name, **self.owner}
        told = self.aws.call_if_allowed("s3", "HeadObject", ChecksumMode="ENABLED", **place)
        return told is not None and told.get("ChecksumSHA256") == _sha256(content)

    def put(self, name: str, content: bytes) -> None:
        """Upload an object."""
        key, checksum = self.prefix + name, _sha256(content)
        where = {"Bucket": self.bucket, "Key": key, **self.owner}
        try:
            self.aws.call("s3", "PutObject", **where, Body=content, ChecksumSHA256=checksum)
        except ServiceError as error:
            raise _failure(error, self.bucket) from None
        except SmProxyError as error:
            if error.code != "access-denied":
                raise
            hint = f"{error.hint} Or {_ANOTHER_PLACE}.".lstrip()
            if self.owner:
                hint += " Name a bucket of another account that way, too."
            raise SmProxyError(error.code, error.message, hint) from None

    def _listed(self) -> Iterator[dict[str, Any]]:
        where = {"Bucket": self.bucket, "Prefix": self.prefix, **self.owner}
        token: dict[str, str] = {}
        while True:
            page = self.aws.call("s3", "ListObjectsV2", **where, **token)
            yield from page.get("Contents", [])
            if not page.get("NextContinuationToken"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


def _sha256(content: bytes) -> str:
    """As S3 writes it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _failure(error: ServiceError, bucket: str) -> SmProxyError:
    if error.error != "NoSuchBucket":
        return error.as_failure()
    return SmProxyError(
        "bucket-unreadable",
        f"there is no bucket {bucket}",
        "Name a bucket that exists, in the job's region: SM_PROXY_LAUNCH_S3=s3://BUCKET/FOLDER.",
    )
