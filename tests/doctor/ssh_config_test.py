from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.doctor import laptop, ssh_config
from sm_proxy.doctor.check import Context
from tests.doctor.helpers import failure


def config_of(context: Context) -> Path:
    assert context.ssh_config is not None
    return context.ssh_config


def put(context: Context, text: str, *, behind: bool = False) -> None:
    config = config_of(context)
    config.write_text(config.read_text() + text if behind else text + config.read_text())


def test_all_is_well(context: Context, tmp_path: Path) -> None:
    assert ssh_config.effective(context).startswith("ssh goes by")
    assert ssh_config.program(context) == str(tmp_path / "bin" / "sm-proxy")
    assert laptop.permissions(context)
    assert laptop.key(context)


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("Host *\n  ProxyCommand nc %h %p\n", 2),
        ("Host sm-*\n  ProxyJump gate\n", 2),
        ("ProxyCommand none\n", 1),
        ("Host *\n  UserKnownHostsFile /dev/null\n", 2),
        ("# AWS Toolkit for VSCode\nHost sm*\n  ProxyCommand x '%n'\n", 3),
    ],
)
def test_who_shadows_is_named_with_its_line(context: Context, block: str, line: int) -> None:
    put(context, block)
    error = failure(ssh_config.effective, context)
    assert error.code == "config-malformed"
    assert f"{config_of(context)}:{line}" in error.message
    assert ("AWS Toolkit" in error.message) == ("AWS Toolkit" in block)


def test_who_shadows_is_found_in_an_included_file(context: Context, tmp_path: Path) -> None:
    other = tmp_path / "other.conf"
    other.write_text("Host *\n  ProxyCommand nc %h %p\n")
    put(context, f'Include "{other}"\n')
    assert f"{other}:2" in failure(ssh_config.effective, context).message


@pytest.mark.parametrize(
    "block",
    [
        "Host *\n  RequestTTY auto\n  ProxyCommand nc %h %p\n  IdentityFile ~/.ssh/other\n",
        "Host sm-*\n  User ubuntu\n",
    ],
)
def test_what_stands_behind_ours_does_no_harm(context: Context, block: str) -> None:
    put(context, block, behind=True)
    assert ssh_config.effective(context)


def test_a_user_of_ones_own_is_no_shadow(context: Context) -> None:
    put(context, "Host sm-job\n  User ubuntu\n  RequestTTY yes\n")
    assert ssh_config.effective(context)


def test_ours_is_not_included(context: Context) -> None:
    config_of(context).write_text("# nothing\n")
    assert "does not lead to our block" in failure(ssh_config.effective, context).message


def test_a_config_that_ssh_refuses(context: Context) -> None:
    put(context, "Nonsense x\n")
    assert "onsense" in failure(ssh_config.effective, context).message


def test_the_program_has_moved(context: Context, tmp_path: Path) -> None:
    (tmp_path / "bin" / "sm-proxy").unlink()
    ssh_config.effective(context)
    assert str(tmp_path / "bin" / "sm-proxy") in failure(ssh_config.program, context).message


def test_what_ssh_will_run_decides_where_is_looked(context: Context) -> None:
    own = context.settings.ssh_folder / "config"
    options = "--profile prod --region eu-west-1 --prefix sm- connect"
    own.write_text(own.read_text().replace("connect", options, 1))
    ssh_config.effective(context)
    ssh_config.program(context)
    assert (context.settings.profile, context.settings.region) == ("prod", "eu-west-1")


def test_an_ssh_that_hangs_in_its_config(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(laptop, "_DEADLINE_S", 0.5)
    put(context, 'Match exec "exec sleep 20"\n')
    error = failure(ssh_config.effective, context)
    assert "does not end" in error.message
    assert f"ssh -F {context.ssh_config} -G sm-job" in error.hint
