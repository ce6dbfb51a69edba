"""Set one value in JSON with comments, and keep every other byte.

The grammar is that of VS Code's settings: JSON with `//` and `/* */` comments, and a comma allowed
after the last item. Other text is refused, never repaired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

_TRIVIA: Final = re.compile(r"(?:[ \t\r\n]|//[^\r\n]*|/\*(?s:.*?)\*/)*")
_REST_OF_LINE: Final = re.compile(r"(?:[ \t]|/\*(?:(?!\*/)[^\r\n])*\*/)*(?://[^\r\n]*)?")
"""Blanks and comments up to the end of the line."""
_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_DEFAULT_INDENT: Final = " " * 4


class JsoncError(ValueError):
    """The text is not JSON with comments, or has another value where an object is needed."""


@dataclass
class _Node:
    """A value and its place in the text.

    Attributes:
        start: offset of the value's first character.
        end: offset after its last character.
        value: in Python.
        members: of an object: key, offset of the key, and value of each member.
        comma: of an object or array: the offset after the comma that follows the last item, if any.
    """

    start: int
    end: int
    value: Any
    members: list[tuple[str, int, _Node]] = field(default_factory=list)
    comma: int | None = None

    def last(self, key: str) -> _Node | None:
        """The last member with this key, which is the one that counts."""
        return next((node for name, _, node in reversed(self.members) if name == key), None)


def parse(text: str) -> Any:
    """The value of the text; an empty text is an empty object, as in the editors.

    Raises:
        JsoncError: the text is invalid.
    """
    root = _document(text)
    return {} if root is None else root.value


def with_value(text: str, keys: Sequence[str], value: Any) -> str:
    """`text` with `value` set under `keys`, one key for each level of objects.

    Raises:
        JsoncError: the text is invalid, or a value on the way is not an object.
    """
    root = _document(text)
    if root is None:
        return _first_object(text, keys, value)
    node = root
    for depth, key in enumerate(keys):
        if not isinstance(node.value, dict):
            raise JsoncError("it has another value where an object is needed")
        found = node.last(key)
        if found is None:
            return _inserted(text, node, key, _nested(keys[depth + 1 :], value), root)
        node = found
    if node.value == value and type(node.value) is type(value):
        return text
    return text[: node.start] + _dumped(value) + text[node.end :]


def value_at(text: str, keys: Sequence[str]) -> Any:
    """The value under `keys`; None if there is none.

    Raises:
        JsoncError: the text is invalid.
    """
    value = parse(text)
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def without(text: str, keys: Sequence[str]) -> str:
    """`text` without the member under `keys`, and without the objects that are empty then.

    Comments stay.

    Raises:
        JsoncError: the text is invalid.
    """
    node = _document(text)
    path: list[tuple[_Node, str]] = []
    for key in keys:
        if node is None or node.last(key) is None:
            return text
        path.append((node, key))
        node = node.last(key)
    while len(path) > 1 and len(path[-1][0].members) == 1:
        path.pop()
    owner, key = path[-1]
    number = max(i for i, (name, _, _) in enumerate(owner.members) if name == key)
    return _cut(text, owner, number)


def _cut(text: str, owner: _Node, number: int) -> str:
    """`text` without one member of an object, and without one of the commas beside it."""
    _, start, value = owner.members[number]
    is_last = number == len(owner.members) - 1
    if not is_last or owner.comma is not None:
        after = _expected(text, _skipped(text, value.end), ",")
        kept = text[value.end : after - 1]  # comments before the comma
        end, begin = after, start
    elif number:
        before = owner.members[number - 1][2].end
        comma = _expected(text, _skipped(text, before), ",")
        text = text[: comma - 1] + text[comma:]
        begin, end, kept = start - 1, value.end - 1, ""
    else:
        begin, end, kept = start, value.end, ""
    indent = begin - len(text[:begin].rstrip(" \t"))
    begins_line = text[: begin - indent].endswith(("\n", "\r"))
    line_break = _LINE_BREAK.match(text, end)
    if not kept and begins_line and line_break:  # there is nothing else on its line
        return text[: begin - indent] + text[line_break.end() :]
    if not kept and is_last and not begins_line:
        return text[: begin - indent] + text[end:]
    return text[:begin] + kept + text[end:]


def _nested(keys: Sequence[str], value: Any) -> Any:
    return {keys[0]: _nested(keys[1:], value)} if keys else value


def _first_object(text: str, keys: Sequence[str], value: Any) -> str:
    newline = _newline(text)
    gap = newline if text and not text.endswith(("\r", "\n")) else ""
    shown = json.dumps(_nested(keys, value), ensure_ascii=False, indent=_DEFAULT_INDENT)
    return text + gap + shown.replace("\n", newline) + newline


def _inserted(text: str, node: _Node, key: str, value: Any, root: _Node) -> str:
    """`text` with a new member at the end of the object `node`."""
    in_one_line = not _LINE_BREAK.search(text, node.start, node.end)
    if node.members and in_one_line:
        at = node.members[-1][2].end
        member = f"{_dumped(key)}: {_dumped(value)}"
        if node.comma is not None:
            return f"{text[: node.comma]} {member},{text[node.comma :]}"
        return f"{text[:at]}, {member}{text[at:]}"
    unit = _indent_unit(text, root)
    outer = _indent_at(text, node.start)
    inner = _member_indent(text, node) or outer + unit
    member = _newline(text) + inner + _dumped_member(text, key, value, inner, unit)
    if not node.members:
        closing = _newline(text) + outer if in_one_line else ""
        at = node.start + 1
        return text[:at] + member + text[at : node.end - 1] + closing + text[node.end - 1 :]
    value_end = node.members[-1][2].end
    comma = node.comma
    end = _line_end(text, comma or value_end)
    separator = "," if comma is None else ""
    between = text[value_end:end]
    return text[:value_end] + separator + between + member + ("," if comma else "") + text[end:]


def _dumped_member(text: str, key: str, value: Any, indent: str, unit: str) -> str:
    shown = json.dumps(value, ensure_ascii=False, indent=unit)
    return f"{_dumped(key)}: " + shown.replace("\n", _newline(text) + indent)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line_end(text: str, position: int) -> int:
    """The offset after the blanks and comments on this line; a longer comment does not count."""
    match = _REST_OF_LINE.match(text, position)
    return match.end() if match else position


def _newline(text: str) -> str:
    found = _LINE_BREAK.search(text)
    return found[0] if found else "\n"


def _indent_at(text: str, position: int) -> str:
    """The indentation of the line at `position`."""
    start = max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1
    return text[start : start + len(text[start:position]) - len(text[start:position].lstrip(" \t"))]


def _member_indent(text: str, node: _Node) -> str | None:
    """The indentation of the last member that begins a line."""
    for _, start, _node in reversed(node.members):
        indent = _indent_at(text, start)
        before = text[: start - len(indent)]
        if text[:start].endswith(indent) and before.endswith(("\n", "\r")):
            return indent
    return None


def _indent_unit(text: str, root: _Node) -> str:
    return _member_indent(text, root) or _DEFAULT_INDENT


def _document(text: str) -> _Node | None:
    start = _skipped(text, 0)
    if start == len(text):
        return None
    try:
        node = _value(text, start)
    except RecursionError:
        raise JsoncError("it is nested too deeply") from None
    if _skipped(text, node.end) != len(text):
        _refuse(text, _skipped(text, node.end))
    return node


def _value(text: str, start: int) -> _Node:
    if text.startswith("{", start):
        return _object(text, start)
    if text.startswith("[", start):
        return _array(text, start)
    try:
        value, end = _DECODER.raw_decode(text, start)
    except ValueError:
        _refuse(text, start)
    return _Node(start, end, value)


def _object(text: str, start: int) -> _Node:
    node = _Node(start, start, {})
    position = _skipped(text, start + 1)
    while not text.startswith("}", position):
        if node.members and node.comma is None:
            _refuse(text, position)
        key = _value(text, position)
        if not isinstance(key.value, str):
            _refuse(text, position)
        colon = _expected(text, _skipped(text, key.end), ":")
        value = _value(text, _skipped(text, colon))
        node.members.append((key.value, key.start, value))
        node.value[key.value] = value.value
        position, node.comma = _after_item(text, value.end)
    node.end = position + 1
    return node


def _array(text: str, start: int) -> _Node:
    node = _Node(start, start, [])
    position = _skipped(text, start + 1)
    while not text.startswith("]", position):
        if node.value and node.comma is None:
            _refuse(text, position)
        item = _value(text, position)
        node.value.append(item.value)
        position, node.comma = _after_item(text, item.end)
    node.end = position + 1
    return node


def _after_item(text: str, end: int) -> tuple[int, int | None]:
    """The offset of the next token, and the offset after the comma before it, if there is one."""
    position = _skipped(text, end)
    if not text.startswith(",", position):
        return position, None
    return _skipped(text, position + 1), position + 1


def _expected(text: str, position: int, token: str) -> int:
    if not text.startswith(token, position):
        _refuse(text, position)
    return position + len(token)


def _skipped(text: str, position: int) -> int:
    match = _TRIVIA.match(text, position)
    return match.end() if match else position


def _refuse(text: str, position: int) -> NoReturn:
    line = len(_LINE_BREAK.findall(text, 0, position)) + 1
    raise JsoncError(f"line {line} is not valid JSON")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
