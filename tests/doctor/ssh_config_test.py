from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.doctor import laptop, ssh_config
from sm_proxy.doctor.check import Context
from sm_proxy.ssh_config import effective, our_file
from tests.doctor.helpers import failure


def config_of(context: Context) -> Path:
    assert context.ssh_config is not None
    return context.ssh_config


def put(context: Context, text: str, *, behind: bool = False) -> None:
    config = config_of(context)
    config.write_text(config.read_text() + text if behind else text + config.read_text())


def test_an_intact_config_passes(context: Context, tmp_path: Path) -> None:
    assert ssh_config.effective(context).startswith("ssh uses")
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
def test_an_overriding_block_is_named_with_its_line(
    context: Context, block: str, line: int
) -> None:
    put(context, block)
    error = failure(ssh_config.effective, context)
    assert error.code == "config-malformed"
    assert f"{config_of(context)}:{line}" in error.message
    assert ("AWS Toolkit" in error.message) == ("AWS Toolkit" in block)


def test_an_overriding_block_is_found_in_an_included_file(context: Context, tmp_path: Path) -> None:
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
def test_blocks_after_ours_do_no_harm(context: Context, block: str) -> None:
    put(context, block, behind=True)
    assert ssh_config.effective(context)


PINNED = {
    "Port": "2200",
    "ProxyUseFdpass": "yes",
    "RemoteCommand": "tmux",
    "SessionType": "none",
    "StdinNull": "yes",
    "PreferredAuthentications": "password",
    "PubkeyAuthentication": "no",
    "PubkeyAcceptedAlgorithms": "rsa-sha2-512",
    "HostKeyAlgorithms": "rsa-sha2-512",
    "KnownHostsCommand": "/bin/true",
    "VerifyHostKeyDNS": "yes",
    "NoHostAuthenticationForLocalhost": "yes",
    "CanonicalizeHostname": "always",
    "ControlPath": "/tmp/" + "x" * 90 + "%n",
}
"""Options that our block sets, with values that keep ssh from every container."""
OPEN = {
    "Ciphers": "aes128-cbc,3des-cbc",
    "KexAlgorithms": "diffie-hellman-group1-sha1",
    "RevokedHostKeys": "/no/such/list",
}
"""Options that it leaves to the user, with such values."""


def unpin(context: Context, *keywords: str) -> None:
    """Remove options from our block, as if an older version had written it."""
    own = context.settings.ssh_config_file
    lines = own.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.split()[:1] not in [[word] for word in keywords]]
    own.write_text("".join(kept))


@pytest.mark.parametrize(("keyword", "value"), PINNED.items())
def test_an_option_missing_from_an_old_block_is_reported(
    context: Context, keyword: str, value: str
) -> None:
    put(context, f"Host *\n  {keyword} {value}\n", behind=True)
    assert ssh_config.effective(context)
    unpin(context, keyword, keyword.replace("Algorithms", "KeyTypes"))
    where = f"{config_of(context)}:{len(config_of(context).read_text().splitlines())}"
    error = failure(ssh_config.effective, context)
    assert f"{where} under `Host *` sets {keyword.lower()} to {value}" in error.message
    assert error.hint == "Write our block again: sm-proxy config write"
    program = our_file.own_program()
    config_writer.apply(config_writer.plan(config_of(context), context.settings, program))
    assert ssh_config.effective(context)


@pytest.mark.parametrize(("keyword", "value"), OPEN.items())
def test_an_option_under_host_star_comes_with_a_narrower_pattern(
    context: Context, keyword: str, value: str
) -> None:
    line = f"  {keyword} {value}\n"
    put(context, f"Host *\n{line}", behind=True)
    error = failure(ssh_config.effective, context)
    number = len(config_of(context).read_text().splitlines())
    assert f"{config_of(context)}:{number}" in error.message
    assert keyword.lower() in error.message
    narrow = "Host * !sm-*"
    assert error.hint.endswith(narrow)
    text = config_of(context).read_text()
    config_of(context).write_text(text.replace(f"Host *\n{line}", f"{narrow}\n{line}"))
    assert ssh_config.effective(context)


