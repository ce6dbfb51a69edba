"""What `docs/security.md` claims of hostile names, of shared folders and of what stands in them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.labs import Lab, code_of

pytestmark = pytest.mark.e2e

COMMANDS = ["$(touch {})", ";touch {}", "`touch {}`", "|touch {}", "&touch {}", "'\"touch {}"]
ODD = ["sm-*", "sm-..%2f..", "sm-a%n", "sm-../../x", "sm-a\\x", "sm-.", "sm-"]


def entered(lab: Lab, words: list[str], folder: Path) -> tuple[int, str]:
    """How `ssh` with these words ends; nothing may have been asked of AWS, or run."""
    before = len(lab.calls())
    done = lab.ssh(*words, "true", cwd=folder)
    assert list(folder.iterdir()) == []
    assert len(lab.calls()) == before
    return done.returncode, done.stderr.decode(errors="replace")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_from_a_link_runs_no_command(lab: Lab, tmp_path: Path, command: str) -> None:
    hostile = command.format(tmp_path / "ran").replace(" ", "${IFS}")
    for words in (["--", f"sm-x{hostile}"], ["-l", hostile, "sm-x"], [f"ssh://sm-x{hostile}"]):
        status, _ = entered(lab, words, tmp_path)
        assert status == 255


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_ssh_lets_through_is_refused_by_us(lab: Lab, tmp_path: Path, name: str) -> None:
    status, said = entered(lab, ["--", name], tmp_path)
    assert status == 255
    if "sm-proxy: " in said:  # ssh itself refuses some of them
        assert "sm-proxy: bad-name: " in said


@pytest.mark.parametrize("word", ["-oProxyCommand=touch {}", "--ssh-dir={}", "-F{}"])
def test_a_name_that_looks_like_an_option(lab: Lab, tmp_path: Path, word: str) -> None:
    """As `ssh://-oProxyCommand=...` was once; and what an older ssh would hand to us."""
    hostile = word.format(tmp_path / "ran")
    assert entered(lab, ["--", hostile], tmp_path)[0] == 255
    before = len(lab.calls())
    done = lab.sm_proxy("connect", "--user", "root", "--", hostile, "22")
    assert (done.returncode, code_of(done), done.stdout) == (1, "bad-name", b"")
    assert list(tmp_path.iterdir()) == []
    assert len(lab.calls()) == before


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_cache_that_others_may_write_to_is_not_used(lab: Lab, tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for purpose in ("jobs", "bastions"):
        (shared / purpose).mkdir()
        (shared / purpose).chmod(mode)
    lab.ok(lab.host, "true", env={"SM_PROXY_CACHE_DIR": str(shared)})
    assert [list((shared / purpose).iterdir()) for purpose in ("jobs", "bastions")] == [[], []]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_record_that_another_user_planted_is_not_believed(lab: Lab, tmp_path: Path) -> None:
    """It names a host and the keys to accept: believed, it would be the end of all checks."""
    cache = tmp_path / "cache"
    env = {"SM_PROXY_CACHE_DIR": str(cache)}
    lab.ok(lab.host, "true", env=env)
    lab.settle()
    for path in (cache / "jobs").glob("*.json"):
        envelope = json.loads(path.read_text())
        if "address" in envelope["record"]:
            envelope["record"]["address"] = "192.0.2.1"
            path.write_text(json.dumps(envelope))
        os.chown(path, 12345, 12345)
    before = len(lab.calls())
    lab.ok(lab.host, "true", env=env)
    assert "GetLogEvents" in {call["operation"] for call in lab.calls()[before:]}


@pytest.mark.parametrize("kind", ["STATE", "CACHE"])
def test_a_folder_that_cannot_be_written_hinders_no_connection(
    lab: Lab, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").touch()
    done = lab.ssh(lab.host, "true", env={f"SM_PROXY_{kind}_DIR": str(tmp_path / "file" / "x")})
    assert (done.returncode, done.stderr) == (0, b"")


def test_torn_records_hinder_no_connection(lab: Lab) -> None:
    lab.ok(lab.host, "true")
    lab.settle()
    for folder in ("connections", "open-sessions"):
        shutil.rmtree(lab.state / folder, ignore_errors=True)
        (lab.state / folder).touch()
    try:
        done = lab.ssh(lab.host, "true")
        assert (done.returncode, done.stderr) == (0, b"")
    finally:
        for folder in ("connections", "open-sessions"):
            (lab.state / folder).unlink()
