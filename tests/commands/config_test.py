from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy import cli, config_writer
from sm_proxy.local import file_lock
from sm_proxy.ssh_config.effective import effective_options
from tests.commands.helpers import answer
from tests.fakes import tree


def run(user_config: Path, *words: str, status: int = 0) -> None:
    action, *rest = words
    assert cli.main(["config", action, "--ssh-config", str(user_config), *rest]) == status


def test_write_check_and_remove(user_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(user_config, "check", status=1)
    shown = capsys.readouterr()
    missing = f"not installed: there is no {user_config.parent}/sm-proxy/config"
    write = f"`sm-proxy config write --ssh-config {user_config}`"
    assert shown.err == f"sm-proxy: config-malformed: {missing}. Run {write}.\n"
    run(user_config, "write")
    files = tree(user_config.parent)
    assert set(files) == {
        *("config", "sm-proxy/config", "sm-proxy/id_ed25519", "sm-proxy/id_ed25519.pub"),
    }
    capsys.readouterr()
    run(user_config, "check")
    assert capsys.readouterr().out == "up to date\n"
    run(user_config, "write")
    assert capsys.readouterr().out == "nothing to do\n"
    assert tree(user_config.parent) == files
    run(user_config, "check", "--region", "eu-west-1", status=1)
    assert "out of date" in capsys.readouterr().out
    run(user_config, "remove")
    removed = f"removed {user_config.parent}/sm-proxy/config"
    assert capsys.readouterr().out.splitlines()[1] == removed
    assert set(tree(user_config.parent)) == {*files} - {"sm-proxy/config"}
    assert user_config.read_bytes() == b"Host a\n"
    run(user_config, "check", status=1)
    assert "not installed: " in capsys.readouterr().out


def test_an_unknown_profile_is_written_and_told(
    user_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    (tmp_path / "aws").write_text("[profile dev]\n[profile research]\n")
    run(user_config, "write", "--profile", "new")
    told = "there is no AWS profile 'new'. There are: dev, research."
    assert capsys.readouterr().err == f"sm-proxy: {told}\n"
    run(user_config, "show")
    assert "--profile new " in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "Host *\n  Ciphers aes128-cbc\n",
        "Host *\n  RevokedHostKeys /no/such/list\n",
        "NoSuchOption yes\n",
    ],
)
def test_check_asks_ssh_which_options_are_in_effect(
    line: str, user_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(user_config, "write")
    run(user_config, "check")
    user_config.write_text(user_config.read_text() + line)
    capsys.readouterr()
    run(user_config, "check", status=1)
    shown = capsys.readouterr().out
    assert shown.startswith("not in effect: ")
    assert f"{user_config}:" in shown


@pytest.mark.parametrize("action", ["write", "remove", "check", "show"])
def test_a_dry_run_writes_nothing(
    action: str, user_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(user_config, action, "--dry-run", status=1 if action == "check" else 0)
    assert tree(user_config.parent) == {"config": b"Host a\n"}
    if action != "check":  # `check` records its finding as the last error
        assert set(tree(tmp_path)) == {"ssh/config"}
    if action == "write":
        assert "+Host sm-*" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["ssh-dir", "identity-file", "identity-agent"])
def test_an_unknown_home_folder_is_a_bad_setting(
    option: str, user_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(user_config, "show", f"--{option}=~no-such-user/x", status=1)
    expected = f"in --{option} must be a path with an existing home folder, not '~no-such-user/x'"
    assert expected in capsys.readouterr().err


def test_the_json_names_the_changed_files(
    user_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = str(user_config.parent / "sm-proxy" / "config")
    run(user_config, "check", "--json", status=1)
    found = answer(capsys)
    assert (found["ok"], found["error"]["code"]) == (False, "config-malformed")
    assert len(found["data"]["findings"]) == 1
    run(user_config, "write", "--json")
    found = answer(capsys)
    assert found["ok"] is True
    assert found["data"] == {
        "files": [{"path": own, "changed": True}, {"path": str(user_config), "changed": True}]
    }
    run(user_config, "show", "--json")
    assert answer(capsys)["data"]["block"].startswith("# Written by sm-proxy")


def test_damaged_marks_are_an_error(user_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user_config.write_text("# <<< sm-proxy <<<\n")
    run(user_config, "write", status=1)
    err = capsys.readouterr().err
    assert err.startswith(f"sm-proxy: config-malformed: {user_config}:1: ")


def test_options_are_written_into_the_block(
    user_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--user", "ubuntu", "--identity-file", "/my key", "--wait", "30", "--prefix", "eu-"]
    run(user_config, "show", *words)
    block = capsys.readouterr().out
    assert "Host eu-*\n" in block
    assert "    User ubuntu\n" in block
    assert '    IdentityFile "/my key"\n' in block
    assert "    ConnectTimeout 90\n" in block


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("SSH_AUTH_SOCK", "SSH_AUTH_SOCK"),
        ("none", "none"),
        ("/group containers/agent.sock", '"/group containers/agent.sock"'),
    ],
)
def test_the_identity_agent_is_written_into_the_block(
    given: str, written: str, user_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(user_config, "write", "--identity-agent", given)
    run(user_config, "write")  # the context remembers it
    block = (user_config.parent / "sm-proxy" / "config").read_text()
    assert f"    IdentityAgent {written}\n" in block
    found = effective_options("sm-x", user_config)
    assert found["identityagent"] == given


def test_a_missing_own_key_is_an_error(
    user_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(user_config, "write", "--identity-file", "/nowhere/key", status=1)
    assert capsys.readouterr().err.startswith("sm-proxy: bad-setting: no public key")
    assert tree(user_config.parent) == {"config": b"Host a\n"}


@pytest.mark.parametrize("action", ["write", "remove"])
def test_a_writer_that_waits_for_another_says_so(
    action: str,
    user_config: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(user_config, "write")
    before = tree(user_config.parent)
    monkeypatch.setattr(file_lock, "WRITER_S", 0.1)
    capsys.readouterr()
    with config_writer.writers_lock():
        run(user_config, action, status=1)
        shown = capsys.readouterr().err
    assert shown.startswith(f"sm-proxy: busy: process {os.getpid()} (since ")
    assert "holds the lock of the ssh config and did not release it" in shown
    assert tree(user_config.parent) == before
    run(user_config, "write")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT for one process")
def test_a_waiting_writer_names_the_other_and_ends_on_ctrl_c(user_config: Path) -> None:
    program = [sys.executable, "-m", "sm_proxy", "config", "write"]
    with config_writer.writers_lock():
        process = subprocess.Popen(
            [*program, "--ssh-config", str(user_config)], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert line.startswith(f"sm-proxy: waiting for process {os.getpid()} (since ")
    assert line.endswith(", which holds the lock of the ssh config\n")
    assert (rest, process.returncode) == ("", 130)


USERS = (
    b"Host a\n    # >>> sm-proxy >>>\n    User b\n    # <<< sm-proxy <<<\n",
    b"# >>> sm-proxy >>> my notes\nHost a\n# <<< sm-proxy <<< their end\n",
    b"# >>> SM-PROXY >>>\n#>>> sm-proxy >>>\nHost a\n",
)


@pytest.mark.parametrize("content", USERS)
def test_a_comment_that_looks_like_our_mark_is_kept(content: bytes, user_config: Path) -> None:
    user_config.write_bytes(content)
    for action in ("write", "write"):
        assert cli.main(["config", action, "--ssh-config", str(user_config)]) == 0
        assert user_config.read_bytes().endswith(content)
    assert cli.main(["config", "remove", "--ssh-config", str(user_config)]) == 0
    assert user_config.read_bytes() == content


@pytest.mark.parametrize("action", ["write", "remove"])
def test_a_users_lines_between_our_marks_are_kept(action: str, user_config: Path) -> None:
    assert cli.main(["config", "write", "--ssh-config", str(user_config)]) == 0
    theirs = "Host mine\n    User me\n"
    text = user_config.read_text().replace("# <<<", f"{theirs}# <<<")
    user_config.write_text(text)
    assert cli.main(["config", action, "--ssh-config", str(user_config)]) == 0
    assert user_config.read_text().endswith(f"{theirs}Host a\n")
    assert user_config.read_text().count("Include") == (action == "write")


def test_a_file_with_only_our_lines_is_removed(user_config: Path) -> None:
    """Also if `config write` has replaced the marks of an older version in it."""
    user_config.unlink()
    assert cli.main(["config", "write", "--ssh-config", str(user_config)]) == 0
    text = user_config.read_text()
    user_config.write_text(text.replace(" (`sm-proxy config remove` takes these lines out)", ""))
    assert cli.main(["config", "write", "--ssh-config", str(user_config)]) == 0
    assert user_config.read_text() == text
    assert cli.main(["config", "remove", "--ssh-config", str(user_config)]) == 0
    assert not user_config.exists()