def test_no_agent_is_for_a_space(context: Context) -> None:
    """A file of an earlier version has no block for spaces."""
    put(context, "Host *\n  ForwardAgent yes\n", behind=True)
    assert ssh_config.effective(context)
    context.host = "sm-a.space"
    assert ssh_config.effective(context)
    own = context.settings.ssh_config_file
    own.write_text(own.read_text().replace("    ForwardAgent no\n", ""))
    error = failure(ssh_config.effective, context)
    assert "under `Host *` sets forwardagent to yes, also for sm-a.space" in error.message
    assert error.hint == "Write our block again: sm-proxy config write"
    context.host = "sm-job"
    assert ssh_config.effective(context)


def test_macs_count_only_for_ciphers_that_need_one(context: Context) -> None:
    put(context, "Host *\n  MACs hmac-md5\n", behind=True)
    assert ssh_config.effective(context)
    put(context, "Host *\n  Ciphers aes128-ctr\n", behind=True)
    assert "sets macs to hmac-md5" in failure(ssh_config.effective, context).message


def test_a_folder_as_revoked_host_keys_fails(context: Context, tmp_path: Path) -> None:
    put(context, f"Host *\n  RevokedHostKeys {tmp_path}\n", behind=True)
    assert "ssh accepts no host key" in failure(ssh_config.effective, context).message


@pytest.mark.parametrize(
    "line",
    [
        "Ciphers aes256-ctr",
        "RevokedHostKeys /dev/null",
        "KexAlgorithms curve25519-sha256,x",
        "HostKeyAlgorithms ssh-ed25519",
        "PreferredAuthentications publickey",
        "PubkeyAcceptedAlgorithms ssh-ed25519",
        "ControlPath /tmp/%n",
        "ForwardAgent yes",
        "AddressFamily inet6",
        "BindAddress 127.0.0.9",
        "HostKeyAlias gate",
    ],
)
def test_options_that_let_ssh_through_pass(context: Context, line: str) -> None:
    put(context, f"Host *\n  {line}\n".replace(",x", ""))
    assert ssh_config.effective(context)


def test_a_line_above_an_include_added_by_hand_is_reported(context: Context) -> None:
    """`config write` leaves such a file as it is."""
    own = context.settings.ssh_config_file
    config_of(context).write_text(f'Port 2200\nInclude "{own}"\n')
    error = failure(ssh_config.effective, context)
    assert f"{config_of(context)}:1 sets port to 2200 before" in error.message
    assert error.hint.startswith(f"Delete line 1 of {config_of(context)}")


def test_a_config_of_another_user_fails(context: Context) -> None:
    """ssh accepts files of root and of the user, so the test makes up its error for others."""
    error = effective._refused("Bad owner or permissions on /home/a b/.ssh/config\r\n")
    assert error.code == "bad-permissions"
    assert error.hint == "chmod go-w '/home/a b/.ssh/config'"
    with contextlib.suppress(PermissionError):  # only root can change the owner
        os.chown(config_of(context), 1234, -1)
        path = shlex.quote(str(config_of(context)))
        error = effective._refused(f"Bad owner or permissions on {config_of(context)}")
        assert "belongs to another user (uid 1234)" in error.message
        assert error.hint == f"chown 0 {path}"
        config_of(context).chmod(0o666)
        error = effective._refused(f"Bad owner or permissions on {config_of(context)}")
        assert error.hint == f"chown 0 {path} && chmod go-w {path}"


def test_a_users_own_user_and_tty_options_pass(context: Context) -> None:
    put(context, "Host sm-job\n  User ubuntu\n  RequestTTY yes\n")
    assert ssh_config.effective(context)


def test_a_missing_include_fails(context: Context) -> None:
    config_of(context).write_text("# nothing\n")
    assert "does not include our block" in failure(ssh_config.effective, context).message


