"""Convert dataclasses of plain fields to JSON records and back, with each field's type checked.

A record with one wrong field is refused as a whole: something else has changed the file.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

_Kind = TypeVar("_Kind")
_TIME: Final = "time"


def to_record(item: Any) -> dict[str, Any]:
    """The fields of a dataclass as a JSON object; a datetime becomes `{"time": Unix seconds}`."""
    return {
        name: {_TIME: value.timestamp()} if isinstance(value, datetime) else value
        for name, value in asdict(item).items()
    }


def from_record(kind: type[_Kind], record: Any) -> _Kind:
    """The dataclass of a record that `to_record` made.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    hints = get_type_hints(kind)
    if not isinstance(record, dict) or record.keys() != hints.keys():
        raise ValueError(f"not a record of a {kind.__name__}")
    fields = {name: _rich(value) for name, value in record.items()}
    for name, value in fields.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"{name} of a {kind.__name__} is {value!r}")
    return kind(**fields)


def _rich(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {_TIME}:
        try:
            return datetime.fromtimestamp(value[_TIME], timezone.utc)
        except (ArithmeticError, OSError, TypeError) as error:
            raise ValueError(str(error)) from None
    return tuple(value) if isinstance(value, list) else value


def _fits(value: object, hint: Any) -> bool:
    """Whether the value has the type: a class, a Literal, a union, or a tuple of these."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, tuple) and all(_fits(item, inner) for item in value)
    if choices := get_args(hint):
        return any(_fits(value, choice) for choice in choices)
    return type(value) is hint  # unlike isinstance: a bool is not an int
