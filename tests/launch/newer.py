"""Tests of members that an old botocore does not know."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.session import Session

from sm_proxy.launch import described
from sm_proxy.launch.shapes import Operation


def needs(operation: Operation, *path: str) -> pytest.MarkDecorator:
    """Skip the test unless the request of `operation` has the member at `path`."""
    shape: Any = described.request_shape(Session(), operation)
    for name in path:
        shape = getattr(shape, "members", {}).get(name)
    why = f"this botocore has no {'.'.join(path)}"
    return pytest.mark.skipif(shape is None, reason=why)
