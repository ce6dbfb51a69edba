"""A laptop for the checks of it and of its ssh config."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.doctor.check import Context
from sm_proxy.identity import identities
from sm_proxy.settings import Settings
from tests.fakes import FakeAws


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Our ssh file and the user's config, as `config write` leaves them."""
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind.lower()))
    program = tmp_path / "bin" / "sm-proxy"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho sm-proxy 1.0\n")
    program.chmod(0o755)
    settings = Settings(ssh_dir=str(tmp_path / "ssh" / "sm-proxy"))
    identities.ensure(settings)
    config = tmp_path / "ssh" / "config"
    config_writer.apply(config_writer.plan(config, settings, [str(program)]))
    return Context(settings, "sm-job", FakeAws(), ssh_config=config)
