"""The options in effect, as the real `ssh -G` shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.ssh_config.effective import effective_options


def test_the_options_of_a_host_are_read(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host sm-*\n  User someone\n  ProxyCommand helper %n\n  SendEnv A\n")
    options = effective_options("sm-x", config)
    assert options["user"] == "someone"
    assert options["proxycommand"] == "helper %n"
    assert effective_options("other", config)["user"] != "someone"


def test_a_config_that_ssh_refuses_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host x\n  NoSuchOption yes\n")
    with pytest.raises(SmProxyError) as caught:
        effective_options("x", config)
    assert caught.value.code == "config-malformed"
    assert "line 2" in caught.value.message


def test_the_variable_names_the_config_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"User {name}\n")
    monkeypatch.setenv("SM_PROXY_SSH_CONFIG", str(tmp_path / "one"))
    assert effective_options("x")["user"] == "one"
    assert effective_options("x", tmp_path / "two")["user"] == "two"


def test_a_missing_ssh_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SmProxyError) as caught:
        effective_options("x")
    assert caught.value.code == "missing-dependency"
