from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import settings
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.settings import Settings, sources
from tests.settings.helpers import refused, write_file


def test_without_any_source_the_defaults_apply() -> None:
    assert settings.load() == Settings()
    assert settings.load({"region": None, "unknown": 1}) == Settings()


def test_a_flag_wins_then_a_variable_then_an_aws_variable_then_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = {"region": "flag-1", "profile": "flag"}
    write_file('region = "file-1"\nprofile = "file"\n')
    assert settings.load().region == "file-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "default-1")
    assert settings.load().region == "default-1"
    monkeypatch.setenv("AWS_REGION", "aws-1")
    monkeypatch.setenv("AWS_PROFILE", "aws")
    # botocore takes it from there itself, with its own rule for keys in the environment
    assert settings.load().profile is None
    assert (settings.load().region, settings.load().named_profile) == ("aws-1", "aws")
    monkeypatch.setenv("SM_PROXY_REGION", "own-1")
    monkeypatch.setenv("SM_PROXY_PROFILE", "own")
    assert (settings.load().region, settings.load().profile) == ("own-1", "own")
    assert (settings.load(flags).region, settings.load(flags).profile) == ("flag-1", "flag")


def test_every_setting_can_come_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: dict[str, tuple[str, Any]] = {
        "prefix": ("eu-", "eu-"),
        "profile": ("research team", "research team"),
        "region": ("eu-west-1", "eu-west-1"),
        "bastion": ("i-0123456789abcdef0", "i-0123456789abcdef0"),
        "bastion_user": ("admin", "admin"),
        "route": ("bastion-ssh", "bastion-ssh"),
        "user": ("ubuntu", "ubuntu"),
        "identity_file": ("~/my key", "~/my key"),
        "ssh_dir": ("/some where", "/some where"),
        "launch_s3": ("s3://bucket/a/b/", "s3://bucket/a/b/"),
        "copy_s3": ("bucket/a/b", "bucket/a/b"),
        "wait": ("60", 60),
        "keep_session": ("3m", 180),
        "daemon_idle": ("0", 0),
        "session_ahead": ("1", True),
        "allow_loopback": ("yes", True),
    }
    for name, (text, _) in wanted.items():
        monkeypatch.setenv(f"SM_PROXY_{name.upper()}", text)
    assert settings.load() == Settings(**{name: value for name, (_, value) in wanted.items()})


def test_sessions_are_kept_and_the_daemon_is_on_unless_a_flag_says_otherwise() -> None:
    found = settings.load()
    assert (found.keep_session, found.daemon_idle, found.session_ahead) == (120, 600, False)
    found = settings.load({"keep_session": "0", "daemon_idle": "1h"})
    assert (found.keep_session, found.daemon_idle) == (0, 3600)


def test_an_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_REGION", "")
    monkeypatch.setenv("AWS_REGION", "aws-1")
    assert settings.load().region == "aws-1"


def test_every_type_of_value_can_come_from_the_file() -> None:
    write_file(
        '\ufeffwait = 5\nallow_loopback = true\nbastion = "i-1"\n'
        '[hosts."sm-x"]\ntrust_first_use = true\n'
    )
    found = settings.load()
    assert (found.wait, found.allow_loopback, found.bastion) == (5, True, "i-1")
    assert found.hosts == {"sm-x": {"trust_first_use": True}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wait = -1", "a duration such as"),
        ("wait = true", "a duration such as"),
        ("wait = 1.5", "a duration such as"),
        ('wait = "2w"', "a duration such as"),
        ("region = 5", "region in"),
        ('hosts = "x"', "a table"),
        ("hosts.sm-x = 5", "hosts in"),
        ('hosts.sm-x.trust_first_use = "yes"', "trust_first_use of sm-x in"),
        ("allow_loopback = 2", "true or false"),
        ("regoin = 'x'", "unknown 'regoin'"),
        ("launch = 1", "[launch]"),
        ("region =", "not valid TOML"),
        ("region = 'x'\nregion = 'y'", "not valid TOML"),
        ("region = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_the_error_for_a_bad_file_names_it(text: str, words: str) -> None:
    write_file(text)
    message = refused()
    assert words in message
    assert "config.toml" in message


def test_a_file_that_cannot_be_read_is_an_error() -> None:
    (paths.config_dir() / "config.toml").mkdir(parents=True)
    assert "cannot be read" in refused()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_a_pipe_instead_of_the_file_does_not_block() -> None:
    paths.config_dir().mkdir()
    path = paths.config_dir() / "config.toml"
    os.mkfifo(path)
    assert f"{path} cannot be read: it is not a regular file. " in refused()


def test_a_file_that_is_not_text_is_an_error() -> None:
    paths.config_dir().mkdir()
    (paths.config_dir() / "config.toml").write_bytes(b"region = '\xff'")
    assert "cannot be read" in refused()


def test_our_files_are_beside_another_ssh_config(monkeypatch: pytest.MonkeyPatch) -> None:
    args = argparse.Namespace(ssh_config="/a/b/config", region="x")
    flags = settings.flags_of(args)
    assert settings.load(flags).ssh_folder == Path("/a/b/sm-proxy")
    assert settings.load({"ssh_dir": "/c", **settings.flags_of(args)}).ssh_dir == "/a/b/sm-proxy"
    both = argparse.Namespace(ssh_config="/a/b/config", ssh_dir="/c")
    assert settings.load(settings.flags_of(both)).ssh_folder == Path("/c")
    monkeypatch.chdir("/tmp")
    relative = argparse.Namespace(ssh_config="config")
    assert settings.load(settings.flags_of(relative)).ssh_folder == Path("/tmp/sm-proxy")


def test_our_files_are_beside_the_ssh_config_of_a_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SM_PROXY_SSH_CONFIG", "/a/b/config")
    assert settings.load().ssh_folder == Path("/a/b/sm-proxy")
    given = settings.flags_of(argparse.Namespace(ssh_config="/d/config"))
    assert settings.load(given).ssh_folder == Path("/d/sm-proxy")
    monkeypatch.setenv("SM_PROXY_SSH_DIR", "/c")
    assert settings.load().ssh_folder == Path("/c")
    assert settings.load(given).ssh_folder == Path("/d/sm-proxy")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"route": "nope"}, "route in the call must be auto or "),
        ({"wait": "soon"}, "wait in the call must be a duration "),
        ({"rote": "direct"}, "there is no setting rote. See them: `sm-proxy settings`."),
    ],
)
def test_a_wrong_keyword_in_python_is_no_option(given: dict[str, Any], why: str) -> None:
    with pytest.raises(SmProxyError) as raised:
        sources.load_given(given, "sm-bert")
    assert raised.value.code == "bad-setting"
    assert raised.value.text.startswith(why)
