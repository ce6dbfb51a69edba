"""SageMaker itself, behind the endpoint: reached with botocore's own HTTP client."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from sm_proxy import error_handler
from sm_proxy.aws import errors, network
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.launch.endpoint import signatures
from sm_proxy.launch.endpoint.held_keys import Held
from sm_proxy.launch.endpoint.http_server import Request, Response
from sm_proxy.launch.endpoint.signatures import HOP_BY_HOP, Signature

SERVICE: Final = "sagemaker"
_CONNECT_S: Final = 60.0
_READ_S: Final = 900.0
"""The client has a limit of its own, and closes its connection then."""
_POOL: Final = 50
_CHUNK: Final = 16 << 10
_JSON: Final = "application/x-amz-json-1.1"


@dataclass(frozen=True)
class _Place:
    """The service in one region."""

    url: str
    http: URLLib3Session


class Upstream:
    """Sends requests on, to the endpoint that `aws` would use: the user's own, if there is one."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._places: dict[str, _Place] = {}
        self._lock = threading.Lock()

    def send(self, request: Request, path: str, signature: Signature, held: Held) -> Response:
        """Send a request with a new signature.

        Args:
            request: as it came; its target is replaced.
            path: the target at the service, with the query.
            signature: that it came with.
            held: the keys to sign with.

        Raises:
            SmProxyError: the service cannot be reached.
        """
        place = self._place(signature.region)
        url = place.url.rstrip("/") + path
        headers: Any = HeadersDict(signatures.sign_anew(request, url, signature, held.keys))
        try:
            answer: Any = place.http.send(
                AWSPreparedRequest(request.method, url, headers, request.body, stream_output=True)
            )
        except BotoCoreError as error:
            raise errors.from_botocore(error, SERVICE, None) or error from None
        pairs = ((name.lower(), value) for name, value in answer.raw.headers.items())
        kept = tuple(pair for pair in pairs if pair[0] not in HOP_BY_HOP)
        return Response(answer.status_code, kept, _Body(answer.raw), str(answer.raw.reason or ""))

    def _place(self, region: str) -> _Place:
        with self._lock:
            if region not in self._places:
                url = self._aws.in_region(region).endpoint(SERVICE)
                options: dict[str, Any] = {
                    "verify": network.ca_bundle(self._aws.session),
                    "proxies": get_environ_proxies(url),
                    "timeout": (_CONNECT_S, _READ_S),
                    "max_pool_connections": _POOL,
                    # As in botocore, which sends head and body one after the other.
                    "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
                }
                http = URLLib3Session(**options)
                self._places[region] = _Place(url, http)
            return self._places[region]


class _Body:
    """The bytes of a response as they come, compressed if the service compresses them."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._raw.stream(_CHUNK, decode_content=False)
        except HTTPError as error:
            raise SmProxyError("network", f"the connection to {SERVICE} broke: {error}") from None

    def close(self) -> None:
        """Give the connection back, or end it if the body was not read."""
        self._raw.release_conn() if self._raw.closed else self._raw.close()


def error_response(status: int, code: str, message: str) -> Response:
    """A response that clients of SageMaker show as an error of the service."""
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = (
        ("content-type", _JSON),
        ("content-length", str(len(body))),
        ("x-amzn-errortype", code),
    )
    return Response(status, headers, (body,))


def unreachable(error: SmProxyError) -> Response:
    """The response to a client whose request did not reach the service: it may try again."""
    told = error_handler.redacted(error).text
    return error_response(503, "ServiceUnavailable", f"sm-proxy: {told}")
