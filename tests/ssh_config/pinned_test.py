"""What the user's `Host *` cannot change for our hosts, according to the real `ssh -G`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import effective, pinned
from tests.config_command import own, run

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="needs the OpenSSH client")
HOST = "sm-My-Job"
_GSSAPI = pytest.mark.skipif(
    not pinned._accepted_by_all(("ssh",), ("GSSAPIKeyExchange no",)), reason="this ssh has no such"
)
HARMFUL = (
    "Port 2200",
    "CanonicalizeHostname always",
    "ProxyUseFdpass no",
    "ProxyJump gate",
    "RemoteCommand tmux",
    "SessionType none",
    "SessionType subsystem",
    "StdinNull yes",
    "ForkAfterAuthentication yes",
    "PreferredAuthentications password",
    "PubkeyAuthentication no",
    "PubkeyAcceptedAlgorithms rsa-sha2-512",
    "PubkeyAcceptedKeyTypes rsa-sha2-512",
    "HostKeyAlgorithms rsa-sha2-512",
    "KnownHostsCommand /bin/echo %H",
    "VerifyHostKeyDNS yes",
    "NoHostAuthenticationForLocalhost yes",
    pytest.param("GSSAPIKeyExchange yes", marks=_GSSAPI),
    "PKCS11Provider /usr/lib/token.so",
    "StrictHostKeyChecking no",
    "UserKnownHostsFile /dev/null",
    "GlobalKnownHostsFile /etc/all",
    "CheckHostIP yes",
    "ConnectTimeout 3",
    "ServerAliveInterval 1",
    "ServerAliveCountMax 1",
    "ControlPath ~/.ssh/%C",
    "ControlPath ~/.ssh/" + "x" * 80 + "-%n",
)
TASTE = (
    ("LocalForward", "8888 localhost:8888"),
    ("ForwardAgent", "yes"),
    ("RequestTTY", "yes"),
    ("EscapeChar", "none"),
    ("SendEnv", "EDITOR"),
    ("LogLevel", "VERBOSE"),
    ("ControlMaster", "auto"),
    ("Ciphers", "aes256-ctr"),
    ("AddKeysToAgent", "yes"),
    ("TCPKeepAlive", "no"),
)


@pytest.mark.parametrize("line", HARMFUL)
def test_a_pinned_option_wins_over_host_star(line: str, dot_ssh: Path) -> None:
    config = dot_ssh / "config"
    config.write_text(f"Host *\n    {line}\n")
    run(dot_ssh, "write")
    holds, alone = (
        effective.all_options(HOST, path) for path in (config, dot_ssh / "sm-proxy" / "config")
    )
    assert holds == alone


@pytest.mark.parametrize(("keyword", "value"), TASTE)
def test_a_harmless_option_is_left_to_the_user(keyword: str, value: str, dot_ssh: Path) -> None:
    config = dot_ssh / "config"
    config.write_text(f"Host *\n    {keyword} {value}\n")
    run(dot_ssh, "write")
    ours, others = (effective.all_options(host, config) for host in (HOST, "other"))
    assert ours[keyword.lower()] == others[keyword.lower()]


def test_the_command_line_wins_over_pinned_options(dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    command = ["ssh", "-F", str(dot_ssh / "config"), "-p", "2222", "-N", "-n", "-G", HOST]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"port 2222", "sessiontype none", "stdinnull yes"} <= {*shown}


def test_names_that_differ_in_case_do_not_share_a_socket(
    dot_ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sm_proxy.ssh_config.blocks._SUN_PATH", 500)
    (dot_ssh / "config").write_text("Host *\n    ControlMaster auto\n    ControlPath ~/%C\n")
    run(dot_ssh, "write")
    first, second = (
        effective.effective_options(host, dot_ssh / "config")["controlpath"]
        for host in ("sm-train", "sm-Train")
    )
    assert first != second


def test_options_for_our_own_key_are_not_set_for_the_users_key() -> None:
    ours = set(pinned.lines(Settings()))
    assert set(pinned.lines(Settings(identity_file="/k"))) == {
        line for line in ours if not line.startswith(("PubkeyAccepted", "PKCS11"))
    }
    assert any(line.startswith("PubkeyAccepted") for line in ours)


@pytest.mark.parametrize(
    ("platform", "fdpass", "expected"),
    [
        *(("linux", True, True), ("darwin", True, True), ("linux", False, False)),
        *(("win32", True, False), ("cygwin", True, False)),
    ],
)
def test_ssh_takes_a_descriptor_where_its_platform_can(
    platform: str, monkeypatch: pytest.MonkeyPatch, *, fdpass: bool, expected: bool
) -> None:
    clients = list(pinned._clients())
    monkeypatch.setattr(pinned, "_clients", lambda: clients)
    monkeypatch.setattr(sys, "platform", platform)
    written = [line for line in pinned.lines(Settings(fdpass=fdpass)) if "Fdpass" in line]
    assert written == ["ProxyUseFdpass yes"] * expected


def test_no_fdpass_is_recorded_until_it_is_taken_back(dot_ssh: Path) -> None:
    for words, has in (("--no-fdpass", False), ("", False), ("--fdpass", True), ("", True)):
        run(dot_ssh, "write", *words.split())
        assert ("    ProxyUseFdpass yes\n" in own(dot_ssh)) is has
        assert ("Fdpass" in own(dot_ssh)) is has
        run(dot_ssh, "check")


def old_ssh(folder: Path, *unknown: str) -> Path:
    """An ssh that does not know some options, with OpenSSH's error messages."""
    folder.mkdir()
    program = folder / "ssh"
    patterns = "|".join(unknown)
    program.write_text(
        f"""#!/bin/sh
[ "$1" = -F ] && bad=$(grep -niE '^ *({patterns})' "$2" | cut -d: -f1)
for line in $bad; do echo "$2: line $line: Bad configuration option: x" >&2; done
[ -z "$bad" ] || exit 255
exec {shutil.which("ssh")} "$@"
"""
    )
    program.chmod(0o755)
    return folder


def test_only_options_that_every_ssh_knows_are_written(
    dot_ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = old_ssh(tmp_path / "one", "SessionType", "StdinNull", "ForkAfterAuthentication")
    two = old_ssh(tmp_path / "two", "KnownHostsCommand", "SessionType")
    usual = shutil.which("ssh")
    assert usual is not None
    monkeypatch.setenv("PATH", f"{one}:{two}:/usr/bin:/bin")
    run(dot_ssh, "write")
    text = own(dot_ssh)
    for keyword in ("SessionType", "StdinNull", "ForkAfterAuthentication", "KnownHostsCommand"):
        assert f"    {keyword} " not in text
    assert "    Port 22\n" in text
    assert "    RemoteCommand none\n" in text
    assert "IgnoreUnknown" not in text
    monkeypatch.setenv("PATH", str(Path(usual).parent))
    run(dot_ssh, "write")
    assert "    SessionType default\n" in own(dot_ssh)


@pytest.mark.parametrize("program", ["exit 0", "echo no such option >&2; exit 1", "exit 127"])
def test_an_ssh_that_cannot_be_asked_is_ignored(
    program: str, dot_ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{program}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    assert cli.main(["config", "write", "--ssh-config", str(dot_ssh / "config")]) == 0
    assert "    Port 22\n" in own(dot_ssh)
