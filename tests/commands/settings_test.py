from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli
from sm_proxy.local import paths
from sm_proxy.settings import Settings, contexts
from sm_proxy.ssh_config import blocks
from tests.commands.helpers import answer
from tests.settings.helpers import write_file


def run(*words: str, status: int = 0) -> None:
    assert cli.main(["settings", *words]) == status


def shown(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> list[str]:
    """The lines on stdout."""
    run(*words, status=status)
    return capsys.readouterr().out.splitlines()


def row(lines: list[str], name: str) -> str:
    """The row of a setting, with single spaces."""
    (found,) = (line for line in lines if line.split(" ")[0] == name)
    return " ".join(found.split())


def installed(known: dict[str, dict[str, Any]]) -> Path:
    """Our ssh file with these contexts."""
    path = Settings().ssh_config_file
    path.parent.mkdir(parents=True)
    path.write_text(blocks.render(Settings(), known, ["sm-proxy"]))
    return path


def config_toml() -> Path:
    return paths.config_dir() / "config.toml"


def test_each_setting_has_a_row_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file('region = "eu-west-1"\nwait = "30m"\n')
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")  # no different value: not worth a word
    lines = shown(capsys, "--route", "direct")
    assert {line.split(" ")[0] for line in lines} > set(Settings.__dataclass_fields__)
    assert row(lines, "SETTING") == "SETTING VALUE FROM"
    assert row(lines, "wait") == "wait 30m config.toml:2"
    assert row(lines, "route") == "route direct --route"
    assert row(lines, "user") == "user root default"
    assert row(lines, "bastion") == "bastion found by its tag default"
    instead = "instead of eu-west-1 (config.toml:1)"
    assert row(lines, "region") == f"region us-east-1 AWS_REGION: {instead}"
    assert row(lines, "config.toml") == f"config.toml {config_toml()}"


def test_a_host_has_the_settings_of_its_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    installed({"sm-": {"region": "eu-west-1"}, "sm-us-": {"region": "us-east-1"}})
    assert row(shown(capsys), "region") == "region eu-west-1 recorded for sm-"
    lines = shown(capsys, "sm-us-job")
    assert row(lines, "region") == "region us-east-1 recorded for sm-us-"
    assert row(lines, "prefix") == "prefix sm-us- recorded for sm-us-"
    run("region", "sm-us-job", "--json")
    data = answer(capsys)["data"]
    path = Settings().ssh_config_file
    number = contexts.line_of(path, "sm-us-")
    assert (data["host"], data["prefix"], data["ssh_file"]) == ("sm-us-job", "sm-us-", str(path))
    assert data["settings"] == [
        {
            "name": "region",
            "value": "us-east-1",
            "source": "recorded",
            "place": f"{path}:{number}",
            "overridden": [],
            "in_ssh_block": None,
        }
    ]


def test_the_value_that_ssh_uses_instead_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = installed({"sm-": {"region": "eu-west-1"}})
    monkeypatch.setenv("SM_PROXY_REGION", "us-east-1")
    told = "instead of eu-west-1 (recorded for sm-); ssh takes eu-west-1, from its config block"
    assert row(shown(capsys), "region") == f"region us-east-1 SM_PROXY_REGION: {told}"
    lines = shown(capsys, "region")
    assert [" ".join(line.split()) for line in lines] == [
        "region AWS region",
        "value us-east-1, from SM_PROXY_REGION",
        f"instead of eu-west-1, from {path}:{contexts.line_of(path, 'sm-')}",
        f"ssh takes eu-west-1, from its block in {path}",
        "default as boto3",
        "set by --region",
        *("SM_PROXY_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        "`sm-proxy config write`, for each prefix",
        "`sm-proxy settings --set region=VALUE`, in config.toml",
    ]


def test_the_region_of_the_aws_profile_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "aws").write_text("[profile prod]\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    assert row(shown(capsys), "region") == "region as boto3 default"
    line = row(shown(capsys, "--profile", "prod"), "region")
    assert line == "region eu-north-1 AWS profile prod"
    assert row(shown(capsys, "--profile", "none"), "region") == "region as boto3 default"


def test_invalid_settings_are_shown_with_all_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_file('regoin = "x"\nuser = "ubuntu"\n')
    monkeypatch.setenv("SM_PROXY_WAIT", "a\033[31mwhile")
    monkeypatch.setenv("SM_PROXY_ROUT", "direct")
    run(status=1)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert row(lines, "user") == "user ubuntu config.toml:2"
    assert row(lines, "wait") == "wait 15m default"
    wrong = [line for line in lines if line.startswith("wrong")]
    assert f"{config_toml()}: unknown 'regoin'" in wrong[0]
    assert "wait in SM_PROXY_WAIT must be" in wrong[1]
    assert "\033" not in printed.out
    noticed, last = printed.err.splitlines()
    assert noticed == (
        "sm-proxy: SM_PROXY_ROUT is set, but not known. Did you mean `SM_PROXY_ROUTE`?"
    )
    assert last.startswith(f"sm-proxy: bad-setting: {config_toml()}: unknown 'regoin'.")
    run("--json", status=1)
    found = answer(capsys)
    assert (found["ok"], found["error"]["code"]) == (False, "bad-setting")
    assert len(found["data"]["problems"]) == 2
    assert len(found["data"]["settings"]) == len(Settings.__dataclass_fields__)


def test_an_unknown_key_is_removed_as_its_error_says(capsys: pytest.CaptureFixture[str]) -> None:
    write_file('regoin = "x"\nuser = "ubuntu"\n')
    run(status=1)
    advice = "Did you mean `region`? Correct it, or remove it: sm-proxy settings --unset regoin"
    assert capsys.readouterr().err.rstrip().endswith(advice)
    assert shown(capsys, "--unset", "regoin")[0] == f"wrote {config_toml()}"
    assert config_toml().read_text() == 'user = "ubuntu"\n'
    run("--unset", "regoin", status=1)
    assert "there is no setting 'regoin'" in capsys.readouterr().err


def test_tables_are_shown_by_host_and_by_region(capsys: pytest.CaptureFixture[str]) -> None:
    write_file(
        '[launch]\nregion = "eu-west-1"\nsubnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]\n'
        "[hosts.sm-x]\ntrust_first_use = true\n"
    )
    lines = shown(capsys)
    assert row(lines, "launch") == "launch eu-west-1: subnet-1, sg-1 config.toml:1"
    assert row(lines, "hosts.sm-x") == "hosts.sm-x trust_first_use=true config.toml:5"
    run("launch", "--json")
    (found,) = answer(capsys)["data"]["settings"]
    assert found["value"]["subnets"] == ["subnet-1"]


def test_settings_are_written_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_WAIT", "1h")
    lines = shown(capsys, "--set", "user=ubuntu", "--set", "wait=30m")
    assert lines[0] == f"wrote {config_toml()}"
    assert config_toml().read_text() == 'user = "ubuntu"\nwait = "30m"\n'
    assert row(lines, "user") == "user ubuntu config.toml:1"
    # That it does not count is what the user must know.
    assert row(lines, "wait") == "wait 1h SM_PROXY_WAIT: instead of 30m (config.toml:2)"
    assert shown(capsys, "--set", "user=ubuntu")[0] == f"nothing to do in {config_toml()}"
    assert row(shown(capsys, "--unset", "user"), "user") == "user root default"
    lines = shown(capsys, "sm-x", "--set", "trust-first-use=yes")
    assert row(lines, "trust_first_use") == "trust_first_use true config.toml:3"
    assert row(shown(capsys, "sm-y"), "trust_first_use") == "trust_first_use false default"
    assert "[hosts.sm-x]\ntrust_first_use = true\n" in config_toml().read_text()


def test_a_value_of_the_ssh_block_names_config_write(
    capsys: pytest.CaptureFixture[str],
) -> None:
    next_ = "ssh takes it from its config block; then run: sm-proxy config write"
    assert next_ not in shown(capsys, "--set", "compression=no")
    installed({"sm-": {}})
    assert shown(capsys, "--set", "compression=yes")[1] == next_
    assert next_ not in shown(capsys, "--set", "compression=yes")
    assert next_ not in shown(capsys, "--set", "probe=no")


def test_a_recorded_setting_names_the_command_that_records_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed({"sm-": {"region": "eu-west-1", "fdpass": True}, "sm-eu-": {"region": "eu-west-1"}})
    lines = shown(capsys, "--set", "region=us-east-1", "--set", "fdpass=no", "--set", "wait=1h")
    assert lines[1].endswith("then run: sm-proxy config write --region us-east-1 --no-fdpass")
    lines = shown(capsys, "--prefix", "sm-eu-", "--set", "region=us-west-2")
    assert lines[1].endswith("config write --prefix sm-eu- --region us-west-2")


def test_a_setting_may_be_named_as_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "ssh-dir") == shown(capsys, "ssh_dir")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["regoin"],
            "no setting 'regoin', and no host name begins with that. Did you mean `region`?",
        ),
        (["sm-a", "sm-b"], "there is no setting 'sm-a'"),
        (["set", "wait=5"], "To change one: `sm-proxy settings --set wait=30m`"),
        (["wait=5"], "To change one: `sm-proxy settings --set wait=30m`"),
        (["--set", "wait"], "--set wait has no value. Write it as --set NAME=VALUE."),
        (["--set", "wiat=5"], "there is no setting 'wiat'. Did you mean `wait`?"),
        (["--set", "wait=soon"], "wait in --set must be a duration"),
        (["sm-x", "--set", "region=x"], "region cannot be set for one host"),
    ],
)
def test_a_mistake_is_explained(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*words, status=1)
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.out == ""
    assert not config_toml().exists()


def test_an_unknown_profile_and_region_are_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    (tmp_path / "aws").write_text("[profile dev]\n[profile prod]\n")
    near = "Did you mean `us-west-1`, `us-east-1` or `us-west-2`?"
    run("--set", "profile=dve", "--set", "region=us-esat-1")
    assert capsys.readouterr().err.splitlines() == [
        "sm-proxy: there is no AWS profile 'dve'. Did you mean `dev`?",
        f"sm-proxy: botocore knows no region 'us-esat-1'. {near}",
    ]
    assert config_toml().read_text() == 'profile = "dve"\nregion = "us-esat-1"\n'
    run("--set", "profile=dev", "--set", "region=us-east-1")
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_read_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_CONFIG_DIR", str(tmp_path / ("x" * 300)))
    assert row(shown(capsys, status=1), "wait") == "wait 15m default"
