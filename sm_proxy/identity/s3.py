"""The public key as an object in S3, where containers with SM_PROXY_KEYS_S3 look for it.

One object per key, named after the key: nobody's object is replaced by somebody else's.
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
"""A folder with names as the container takes them (container/README.md)."""


def push(aws: Aws, url: str, key: Identity) -> str:
    """Let `key` into the containers that look at `url`; returns the object's address.

    Raises:
        SmProxyError: `bad-setting`, it is no folder in S3; or what S3 says.
    """
    bucket, name = object_location(url, key)
    body = f"{key.public_key}\n".encode()
    _call(aws, "PutObject", bucket, name, Body=body, ContentType="text/plain")
    return f"s3://{bucket}/{name}"


def remove(aws: Aws, url: str, key: Identity) -> str:
    """Take `key` out again; returns the object's address. One that is not there is no failure.

    Raises:
        SmProxyError: as `push`.
    """
    bucket, name = object_location(url, key)
    _call(aws, "DeleteObject", bucket, name)
    return f"s3://{bucket}/{name}"


def object_location(url: str, key: Identity) -> tuple[str, str]:
    """Bucket and name of the object of `key` below the folder `url`.

    Raises:
        SmProxyError: `bad-setting`, it is no folder in S3.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise SmProxyError(
            "bad-setting",
            f"{url!r} is no folder in S3 whose keys a container would read",
            "Write it as s3://bucket/keys/, of letters, digits and . _ -, with the last slash.",
        )
    digest = hashlib.sha256(wire_form(key.public_key)).hexdigest()
    return found[1], f"{found[2]}sm-proxy-{digest[:16]}.pub"


def _call(aws: Aws, operation: str, bucket: str, name: str, **parameters: object) -> None:
    try:
        aws.call("s3", operation, Bucket=bucket, Key=name, **parameters)
    except ServiceError as error:
        raise error.as_failure() from None
