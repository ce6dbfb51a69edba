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
    old, new = CONFIG.splitlines(), lent_keys.asking_us(CONFIG, profile, ["program"]).splitlines()
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
    added = ["[profile none]", "credential_process = program"]
    assert changed_lines("none") == ([], added)


def test_a_file_without_profiles_gets_one() -> None:
    found = lent_keys.asking_us("", "default", ["program"])
    assert found == "[default]\ncredential_process = program\n"


def test_keys_of_other_profiles_are_not_copied() -> None:
    text = (
        "[profile work]\nrole_arn = x\n[profile a b]\nregion = eu-west-1\nAWS_ACCESS_KEY_ID: AKIA\n"
        "aws_secret_access_key =\n  secret\n# aws_session_token = old\ncredential_process = own\n"
    )
    assert lent_keys.asking_us(text, "work", ["program"]) == (
        "[profile work]\ncredential_process = program\n"
        "[profile a b]\ncredential_process = program 'a b'\nregion = eu-west-1\n"
    )


def test_a_file_may_end_without_a_line_end() -> None:
    found = lent_keys.asking_us("[default]", "default", ["program"])
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
    return lent_keys.lend(Aws(), _made(folder))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def shown_by(
    lent: lent_keys.LentKeys, profile: str | None, endpoint: Endpoint | None = None
) -> list[str]:
    """The keys that botocore finds in another process: their source, their id and token."""
    endpoint = endpoint or Endpoint(HeldKeys([lent.aws], Aws), lambda *_: {}, lambda *_: None, lent)
    with LoopbackServer(endpoint.handle, endpoint.admits) as server:
        variables = lent.environment(os.environ, server.url)
        done = subprocess.run(
            [sys.executable, "-c", SHOW],
            env={**variables, "HTTP_PROXY": "http://127.0.0.1:1", "AWS_PROFILE": profile or "work"},
            capture_output=True,
            check=True,
            timeout=60,
        )
    return done.stdout.decode().split()


@needs_sh
def test_the_command_gets_our_keys(config: Path, tmp_path: Path) -> None:
    lent = lent_by(tmp_path / "lent")
    assert lent is not None

    def add(*_: object) -> dict[str, object]:
        raise AssertionError

    held = HeldKeys([lent.aws], Aws)
    endpoint = Endpoint(held, add, lambda *_: None, lent)
    method, access_key, token = shown_by(lent, None, endpoint)
    ours = lent.aws.keys()
    assert (method, access_key, token) == ("custom-process", ours.access_key, ours.token)
    assert held.find(access_key)


@needs_sh
def test_keys_are_not_given_without_the_secret(config: Path, tmp_path: Path) -> None:
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
    found = json.loads(lent.document("") or b"")
    assert found["Expiration"].startswith("2099-01-01")
    assert found["Version"] == 1


@needs_sh
def test_no_secret_is_in_the_files(config: Path, tmp_path: Path) -> None:
    assert lent_by(tmp_path / "lent")
    for path in (tmp_path / "lent").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert "ASIA" not in path.read_text()


@needs_sh
def test_profiles_with_keys_of_their_own_get_these(config: Path, tmp_path: Path) -> None:
    with config.open("a") as file:
        file.write("[profile a/b]\naws_access_key_id = AKIA\naws_secret_access_key = top\n")
    lent = lent_by(tmp_path / "lent")
    assert lent is not None
    assert shown_by(lent, "a/b") == ["custom-process", "AKIA", "None"]
    assert shown_by(lent, None)[1] == lent.aws.keys().access_key
    assert "top" not in (tmp_path / "lent" / "config_file").read_text()
    for below in ("/work", "/none", "a/b"):
        assert lent.document(below) is None


@needs_sh
def test_keys_in_the_credentials_file_do_not_win(config: Path, tmp_path: Path) -> None:
    program = config.read_text().partition("credential_process")[2]
    config.write_text("[profile other]\nregion = eu-west-1\n")
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[work]\ncredential_process{program}[keys]\naws_access_key_id = AKIA\n"
        "aws_secret_access_key = top\n"
    )
    lent = lent_by(tmp_path / "lent")
    assert lent is not None
    assert shown_by(lent, None)[1] == lent.aws.keys().access_key
    assert shown_by(lent, "keys")[1] == "AKIA"
    assert "top" not in (tmp_path / "lent" / "credentials_file").read_text()


def test_the_web_identity_of_the_environment_makes_place() -> None:
    lent = lent_keys.LentKeys("/secret", {"AWS_CONFIG_FILE": "ours"}, Aws())
    before = {"AWS_WEB_IDENTITY_TOKEN_FILE": "token", "AWS_CONFIG_FILE": "old", "OTHER": "x"}
    found = lent.environment(before, "http://127.0.0.1:1")
    url = {"SM_PROXY_LAUNCH_KEYS_URL": "http://127.0.0.1:1/secret"}
    assert found == {"AWS_CONFIG_FILE": "ours", "OTHER": "x", **url}


@pytest.mark.parametrize("where", ["variable", "profile"])
def test_ignored_endpoints_of_a_profile_stay_without_effect(
    where: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "[profile work]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\nservices = own\n"
        "aws_access_key_id = AKIA\naws_secret_access_key = top\n"
        "[services own]\ns3 =\n  endpoint_url = http://127.0.0.1:1\n"
    )
    if where == "profile":
        text = text.replace("region", "ignore_configured_endpoint_urls = True\nregion")
    else:
        monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE")
    config.write_text(text)
    assert Aws().ignores_endpoints
    lent = lent_keys.lend(Aws(), _made(tmp_path / "lent"), endpoints=False)
    assert lent is not None
    for name, value in lent.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false")
    for service in ("s3", "sts"):
        assert Aws().endpoint(service).endswith(".amazonaws.com")
    assert shown_by(lent, None) == ["custom-process", "AKIA", "None"]


def test_keys_in_the_environment_are_the_commands_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert lent_by(tmp_path / "lent") is None


def test_without_credentials_no_keys_are_lent(tmp_path: Path) -> None:
    assert lent_by(tmp_path / "lent") is None
