"""The table `[launch]` of `config.toml`: in which network new jobs run.

[launch]
region = "eu-west-1"
subnets = ["subnet-0123456789abcdef0"]
security_groups = ["sg-0123456789abcdef0"]
"""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.settings.schema import LaunchNetwork, is_region

NAME: Final = "launch"
_LISTS: Final = {"subnets": "subnet", "security_groups": "sg"}
_SHOWN: Final = 60


def parse(value: object, where: str) -> LaunchNetwork:
    """The checked table.

    Args:
        value: as the TOML parser returns it.
        where: the file, for the error message.

    Raises:
        SmProxyError: `bad-setting`, it has not exactly the three keys, or a value is wrong.
    """
    if not isinstance(value, dict):
        raise _bad(where, "must be a table", "")
    known = ("region", *_LISTS)
    if unknown := sorted(set(value) - set(known)):
        raise _bad(where, f"has an unknown {unknown[0]!r}", f"Known: {', '.join(known)}.")
    if missing := [name for name in known if name not in value]:
        raise _bad(where, f"lacks {missing[0]}", "Add it, or remove the table.")
    region = value["region"]
    if not isinstance(region, str) or not is_region(region):
        raise _bad(where, "needs a region such as eu-west-1", "")
    subnets, groups = (_ids(name, value[name], where) for name in _LISTS)
    return LaunchNetwork(region, subnets, groups)


def _ids(name: str, value: object, where: str) -> tuple[str, ...]:
    form = re.compile(rf"{_LISTS[name]}-[0-9a-zA-Z-]+")
    ids = value if isinstance(value, list) else [value]
    wrong = [item for item in ids if not (isinstance(item, str) and form.fullmatch(item))]
    if wrong or not ids or ids is not value:
        shown = f", not {printable(repr(wrong[0]), _SHOWN)}" if wrong else ""
        raise _bad(where, f'needs {name} such as ["{_LISTS[name]}-0123abcd"]{shown}', "")
    return tuple(ids)


def _bad(where: str, what: str, hint: str) -> SmProxyError:
    hint = hint or "Correct it there, or remove the table."
    return SmProxyError("bad-setting", f"[launch] in {where} {what}", hint)
