"""The benchmarks find the steps of the debug log that they time."""

from __future__ import annotations

from pathlib import Path

import pytest

import sm_proxy
from bench import connections


@pytest.mark.parametrize("step", [connections.CACHED, connections.GRANTED, connections.TUNNEL])
def test_the_debug_log_has_the_step(step: str) -> None:
    modules = Path(sm_proxy.__file__).parent.rglob("*.py")
    assert any(f'debug_log.write("{step}"' in path.read_text("utf-8") for path in modules)
