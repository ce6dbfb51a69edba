"""Choose the folder in S3 that holds our channel: the job's role must be able to read it.

The channel lies in a bucket that the job uses already, so that no policy has to change: where its
code is, else where it writes, else where its data is. Data may be in another account's bucket.
Last comes the bucket that the SageMaker SDKs make for an account, if it exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import stack_names
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import channel, permissions, shapes
from sm_proxy.launch.caller import Caller
from sm_proxy.launch.changes import value_at
from sm_proxy.launch.shapes import Operation

_CODE: Final = ("code", "entrypoint", "sm_drivers")
"""Inputs in which the SageMaker SDKs bring the program's files, and scripts that start it."""
_SUBMITTED: Final = "sagemaker_submit_directory"
_BUCKET: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/|$)")
_OTHER_ROOT: Final = (
    "Name a folder that the job's role may read: SM_PROXY_LAUNCH_S3=s3://BUCKET/FOLDER."
)
_UNCHECKED: Final = (
    "Not checked: whether the job's role may read our files in S3"
    " (iam:SimulatePrincipalPolicy does not answer)"
)


@dataclass(frozen=True)
class Root:
    """Where the channel will be.

    Attributes:
        url: `s3://bucket/folder` without a last slash.
        note: what could not be checked; may be empty.
        owner: the account that its bucket must belong to: the role's, as a stranger could change
            our files. Empty for a folder that the user or the request names.
    """

    url: str
    note: str = ""
    owner: str = ""


def choose(
    aws: Caller, operation: Operation, request: Mapping[str, Any], configured: str | None = None
) -> Root:
    """The folder for the channel of a job.

    Args:
        aws: for the calls.
        operation: of the request.
        request: whose buckets are looked at.
        configured: the folder that the user's settings name.

    Raises:
        SmProxyError: `bucket-unreadable`, the request names no bucket, or its role may read none.
    """
    role = str(request.get("RoleArn", ""))
    if configured:
        return _configured(aws, role, configured.rstrip("/"))
    if ours := _present(operation, request):
        return Root(ours)
    names = list(dict.fromkeys(_buckets(operation, request)))
    unreadable: dict[str, tuple[str, ...]] = {}
    for name in (*names, f"sagemaker-{aws.region}-{_account(role)}"):
        url = f"s3://{name}/{stack_names.CHANNEL}"
        if not _is_ours(aws, name, role):
            continue
        missing = _denied(aws, role, url)
        if not missing:
            return Root(url, _UNCHECKED if missing is None else "", _account(role))
        unreadable[url] = missing
    if not unreadable and names:
        return Root(f"s3://{names[0]}/{stack_names.CHANNEL}", _UNCHECKED, _account(role))
    if not unreadable:
        what = (
            "the request names no bucket, and you may see none of the SageMaker SDKs"
            " (s3:ListBucket), so there is no place for our files"
        )
        raise SmProxyError("bucket-unreadable", what, _OTHER_ROOT)
    url, missing = next(iter(unreadable.items()))
    raise SmProxyError(
        "bucket-unreadable",
        f"the job's role {role} may not {' and '.join(missing)} on {url}, where our files would be",
        f"{_OTHER_ROOT} It may be this one, if the bucket's own policy lets the role read it.",
    )


def _configured(aws: Caller, role: str, url: str) -> Root:
    """The user's own choice is used: the bucket's policy may allow what the role's policies do not.

    Raises:
        SmProxyError: `bucket-unreadable`, the bucket is in another region: no job reads it from
            there, and S3 would take our files all the same.
    """
    region = _region(aws, url.removeprefix("s3://").partition("/")[0])
    if region not in {None, "", aws.region}:
        what = f"{url} is in {region}, and a job in {aws.region} reads buckets of its region only"
        raise SmProxyError("bucket-unreadable", what, _OTHER_ROOT)
    missing = _denied(aws, role, url)
    if missing is None:
        return Root(url, _UNCHECKED)
    named = " and ".join(missing)
    return Root(
        url, f"The policies of the job's role do not allow {named} on {url}" if named else ""
    )


def _present(operation: Operation, request: Mapping[str, Any]) -> str:
    """The folder of the channel that the request has already; empty without one."""
    for name, url in inputs_of(operation, request):
        if name == channel.NAME:
            return url.rstrip("/").rpartition("/")[0]
    return ""


def _denied(aws: Caller, role: str, url: str) -> tuple[str, ...] | None:
    """What the role lacks to read a folder; None if that is unknown."""
    partition = role.split(":")[1] if role.count(":") >= 5 else "aws"
    bucket, _, folder = url.removeprefix("s3://").partition("/")
    arn = f"arn:{partition}:s3:::{bucket}"
    objects = permissions.denied(aws, role, ("s3:GetObject",), (f"{arn}/{folder}/entrypoint.sh",))
    if objects is None:
        return None
    return objects + (permissions.denied(aws, role, ("s3:ListBucket",), (arn,)) or ())


def _is_ours(aws: Caller, bucket: str, role: str) -> bool:
    """Whether a bucket is in this region and of the role's account, as far as we may see."""
    owner = {"ExpectedBucketOwner": _account(role)} if _account(role) else {}
    return _region(aws, bucket, **owner) in {"", aws.region}


def _account(role: str) -> str:
    return role.split(":")[4] if role.count(":") >= 5 else ""


def _region(aws: Caller, bucket: str, **owner: str) -> str | None:
    """The region of a bucket, empty if S3 does not tell; None without a bucket that we may see."""
    try:
        return str(aws.call("s3", "HeadBucket", Bucket=bucket, **owner).get("BucketRegion", ""))
    except ServiceError:
        return None
    except SmProxyError as error:
        if error.code in {"access-denied", "network"}:
            return None
        raise


def _buckets(operation: Operation, request: Mapping[str, Any]) -> Iterator[str]:
    """The buckets of a request: its code's first, then its results', then its data's."""
    inputs = list(inputs_of(operation, request))
    yield from _of_url(code_of(request))
    for name, url in inputs:
        if name in _CODE:
            yield from _of_url(url)
    for url in shapes.of(operation).outputs(request):
        yield from _of_url(url)
    for _, url in inputs:
        yield from _of_url(url)


def code_of(request: Mapping[str, Any]) -> str:
    """The archive with the program of version 2 of the SageMaker SDK; empty without one."""
    given = str((request.get("HyperParameters") or {}).get(_SUBMITTED, ""))
    try:
        found = json.loads(given)
    except ValueError:
        return given
    return found if isinstance(found, str) else ""


def code_inputs(operation: Operation, request: Mapping[str, Any]) -> list[str]:
    """The S3 addresses of the inputs that bring the program's files."""
    return [url for name, url in inputs_of(operation, request) if name in _CODE]


def inputs_of(operation: Operation, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and the S3 address of each input; the address of another one is empty."""
    shape = shapes.of(operation)
    for item in value_at(request, shape.INPUTS) or ():
        yield shape.name_of_input(item), str(value_at(item, shape.uri_path()) or "")


def split(url: str) -> tuple[str, str] | None:
    """The bucket and the key of an address in S3; None for any other, such as an access point's."""
    found = _BUCKET.match(url)
    return (found[1], url[found.end() :]) if found else None


def _of_url(url: str) -> Iterator[str]:
    """The bucket of an address in S3; none for an access point, which is addressed by an ARN."""
    if found := _BUCKET.match(url):
        yield found[1]
