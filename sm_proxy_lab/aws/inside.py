"""botocore clients whose requests go straight to the lab, without a socket.

A service that acts for its caller makes its calls with the caller's access key. The caller's
permissions then count, and the record of calls says which service made them.
"""

from __future__ import annotations

import io
import threading
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from sm_proxy_lab.aws.http.request import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.session import Session

    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.errors import Reply

_ENDPOINT: Final = "http://inside.lab"
_SECRET: Final = "inside"  # noqa: S105 - signs, but nothing checks it
_LOCK: Final = threading.Lock()
"""botocore's sessions make one client at a time."""


class App(Protocol):
    """What answers the calls: `AwsApp`."""

    def answer(self, call: Call, /) -> Reply:
        """Answer an API call."""


class _Raw(io.BytesIO):
    """A body as botocore reads it from urllib3."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """The whole body at once."""
        if content := self.read():
            yield content


def client(app: App, service: str, region: str, access_key: str, via: str) -> Any:
    """A botocore client that never retries.

    The first client of a service parses its model: 0.3 s of CPU for EC2.

    Args:
        app: what answers.
        service: botocore's name of the service.
        region: the region of the calls.
        access_key: whose permissions count.
        via: the service that makes the calls, such as `cloudformation`.
    """
    from botocore.config import Config  # noqa: PLC0415 - not every lab makes such calls

    config = Config(
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        parameter_validation=False,
        user_agent=f"{via}.amazonaws.com",
    )
    with _LOCK:
        made = _session().create_client(
            service,
            region_name=region,
            endpoint_url=_ENDPOINT,
            aws_access_key_id=access_key,
            aws_secret_access_key=_SECRET,
            config=config,
        )
    answer: Any = partial(_answer, app, via)  # typed as if it must return None
    made.meta.events.register("before-send", answer)
    return made


class Clients:
    """Makes clients when they are first asked for: service -> client."""

    def __init__(self, app: App, region: str, access_key: str, via: str) -> None:
        self._make = partial(client, app, region=region, access_key=access_key, via=via)
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        """The client of a service."""
        if service not in self._made:
            self._made[service] = self._make(service)
        return self._made[service]


@lru_cache
def _session() -> Session:
    from botocore.session import Session  # noqa: PLC0415 - as above

    return Session()


def _answer(app: App, via: str, request: AWSPreparedRequest, **_: object) -> AWSResponse:
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - as above

    url = urlsplit(request.url)
    target = f"{url.path}?{url.query}" if url.query else url.path
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    call = parse(str(request.method), target, headers, _body(request.body))
    call.via = via
    reply = app.answer(call)
    answered: Any = reply.headers
    return AWSResponse(request.url, reply.status, answered, _Raw(reply.body))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _body(body: Any) -> bytes:
    """A request's body: text, bytes, a file or nothing."""
    if body is None:
        return b""
    content = body.read() if hasattr(body, "read") else body
    return content.encode() if isinstance(content, str) else bytes(content)
