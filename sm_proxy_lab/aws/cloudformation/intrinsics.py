"""Values of a template in which Ref and the functions are replaced."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy_lab.aws.cloudformation.parameters import invalid

NO_VALUE: Final = object()
"""What Ref gives for AWS::NoValue: the property is left out."""
Lookup = Callable[[str, "str | None"], Any]
"""Name, and for an attribute its name -> value."""
_VARIABLE: Final = re.compile(r"\$\{(!?)([^}]+)\}")


def resolve(value: Any, lookup: Lookup) -> Any:
    """Replace Ref and functions in a value.

    Raises:
        AwsError: ValidationError: the lab does not have the function.
    """
    if isinstance(value, list):
        items = [resolve(item, lookup) for item in value]
        return [item for item in items if item is not NO_VALUE]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref":
            return lookup(str(argument), None)
        if name in _FUNCTIONS:
            return _FUNCTIONS[name](argument, lookup)
        if name.startswith("Fn::"):
            raise invalid(f"Template error: the lab does not have the function {name}")
    found = {name: resolve(item, lookup) for name, item in value.items()}
    return {name: item for name, item in found.items() if item is not NO_VALUE}


def _attribute(argument: Any, lookup: Lookup) -> Any:
    name, _, attribute = argument.partition(".") if isinstance(argument, str) else _pair(argument)
    return lookup(name, attribute)


def _pair(argument: Any) -> tuple[str, str, str]:
    return str(argument[0]), ".", str(argument[1])


def _sub(argument: Any, lookup: Lookup) -> str:
    text, given = (argument, {}) if isinstance(argument, str) else argument
    own: Mapping[str, Any] = resolve(given, lookup)

    def replace(found: re.Match[str]) -> str:
        if found[1]:
            return f"${{{found[2]}}}"
        name, _, attribute = found[2].strip().partition(".")
        return str(own[name] if name in own else lookup(name, attribute or None))

    return _VARIABLE.sub(replace, text)


def _join(argument: Any, lookup: Lookup) -> str:
    delimiter, items = argument
    return str(delimiter).join(str(item) for item in resolve(items, lookup))


def _select(argument: Any, lookup: Lookup) -> Any:
    number, items = resolve(argument, lookup)
    try:
        return items[int(number)]
    except IndexError:
        message = f"Template error: Fn::Select cannot select nonexistent value at index {number}"
        raise invalid(message) from None


def _split(argument: Any, lookup: Lookup) -> list[str]:
    delimiter, text = resolve(argument, lookup)
    return str(text).split(delimiter)


def _base64(argument: Any, lookup: Lookup) -> str:
    return base64.b64encode(str(resolve(argument, lookup)).encode()).decode()


_FUNCTIONS: Final[dict[str, Callable[[Any, Lookup], Any]]] = {
    "Fn::GetAtt": _attribute,
    "Fn::Sub": _sub,
    "Fn::Join": _join,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Base64": _base64,
}
