"""Copies a job's data from S3 into its containers' folders, as SageMaker does before they start.

`job_output` copies the other way with the same calls.

The calls go to the lab's own S3, with the identity of the job's role.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.errors import JobError
from sm_proxy_lab.machines import role_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sm_proxy_lab.job_kinds.request import Input, Instance

_TIMEOUT_S = 60.0
_URI = re.compile(r"s3://([^/]+)/?(.*)", re.DOTALL)


class _RefusedError(Exception):
    """S3 refused, or the request names no objects; the text says why."""


@dataclass(frozen=True)
class Machine:
    """A machine that gets data.

    Attributes:
        instance: which machine of the job it is.
        root: where the container's files are prepared.
    """

    instance: Instance
    root: Path


@dataclass(frozen=True)
class JobData:
    """Copies data to the machines of one job.

    Attributes:
        endpoint: the URL of the lab's AWS endpoint.
        region: the job's region.
        role: the ARN of the job's role.
        page: how many keys one call lists at most.
    """

    endpoint: str
    region: str
    role: str = role_credentials.ARN
    page: int = 1000

    def copy(self, wanted: Input, machines: Sequence[Machine]) -> None:
        """Make an input's folder on each machine and copy the objects into it.

        Raises:
            JobError: there are no such objects, the job's role cannot read them, or they cannot
                be files in that folder.
        """
        machines = [
            machine
            for machine in machines
            if machine.instance.group in (wanted.groups or {machine.instance.group})
        ]
        if wanted.folder == "" or ".." in wanted.folder.split("/"):
            raise JobError(f"ClientError: Invalid path in the container: /{wanted.folder}")
        for machine in machines:
            (machine.root / wanted.folder).mkdir(parents=True, exist_ok=True)
        if wanted.uri is None:
            return
        try:
            self._copy_objects(wanted, wanted.uri, machines)
        except _RefusedError as error:
            raise JobError(f"ClientError: Data download failed:{error}") from None

    def put(self, uri: str, name: str, content: bytes) -> str:
        """Write an object below `uri`; why S3 refuses it, empty if it does not."""
        try:
            bucket, prefix = _parsed(uri)
            key = urllib.parse.quote("/".join(filter(None, (prefix.strip("/"), name))))
            self._call(f"/{bucket}/{key}", {}, content)
        except (_RefusedError, OSError) as error:
            return str(error)
        return ""

    def _copy_objects(self, wanted: Input, uri: str, machines: Sequence[Machine]) -> None:
        for number, (bucket, key, name) in enumerate(self._objects(wanted, uri)):
            content = self._get(bucket, key)
            shard = number % len(machines)
            for machine in machines[shard : shard + 1] if wanted.sharded else machines:
                _write(machine.root / wanted.folder, name, content)

    def _objects(self, wanted: Input, uri: str) -> Iterator[tuple[str, str, str]]:
        """Yield bucket, key and relative path of each object, sorted by key."""
        bucket, prefix = _parsed(uri)
        if wanted.manifest:
            yield from self._manifest(bucket, prefix)
            return
        try:
            keys = [key for key in self._keys(bucket, prefix) if not key.endswith("/")]
        except _RefusedError as error:
            raise _RefusedError(f"{self._nothing_found(uri, bucket)} {error}") from None
        if not keys and not wanted.optional:
            raise _RefusedError(self._nothing_found(uri, bucket))
        for key in sorted(keys):
            yield bucket, key, _relative(key, prefix)

    def _manifest(self, bucket: str, key: str) -> Iterator[tuple[str, str, str]]:
        try:
            head, *names = json.loads(self._get(bucket, key))
            bucket, prefix = _parsed(head["prefix"])
            names = [str(name) for name in names]
        except (KeyError, TypeError, ValueError):
            raise _RefusedError(f"Invalid manifest: s3://{bucket}/{key}") from None
        for name in sorted(names):
            yield bucket, prefix + name, name

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        keys: list[str] = []
        # XML cannot hold every character of a key.
        more = {"max-keys": str(self.page), "encoding-type": "url"}
        while True:
            page = ET.fromstring(  # noqa: S314 - from our own endpoint
                self._call(f"/{bucket}", {"list-type": "2", "prefix": prefix, **more})
            )
            found = page.iterfind("{*}Contents/{*}Key")
            keys += [urllib.parse.unquote_plus(key.text or "") for key in found]
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                return keys
            more["continuation-token"] = token

    def _get(self, bucket: str, key: str) -> bytes:
        try:
            return self._call(f"/{bucket}/{urllib.parse.quote(key)}", {})
        except _RefusedError as error:
            raise _RefusedError(
                f"Unable to download object s3://{bucket}/{key} ({error})"
            ) from None

    def _call(self, path: str, query: dict[str, str], content: bytes | None = None) -> bytes:
        """Send a GET to S3, or a PUT of some content.

        Raises:
            _RefusedError: S3 refused; the message has S3's code and words.
        """
        day = time.strftime("%Y%m%d", time.gmtime())
        keys = role_credentials.keys_of(self.role)
        scope = f"{keys['access_key']}/{day}/{self.region}/s3/aws4_request"
        # The lab reads who calls from the scope. It checks a signature only if there is one.
        headers = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}",
            "X-Amz-Security-Token": keys["token"],
        }
        url = f"{self.endpoint}{path}?{urllib.parse.urlencode(query)}"
        if content is not None:
            headers["Content-Type"] = "binary/octet-stream"
        method = "GET" if content is None else "PUT"
        request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310 - our own, http
        # The endpoint is on this machine, so ignore the proxies in the environment.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as error:
            with error:
                raise _RefusedError(_refusal(error.code, error.read())) from None

    def _nothing_found(self, uri: str, bucket: str) -> str:
        return (
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure'
            f" that the bucket exists in the selected region ({self.region}), that objects exist"
            f' under that S3 prefix, and that the role "{self.role}" has "s3:ListBucket"'
            f' permissions on bucket "{bucket}".'
        )


def _parsed(uri: str) -> tuple[str, str]:
    match = _URI.fullmatch(uri)
    if match is None:
        raise _RefusedError(f"Invalid S3 URI: {uri}")
    return match[1], match[2]


def _relative(key: str, prefix: str) -> str:
    """The path of an object below its channel's folder.

    A prefix that ends within a name, such as `s3://bucket/data/part-`, leaves the whole name.
    """
    if not prefix.endswith("/") and not key.startswith(f"{prefix}/"):
        prefix = prefix.rpartition("/")[0]
    return key[len(prefix) :].lstrip("/")


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file that belongs to root and has no executable bit.

    Raises:
        _RefusedError: no file may have that name, or another object is a file where this one needs
            a folder.
    """
    try:
        file = folder / name
        if folder not in file.resolve().parents:
            raise _RefusedError(f"Invalid object name: {name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o644)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise _RefusedError(f"Unable to write the object {name!r} to a file: {why}") from None


def _refusal(status: int, body: bytes) -> str:
    found: Any = None
    if body:
        found = ET.fromstring(body)  # noqa: S314 - from our own endpoint
    if found is None:
        return f"{status}: {status}"
    return f"{found.findtext('.//Code')}: {found.findtext('.//Message')}"
