"""A copy checks the container's host key as every ssh does, on each route."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.host_key_test import restarted
from tests.e2e.labs import Lab, code_of
from tests.soak import SOAK

pytestmark = pytest.mark.e2e


def test_a_server_with_another_key_gets_no_login_of_a_copy(lab: Lab, tmp_path: Path) -> None:
    job = lab.launch("copy-impostor")
    source, target = f"{job.host}:/etc/hostname", tmp_path / "hostname"
    assert lab.sm_proxy("cp", "-q", source, str(target)).returncode == 0
    assert target.read_bytes()
    target.unlink()
    restarted(job)
    for terminal in (lab, *([lab.terminal("inside")] if lab.netns and SOAK else [])):
        done = terminal.sm_proxy("cp", "-q", source, str(target))
        assert (done.returncode, code_of(done)) == (1, "host-key-changed")
        assert not target.exists()
