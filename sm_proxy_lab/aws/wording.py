"""Replaces moto's error messages with those of AWS."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.errors import Reply

_MOTO_OTHER = re.compile(
    r"Could not find (endpoint|model|endpoint[ _]config(?:uration)?) '([^']*)'\.?"
)
_MOTO_VPC = re.compile(r"VpcID [^v]*(vpc-\w+).* does not exist\.")
_MALFORMED = re.compile(
    r"The (?:instance|subnet) IDs? '(?!(?:i|subnet)-(?:[0-9a-f]{8}|[0-9a-f]{17})')([^',]*)'"
    r" does not exist"
)


def amend(call: Call, reply: Reply) -> Reply:
    """Return moto's reply with the texts that the service would use."""
    change = _CHANGES.get(call.service)
    if change is None:
        return reply
    return change(call, reply)


def _sagemaker(_call: Call, reply: Reply) -> Reply:
    if reply.status < 400:
        return reply
    error = json.loads(reply.body)
    message = error.get("message") or error.get("Message") or ""
    found = _MOTO_OTHER.search(message)
    if found:
        kind = "endpoint configuration" if "config" in found[1] else found[1]
        message = f'Could not find {kind} "{found[2]}".'
    error.pop("Message", None)
    error["message"] = message
    return replace(
        reply, status=400 if reply.status < 500 else reply.status, body=json.dumps(error).encode()
    )


def _ec2(_call: Call, reply: Reply) -> Reply:
    if reply.status < 400:
        return reply
    text = reply.body.decode()
    text = _MOTO_VPC.sub(r"The vpc ID '\1' does not exist", text)
    found = _MALFORMED.search(text)
    if found:
        # EC2 refuses a malformed id without looking it up.
        text = text.replace(found[0], f'Invalid id: "{found[1]}"')
        text = re.sub(r"<Code>(\w+)\.NotFound</Code>", r"<Code>\1.Malformed</Code>", text)
    return replace(reply, body=text.encode())


_CHANGES: dict[str, Callable[[Call, Reply], Reply]] = {
    "sagemaker": _sagemaker,
    "ec2": _ec2,
}
