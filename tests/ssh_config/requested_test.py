from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.settings import sources
from tests.config_command import EU, own, run


def test_a_command_changes_only_the_named_context(
    dot_ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dot_ssh, "write", "--user", "ubuntu")
    run(dot_ssh, "write", *EU, "--profile", "prod", "--region", "eu-west-1", "--wait", "30")
    both = own(dot_ssh)
    assert both.index("Host sm-eu-*\n") < both.index("Host sm-* !sm-eu-*\n")
    assert "--profile prod --region eu-west-1 --prefix sm-eu- connect" in both
    monkeypatch.setenv("AWS_PROFILE", "another")  # of some other shell
    run(dot_ssh, "write")
    run(dot_ssh, "check")
    assert own(dot_ssh) == both
    run(dot_ssh, "write", *EU, "--region", "eu-north-1")
    assert own(dot_ssh) == both.replace("eu-west-1", "eu-north-1")
    run(dot_ssh, "remove", *EU)
    assert "sm-eu-" not in own(dot_ssh)
    assert "User ubuntu" in own(dot_ssh)
    run(dot_ssh, "remove", "--prefix", "sm-")
    assert not (dot_ssh / "sm-proxy" / "config").exists()
    assert (dot_ssh / "config").read_bytes() == b"Host a\n"


def test_a_recorded_default_wins_over_config_toml(dot_ssh: Path) -> None:
    file = sources.config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('route = "direct"\nprefix = "eu-"\nwait = "1h"\n')
    run(dot_ssh, "write", "--prefix", "sm-", "--route", "auto", "--wait", "15m")
    assert "--route auto --prefix sm- connect --user %r %n %p --wait 900\n" in own(dot_ssh)
    assert "ConnectTimeout 960\n" in own(dot_ssh)
    run(dot_ssh, "check")
