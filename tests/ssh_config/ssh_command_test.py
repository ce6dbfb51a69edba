"""The ssh command of our own programs."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from sm_proxy.settings import Settings
from sm_proxy.ssh_config.ssh_command import ssh_command
from tests.fakes import container


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "a folder"))


def test_a_default_that_this_run_asks_for_wins_over_a_variable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_ROUTE", "direct")
    words = ssh_command(container(host="sm-x"), settings)
    assert any("--route auto connect" in word for word in words)


def test_the_ssh_command_needs_no_config(settings: Settings) -> None:
    words = ssh_command(
        container(host="sm-x", user="ubuntu"), replace(settings, control_master=True), ["sh"]
    )
    assert words[1:3] == ["-F", "none"]
    assert words[-3:] == ["--", "sm-x", "sh"]
    assert words[words.index("-l") + 1] == "ubuntu"
    options = [value for word, value in itertools.pairwise(words) if word == "-o"]
    assert {"BatchMode yes", "StrictHostKeyChecking yes"} <= set(options)
    assert any(option.startswith("ProxyCommand ") for option in options)
    assert not any(option.startswith("Control") for option in options)


def test_options_of_the_caller_come_first(settings: Settings) -> None:
    """ssh takes the first value of an option."""
    words = ssh_command(
        container(host="sm-x"),
        settings,
        ["sftp"],
        flags=["-s"],
        options=["ProxyCommand helper", "Compression yes"],
        user="somebody",
        proxied=False,
    )
    assert words[-4:] == ["-s", "--", "sm-x", "sftp"]
    assert words[words.index("-l") + 1] == "somebody"
    options = [value for word, value in itertools.pairwise(words) if word == "-o"]
    assert [line for line in options if line.startswith("ProxyCommand")] == ["ProxyCommand helper"]
    assert next(line for line in options if line.startswith("Compression")) == "Compression yes"
