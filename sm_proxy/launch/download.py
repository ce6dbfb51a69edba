"""Download what AWS gives an address for, the way that botocore reaches AWS."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Final

from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from sm_proxy.aws import network
from sm_proxy.launch.caller import Caller

_TIMEOUT_S: Final = 20


def fetch(aws: Caller, url: str, *, limit: int, digest: str) -> bytes:
    """The content at an address that AWS has signed for us.

    Args:
        aws: whose certificates count; the proxy is that of the environment.
        url: with its signature: it is never shown.
        limit: the largest content, in bytes.
        digest: `sha256:...` of the content.

    Raises:
        ValueError: nothing answers there, or the content is too large or of another digest. The
            message does not contain the address, because its signature is a secret.
        SmProxyError: the configured certificates are unusable.
    """
    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    session = URLLib3Session(
        verify=network.ca_bundle(aws.session),  # type: ignore[arg-type] # a path is taken too
        proxies=get_environ_proxies(url),
        timeout=_TIMEOUT_S,
    )
    try:
        answer = session.send(AWSRequest("GET", url, stream_output=True).prepare())
        content = bytes(answer.raw.read(limit + 1))
    except (BotoCoreError, HTTPError, OSError, ValueError) as error:
        raise ValueError(f"{host} cannot be reached ({type(error).__name__})") from None
    finally:
        session.close()
    if answer.status_code != HTTPStatus.OK:
        raise ValueError(f"{host} answers with HTTP status {answer.status_code}")
    if len(content) > limit:
        raise ValueError(f"{host} sends more than {limit} bytes")
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise ValueError(f"{host} sends content of another digest")
    return content
