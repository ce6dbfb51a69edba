"""Errors of AWS services, and their form in each protocol.

The services of the AWS endpoint raise AwsError; `render` turns it into an HTTP reply.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

# XML namespaces of the query protocol. Clients ignore them.
NAMESPACES = {
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "cloudformation": "http://cloudformation.amazonaws.com/doc/2010-05-15/",
    "autoscaling": "http://autoscaling.amazonaws.com/doc/2011-01-01/",
}


class AwsError(Exception):
    """The service refused a call: error code, message, HTTP status, and headers of the answer."""

    def __init__(
        self, code: str, message: str, status: int = 400, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.headers = headers or {}
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(call: Call, result: object, status: int = 200) -> Reply:
    """Return the reply of a JSON service."""
    body = json.dumps(result, separators=(",", ":")).encode()
    return Reply(status, body, _headers(call, "application/x-amz-json-1.1"))


def render(call: Call, error: AwsError) -> Reply:
    """Return an error as a reply, in the format of the call's protocol."""
    if call.protocol == "json":
        # IAM refuses a call before the service sees it, and writes this key with a capital M.
        key = "Message" if error.code == "AccessDeniedException" else "message"
        return json_reply(call, {"__type": error.code, key: error.message}, error.status)
    if call.protocol == "rest-json":
        headers = _headers(call, "application/json") | {"x-amzn-ErrorType": error.code}
        return Reply(error.status, json.dumps({"message": error.message}).encode(), headers)
    text = {"ec2": _ec2, "rest-xml": _rest_xml}.get(call.protocol, _query)(call, error)
    headers = _headers(call, "text/xml;charset=UTF-8") | error.headers
    return Reply(error.status, text.encode(), headers)


def _headers(call: Call, content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, "x-amzn-RequestId": call.request_id}


def _ec2(call: Call, error: AwsError) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{error.code}</Code>"
        f"<Message>{escape(error.message)}</Message></Error></Errors>"
        f"<RequestID>{call.request_id}</RequestID></Response>"
    )


def _query(call: Call, error: AwsError) -> str:
    fault = "Sender" if error.status < 500 else "Receiver"
    namespace = NAMESPACES.get(call.service, f"https://{call.service}.amazonaws.com/doc/")
    return (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type>'
        f"<Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{call.request_id}</RequestId></ErrorResponse>"
    )


def _rest_xml(call: Call, error: AwsError) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
        f"<RequestId>{call.request_id}</RequestId></Error>"
    )
