"""What the benchmarks rely on: steps of the debug log, and the lab's gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

import sm_proxy
from bench import connections, gateway


@pytest.mark.parametrize("step", [connections.CACHED, connections.GRANTED, connections.TUNNEL])
def test_the_debug_log_has_the_step(step: str) -> None:
    modules = Path(sm_proxy.__file__).parent.rglob("*.py")
    assert any(f'debug_log.write("{step}"' in path.read_text("utf-8") for path in modules)


def test_the_gateway_of_the_benchmarks_starts_sessions() -> None:
    with gateway.running() as agent:
        assert agent.to(22).start().session_id
