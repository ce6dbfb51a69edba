"""AWS's query protocol: parameters from a form, and the answer as XML, by botocore's models."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from botocore.model import ListShape, MapShape, StructureShape

from sm_proxy_lab.aws import models
from sm_proxy_lab.aws.http.errors import NAMESPACES, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.model import Shape

    from sm_proxy_lab.aws.http.call import Call


def read(call: Call) -> dict[str, Any]:
    """The parameters of a call, with lists and structures; numbers and flags are converted.

    Raises:
        botocore.exceptions.OperationNotFoundError: The service has no such operation.
    """
    shape = models.of_service(call.service).operation_model(call.operation).input_shape
    found = None if shape is None else _read(shape, "", call.params)
    return dict(found or {})


def reply(call: Call, result: Mapping[str, Any]) -> Reply:
    """The answer of an operation; what its model does not have is left out."""
    shape = models.of_service(call.service).operation_model(call.operation).output_shape
    content = ""
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper", f"{call.operation}Result")
        content = f"<{wrapper}>{_members(shape, result)}</{wrapper}>"
    body = (
        f'<{call.operation}Response xmlns="{NAMESPACES[call.service]}">{content}'
        f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"
        f"</{call.operation}Response>"
    )
    headers = {"Content-Type": "text/xml;charset=UTF-8", "x-amzn-RequestId": call.request_id}
    return Reply(200, body.encode(), headers)


def _read(shape: Shape, path: str, params: Mapping[str, Any]) -> Any:
    """The value at `path`; None if the form has none."""
    if isinstance(shape, StructureShape):
        before = f"{path}." if path else ""
        found = {
            name: _read(member, before + name, params) for name, member in shape.members.items()
        }
        return {name: value for name, value in found.items() if value is not None} or None
    if isinstance(shape, ListShape):
        items: list[Any] = []
        while (item := _read(shape.member, f"{path}.member.{len(items) + 1}", params)) is not None:
            items.append(item)
        return items or ([] if path in params else None)  # an empty list is sent as `Name=`
    text = params.get(path)
    if text is None:
        return None
    if shape.type_name == "boolean":
        return text == "true"
    return int(text) if shape.type_name in {"integer", "long"} else text


def _members(shape: StructureShape, value: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_write(member, value[name])}</{name}>"
        for name, member in shape.members.items()
        if value.get(name) is not None
    )


def _write(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        return _members(shape, value)
    if isinstance(shape, ListShape):
        return "".join(f"<member>{_write(shape.member, item)}</member>" for item in value)
    if isinstance(shape, MapShape):
        return "".join(
            f"<entry><key>{escape(key)}</key><value>{_write(shape.value, item)}</value></entry>"
            for key, item in value.items()
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        text = value.astimezone(dt.timezone.utc).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")
    return escape(str(value))
