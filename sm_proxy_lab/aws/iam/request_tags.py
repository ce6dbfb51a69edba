"""The tags in a request, in the forms that the services have for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

_QUERY: Final = re.compile(
    r"((?:TagSpecification\.\d+\.)?Tags?(?:\.member)?\.\d+)\.Key", re.IGNORECASE
)


def of(call: Call) -> dict[str, str]:
    """Key -> value of each tag in a request."""
    if call.protocol in {"query", "ec2"}:
        found = ((_QUERY.fullmatch(name), key) for name, key in call.params.items())
        return {key: str(call.params.get(f"{at[1]}.Value", "")) for at, key in found if at}
    return _of_json(call.params.get("Tags") or call.params.get("tags") or {})


def _of_json(tags: Any) -> dict[str, str]:
    if isinstance(tags, dict):
        return {str(key): str(value) for key, value in tags.items()}
    pairs = (
        (tag.get("Key") or tag.get("key"), tag.get("Value") or tag.get("value")) for tag in tags
    )
    return {str(key): str(value or "") for key, value in pairs if key}
