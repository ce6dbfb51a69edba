"""What the real ssh makes of a config, as `ssh -G` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.ssh_config.effective import effective_options


def test_options_of_a_host(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host sm-*\n  User someone\n  ProxyCommand helper %n\n  SendEnv A\n")
    options = effective_options("sm-x", config)
    assert options["user"] == "someone"
    assert options["proxycommand"] == "helper %n"
    assert effective_options("other", config)["user"] != "someone"


def test_a_config_that_ssh_refuses(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host x\n  NoSuchOption yes\n")
    with pytest.raises(SmProxyError) as caught:
        effective_options("x", config)
    assert caught.value.code == "config-malformed"
    assert "line 2" in caught.value.message


def test_the_config_that_a_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"User {name}\n")
    monkeypatch.setenv("SM_PROXY_SSH_CONFIG", str(tmp_path / "one"))
    assert effective_options("x")["user"] == "one"
    assert effective_options("x", tmp_path / "two")["user"] == "two"


def test_no_ssh_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SmProxyError) as caught:
        effective_options("x")
    assert caught.value.code == "missing-dependency"
