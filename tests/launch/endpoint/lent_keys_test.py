from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.launch.endpoint import lent_keys
from sm_proxy.launch.endpoint.endpoint import Endpoint
from sm_proxy.launch.endpoint.held_keys import HeldKeys
from sm_proxy.launch.endpoint.http_server import LoopbackServer, Request

CONFIG = """\
# mine
[default]
region = eu-west-1

[profile work]
sso_session = ours
sso_account_id = 123456789012
sso_role_name = Scientist
region = eu-central-1
s3 =
    max_concurrent_requests = 3
credential_process = old
    continued

[profile "two words"]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = work
mfa_serial = arn:aws:iam::123456789012:mfa/x

[sso-session ours]
sso_region = us-east-1
sso_start_url = https://ours.awsapps.com/start
"""
SHOW = """
import botocore.session
keys = botocore.session.Session().get_credentials()
print(keys.method, keys.access_key, keys.token)
"""


def changed_lines(profile: str) -> tuple[list[str], list[str]]:
    """The lines that are removed for a profile, and those that are added."""
    old, new = CONFIG.splitlines(), lent_keys.asking_us(CONFIG, profile, "program").splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_the_profile_asks_us_and_keeps_its_other_settings() -> None:
    gone, added = changed_lines("work")
    assert gone == [
        "sso_session = ours",
        "sso_account_id = 123456789012",
        "sso_role_name = Scientist",
        "credential_process = old",
        "    continued",
    ]
    assert added == ["credential_process = program"]


def test_a_quoted_name_is_found() -> None:
    gone, added = changed_lines("two words")
    assert [line.partition(" ")[0] for line in gone] == ["role_arn", "source_profile", "mfa_serial"]
    assert added == ["credential_process = program"]


def test_other_sections_stay() -> None:
    assert changed_lines("none") == ([], [])
    assert changed_lines("ours") == ([], [])


def test_a_file_may_end_without_a_line_end() -> None:
    found = lent_keys.asking_us("[default]", "default", "program")
    assert found == "[default]\ncredential_process = program\n"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config whose profile gets other keys for each process that asks."""
    counter = tmp_path / "count"
    program = tmp_path / "keys.sh"
    program.write_text(
        f"#!/bin/sh\necho x >>{counter}\nn=$(grep -c x {counter})\n"
        'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"ASIA$n\\", \\"SecretAccessKey\\": \\"s\\",'
        ' \\"SessionToken\\": \\"t$n\\", \\"Expiration\\": \\"2099-01-01T00:00:00Z\\"}"\n'
    )
    program.chmod(0o700)
    path = tmp_path / "config"
    path.write_text(f"[profile work]\nregion = eu-west-1\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    return path


needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script")


def lent_by(folder: Path) -> lent_keys.LentKeys | None:
    folder.mkdir(exist_ok=True)
    return lent_keys.lend(Aws(), folder)


@needs_sh
def test_the_command_gets_our_keys(config: Path, tmp_path: Path) -> None:
    lent = lent_by(tmp_path / "lent")
    assert lent is not None

    def add(*_: object) -> dict[str, object]:
        raise AssertionError

    held = HeldKeys([lent.aws], Aws)
    endpoint = Endpoint(held, add, lambda *_: None, lent)
    with LoopbackServer(endpoint.handle, endpoint.admits) as server:
        done = subprocess.run(
            [sys.executable, "-c", SHOW],
            env={**os.environ, **lent.environment(server.url), "HTTP_PROXY": "http://127.0.0.1:1"},
            capture_output=True,
            check=True,
            timeout=60,
        )
    method, access_key, token = done.stdout.decode().split()
    ours = lent.aws.keys()
    assert (method, access_key, token) == ("custom-process", ours.access_key, ours.token)
    assert held.find(access_key)


@needs_sh
def test_keys_are_not_told_without_the_secret(config: Path, tmp_path: Path) -> None:
    lent = lent_by(tmp_path / "lent")
    assert lent is not None
    endpoint = Endpoint(HeldKeys([lent.aws], Aws), lambda *_: {}, lambda *_: None, lent)
    for path in (lent.path[:-1], f"{lent.path}x", endpoint.path + lent.path, "/"):
        told = endpoint.handle(Request("GET", path, (), b""))
        assert b"ASIA" not in b"".join(told.chunks)
        assert told.status in {403, 404}
    assert endpoint.handle(Request("GET", lent.path, (), b"")).status == 200


@needs_sh
def test_the_document_tells_when_the_keys_expire(config: Path, tmp_path: Path) -> None:
    lent = lent_by(tmp_path / "lent")
    assert lent is not None
    found = json.loads(lent.document())
    assert found["Expiration"].startswith("2099-01-01")
    assert found["Version"] == 1


@needs_sh
def test_no_secret_is_in_the_files(config: Path, tmp_path: Path) -> None:
    assert lent_by(tmp_path / "lent")
    for path in (tmp_path / "lent").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "ASIA" not in path.read_text()


@needs_sh
@pytest.mark.parametrize("where", ["config", "credentials"])
def test_static_keys_in_a_file_are_not_copied_and_would_win(
    config: Path, tmp_path: Path, where: str
) -> None:
    if where == "config":
        with config.open("a") as file:
            file.write("[profile other]\naws_access_key_id = AKIA\naws_secret_access_key = s\n")
    else:
        (tmp_path / "credentials").write_text("[work]\nrole_arn = x\n")
        with config.open("a") as file:
            file.write("role_arn = x\ncredential_source = Environment\n")
    assert lent_by(tmp_path / "lent") is None


def test_keys_in_the_environment_are_the_commands_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert lent_by(tmp_path / "lent") is None


def test_without_credentials_none_are_lent(tmp_path: Path) -> None:
    assert lent_by(tmp_path / "lent") is None
