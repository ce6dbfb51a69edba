"""CloudFormation's own schemas of resource types, which come with cfn-lint."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

_NAMED: Final = re.compile(rb'"typeName": "([^"]+)"')


def schemas(types: Collection[str]) -> dict[str, dict[str, Any]]:
    """The schemas of these types by type. `import cfnlint.schema` would take seconds."""
    spec = importlib.util.find_spec("cfnlint")
    assert spec
    assert spec.origin
    found: dict[str, dict[str, Any]] = {}
    for path in (Path(spec.origin).parent / "data/schemas/resources").glob("*.json"):
        text = path.read_bytes()
        # A schema also names the types that it refers to.
        if any(name.decode() in types for name in _NAMED.findall(text)):
            schema = json.loads(text)
            if schema["typeName"] in types:
                found[schema["typeName"]] = schema
    return found
