"""What the command does beside its checks."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sm_proxy.commands import doctor
from sm_proxy.doctor import runner
from sm_proxy.doctor.findings import Finding
from sm_proxy.routes import bastion
from sm_proxy.routes.sessions import Sessions
from sm_proxy.ssm.session import Grant


class Api:
    """Gives one session."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def start(self) -> Grant:
        return Grant("s-1", "token", "wss://stream")

    def terminate(self, session_id: str) -> None:
        self.ended.append(session_id)


@pytest.mark.usefixtures("kept_signals")
@pytest.mark.parametrize("interrupted", [True, False])
def test_a_session_of_a_check_that_did_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, interrupted: bool
) -> None:
    """It took too long, or its user lost patience: nobody has hold of its tunnel."""
    for kind in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(tmp_path / kind))
    monkeypatch.setattr(bastion, "SESSIONS", Sessions())
    api = Api()
    calls = 0

    def examine(*_: object) -> list[Finding]:
        nonlocal calls
        calls += 1
        if calls == 1:  # the last failure on record
            return []
        bastion.SESSIONS.start(api, "here")  # type: ignore[arg-type] # of this only
        if interrupted:
            raise KeyboardInterrupt
        return [Finding("tunnel", "failed", "no answer within 45 s", code="network")]

    monkeypatch.setattr(runner, "examine", examine)
    args = argparse.Namespace(host="sm-my-job", ssh_config=None, bundle=None)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            doctor.run(args)
    else:
        assert doctor.run(args).data["cause"] == "network"
    assert api.ended == ["s-1"]