def test_a_config_that_ssh_rejects_fails(context: Context) -> None:
    put(context, "Nonsense x\n")
    assert "onsense" in failure(ssh_config.effective, context).message


def test_a_moved_program_fails(context: Context, tmp_path: Path) -> None:
    (tmp_path / "bin" / "sm-proxy").unlink()
    ssh_config.effective(context)
    assert str(tmp_path / "bin" / "sm-proxy") in failure(ssh_config.program, context).message


@pytest.mark.parametrize("words", [["/bin/true"], [sys.executable, "-I", "-m", "sm_proxi"]])
def test_another_program_fails(words: list[str], context: Context) -> None:
    set_program(context, *words)
    error = failure(ssh_config.program, context)
    assert words[0] in error.message
    assert "sm-proxy config write" in error.hint


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """An interpreter without its packages, as after an upgrade under a virtual environment."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True
    )
    return tmp_path / "bare" / "bin" / "python"


def set_program(context: Context, *words: str) -> None:
    own = context.settings.ssh_config_file
    command = f"    ProxyCommand {shlex.join(words)} connect --user %r %n %p"
    own.write_text(re.sub("    ProxyCommand .*", command, own.read_text()))
    ssh_config.effective(context)


def test_missing_packages_fail_and_slow_ones_do_not(
    context: Context, bare_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laptop, "_DEADLINE_S", 0.001)
    set_program(context, str(bare_python), "-I", "-m", "sm_proxy")
    error = failure(ssh_config.program, context)
    assert error.code == "missing-dependency"
    assert str(bare_python) in error.message
    assert "No module named" in error.message
    assert error.hint.startswith(f"pip --python {bare_python} install")  # it has no pip
    set_program(context, sys.executable, "-I", "-m", "sm_proxy")
    assert ssh_config.program(context) == sys.executable


def test_an_old_block_in_the_environment_of_another_python_fails(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "types.py").write_text("raise SystemExit('of somebody else')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    set_program(context, sys.executable, "-I", "-m", "sm_proxy")
    assert ssh_config.program(context) == sys.executable
    assert laptop.python(context).endswith("; ssh starts it without PYTHONPATH")
    set_program(context, sys.executable, "-m", "sm_proxy")
    error = failure(ssh_config.program, context)
    assert "PYTHONPATH" in error.message
    assert error.hint.endswith("sm-proxy config write")


def test_an_archive_is_started_and_one_that_is_gone_fails(context: Context, tmp_path: Path) -> None:
    archive = tmp_path / "sm-proxy.pyz"
    set_program(context, sys.executable, "-I", str(archive))
    assert str(archive) in failure(ssh_config.program, context).message
    archive.write_text("print('sm-proxy 1.0')\n")
    assert ssh_config.program(context) == sys.executable


def test_a_program_that_exits_with_an_error_fails(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin" / "sm-proxy").write_text("#!/bin/sh\necho torn >&2; exit 3\n")
    ssh_config.effective(context)
    error = failure(ssh_config.program, context)
    assert "torn" in error.message
    assert "install sm-proxy again" in error.hint
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    set_program(context, "sm-proxy")
    assert "install sm-proxy again" in failure(ssh_config.program, context).hint


def test_later_checks_use_the_options_of_the_proxy_command(context: Context) -> None:
    own = context.settings.ssh_folder / "config"
    options = "--profile prod --region eu-west-1 --prefix sm- connect"
    own.write_text(own.read_text().replace("connect", options, 1))
    ssh_config.effective(context)
    ssh_config.program(context)
    assert (context.settings.profile, context.settings.region) == ("prod", "eu-west-1")


def test_an_ssh_that_hangs_fails(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effective, "_DEADLINE_S", 0.5)
    put(context, 'Match exec "exec sleep 20"\n')
    error = failure(ssh_config.effective, context)
    assert "did not end" in error.message
    assert f"ssh -F {context.ssh_config} -G sm-job" in error.hint
