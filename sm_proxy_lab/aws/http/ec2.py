"""EC2's form of the query protocol, for the operations that moto does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from sm_proxy_lab.aws.http.errors import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sm_proxy_lab.aws.http.call import Call


def listed(params: Mapping[str, Any], name: str, member: str = "") -> Iterator[str]:
    """The values of a list in a request."""
    number = 1
    while (key := f"{name}.{number}{member}") in params:
        yield str(params[key])
        number += 1


def filters(params: Mapping[str, Any]) -> dict[str, set[str]]:
    """The filters of a request: name -> values."""
    return {
        name: set(listed(params, f"Filter.{number}.Value"))
        for number, name in enumerate(listed(params, "Filter", ".Name"), 1)
    }


def write(value: Any) -> str:
    """A value as XML: dicts are elements, lists are items, None is left out."""
    if isinstance(value, dict):
        parts = (f"<{k}>{write(v)}</{k}>" for k, v in value.items() if v is not None)
        return "".join(parts)
    if isinstance(value, (list, tuple)):
        return "".join(f"<item>{write(item)}</item>" for item in value)
    return str(value).lower() if isinstance(value, bool) else escape(str(value))


def reply(call: Call, content: str) -> Reply:
    """An answer with this XML inside it."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<{call.operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{call.request_id}</requestId>{content}</{call.operation}Response>"
    )
    return Reply(200, body.encode(), {"Content-Type": "text/xml;charset=UTF-8"})
