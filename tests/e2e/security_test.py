"""The promises of `docs/security.md` about hostile names, shared folders and their files."""

from __future__ import annotations

import hashlib
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
    """Run `ssh`; return its status and stderr. It must not call AWS or write a file."""
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
def test_an_illegal_name_is_refused_without_a_call(lab: Lab, tmp_path: Path, name: str) -> None:
    status, said = entered(lab, ["--", name], tmp_path)
    assert status == 255
    if "sm-proxy: " in said:  # ssh itself refuses some of them
        assert "sm-proxy: bad-name: " in said


@pytest.mark.parametrize("word", ["-oProxyCommand=touch {}", "--ssh-dir={}", "-F{}"])
def test_a_name_that_looks_like_an_option_is_refused(lab: Lab, tmp_path: Path, word: str) -> None:
    """As in the attack with `ssh://-oProxyCommand=...`. An older ssh would pass it to us."""
    hostile = word.format(tmp_path / "ran")
    assert entered(lab, ["--", hostile], tmp_path)[0] == 255
    before = len(lab.calls())
    done = lab.sm_proxy("connect", "--user", "root", "--", hostile, "22")
    assert (done.returncode, code_of(done), done.stdout) == (1, "bad-name", b"")
    assert list(tmp_path.iterdir()) == []
    assert len(lab.calls()) == before


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_cache_that_others_can_write_is_not_used(lab: Lab, tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    for purpose in ("jobs", "bastions"):
        (shared / purpose).mkdir()
        (shared / purpose).chmod(mode)
    lab.ok(lab.host, "true", env={"SM_PROXY_CACHE_DIR": str(shared)})
    assert [list((shared / purpose).iterdir()) for purpose in ("jobs", "bastions")] == [[], []]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_record_of_another_user_is_not_used(lab: Lab, tmp_path: Path) -> None:
    """A record has an address and the host keys to accept: a forged one would defeat all checks."""
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
def test_ssh_connects_when_a_folder_cannot_be_written(lab: Lab, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    done = lab.ssh(lab.host, "true", env={f"SM_PROXY_{kind}_DIR": str(tmp_path / "file" / "x")})
    assert (done.returncode, done.stderr) == (0, b"")


def test_ssh_connects_when_the_state_folder_is_damaged(lab: Lab) -> None:
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


SSO = """
[profile sso]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = r
"""
WORDS = "an-sso:token.of+words/only" * 3


def pieces(token: str) -> list[str]:
    return [token[at : at + 8] for at in range(len(token) - 7)]


def test_a_damaged_sso_token_is_never_shown(lab: Lab, tmp_path: Path) -> None:
    """It is not on stderr or stdout, in the state folder, or in a support bundle."""
    token = f"{WORDS[:30]}\n{WORDS[30:]}"
    cached = hashlib.sha1(b"https://example.awsapps.com/start")  # noqa: S324 - botocore's name
    path = tmp_path / ".aws" / "sso" / "cache" / f"{cached.hexdigest()}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"accessToken": token, "expiresAt": "2099-01-01T00:00:00Z"}))
    (tmp_path / "config").write_text(SSO)
    state, bundle = tmp_path / "state", tmp_path / "bundle"
    own = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    own |= {"SM_PROXY_STATE_DIR": str(state), "SM_PROXY_PROFILE": "sso", "SM_PROXY_LOG": "debug"}
    before = len(lab.calls())
    done = [
        lab.ssh(lab.host, "true", env=own),
        lab.sm_proxy("resolve", lab.host, "--json", env=own),
        lab.sm_proxy("list", "--check", "--json", env=own),
        lab.sm_proxy("doctor", lab.host, "--ssh-config", lab.config, "--bundle", str(bundle),
                     "--json", env=own),
    ]  # fmt: skip
    assert [one.returncode for one in done] == [255, 1, 1, 1]
    assert code_of(done[0]) == "expired-credentials"
    assert json.loads(done[3].stdout)["data"]["cause"] == "expired-credentials"
    # doctor checks that the endpoint answers, without a token.
    assert {call["operation"] for call in lab.calls()[before:]} == {"ListAllMyBuckets"}
    kept = [file.read_text() for file in state.rglob("*") if file.is_file()]
    assert len(kept) >= 4
    shown = [text.decode() for one in done for text in (one.stdout, one.stderr)]
    for text in [*kept, *shown, bundle.read_text()]:
        assert not [piece for piece in pieces(WORDS) if piece in text], text
