from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import load, load_for
from tests.config_command import EU, run


def test_commands_typed_by_hand_use_the_context(
    dot_ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dot_ssh, "write", "--region", "us-east-1")
    run(dot_ssh, "write", *EU, "--profile", "prod", "--region", "eu-west-1", "--route", "direct")
    flags = {"ssh_dir": str(dot_ssh / "sm-proxy")}
    found = load_for(flags, "sm-eu-job")
    assert (found.prefix, found.profile, found.region) == ("sm-eu-", "prod", "eu-west-1")
    assert found.route == "direct"
    assert load_for(flags, "sm-job").route == "auto"
    assert load_for(flags, "sm-job").region == "us-east-1"
    assert load_for(flags).region == "us-east-1"
    assert load_for({**flags, "prefix": "sm-eu-"}).region == "eu-west-1"
    assert load_for({**flags, "prefix": "sm-"}, "sm-eu-job").prefix == "sm-"
    assert load_for({**flags, "region": "x"}, "sm-eu-job").region == "x"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert load_for(flags, "sm-eu-job").region == "eu-south-1"
    assert load(flags).prefix == "sm-"


def test_a_damaged_record_is_refused(dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    for record in ("{", "[]", '{"prefix": "a b"}', '{"region": "x"}', '{"prefix": "a", "b": 1}'):
        (dot_ssh / "sm-proxy" / "config").write_text(f"\n# sm-proxy context {record}\n")
        with pytest.raises(SmProxyError, match="config:2: ") as caught:
            load_for({"ssh_dir": str(dot_ssh / "sm-proxy")}, "sm-job")
        assert caught.value.code == "config-malformed"


def test_a_pipe_instead_of_our_file_does_not_block(
    dot_ssh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dot_ssh / "sm-proxy").mkdir()
    os.mkfifo(dot_ssh / "sm-proxy" / "config")
    flags = {"ssh_dir": str(dot_ssh / "sm-proxy")}
    assert load_for(flags, "sm-job").prefix == "sm-"
    run(dot_ssh, "write", status=1)
    assert "not a regular file" in capsys.readouterr().err
