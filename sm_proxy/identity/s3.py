"""Public keys in S3, where containers with SM_PROXY_KEYS_S3 look for them.

Each key is one object, named after the key, so users cannot overwrite each other's objects.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.identity.identities import Identity
from sm_proxy.public_key import wire_form

_URL: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/((?:[A-Za-z0-9._-]+/)*)")
"""A folder whose names the container accepts (container/README.md)."""


def push(aws: Aws, url: str, key: Identity) -> str:
    """Put `key` below `url`, so that containers which look there accept it.

    Returns:
        The object's address, `s3://bucket/name`.

    Raises:
        SmProxyError: `bad-setting`, `url` is not a folder in S3; or S3's own error.
    """
    bucket, name = object_location(url, key)
    body = f"{key.public_key}\n".encode()
    _call(aws, "PutObject", bucket, name, Body=body, ContentType="text/plain")
    return f"s3://{bucket}/{name}"


def remove(aws: Aws, url: str, key: Identity) -> str:
    """Delete the object of `key`; a missing object is not an error.

    Returns:
        The object's address, `s3://bucket/name`.

    Raises:
        SmProxyError: as `push`.
    """
    bucket, name = object_location(url, key)
    _call(aws, "DeleteObject", bucket, name)
    return f"s3://{bucket}/{name}"


def object_location(url: str, key: Identity) -> tuple[str, str]:
    """The bucket and the name of the object of `key` below the folder `url`.

    Raises:
        SmProxyError: `bad-setting`, `url` is not a folder in S3.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise SmProxyError(
            "bad-setting",
            f"{url!r} is not an S3 folder that a container would read keys from",
            "Write it as s3://bucket/keys/ with the last slash, of letters, digits and . _ - only.",
        )
    digest = hashlib.sha256(wire_form(key.public_key)).hexdigest()
    return found[1], f"{found[2]}sm-proxy-{digest[:16]}.pub"


def _call(aws: Aws, operation: str, bucket: str, name: str, **parameters: object) -> None:
    try:
        aws.call("s3", operation, Bucket=bucket, Key=name, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None
