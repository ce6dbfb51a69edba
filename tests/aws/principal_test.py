from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.credentials import AssumeRoleWithWebIdentityProvider, Credentials

from sm_proxy.aws import principal
from sm_proxy.aws.clients import Aws

CONFIG = """
[default]
region = eu-west-1
[profile other]
region = eu-west-1
"""
KEYS = "[default]\naws_access_key_id = AKIAONE\naws_secret_access_key = one-secret-key\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "credentials").write_text(KEYS)
    (tmp_path / ".aws" / "sso" / "cache").mkdir(parents=True)
    (tmp_path / ".aws" / "sso" / "cache" / "1.json").write_text('{"accessToken": "one"}')
    return tmp_path


def log_in_again(home: Path) -> None:
    token = home / ".aws" / "sso" / "cache" / "1.json"
    (home / "new").write_text('{"accessToken": "two"}')
    (home / "new").replace(token)


CHANGES: dict[str, Callable[[Path], object]] = {
    "profile": lambda _: os.environ.update(AWS_PROFILE="other"),
    "region": lambda _: os.environ.update(AWS_REGION="us-east-1"),
    "key": lambda _: os.environ.update(AWS_ACCESS_KEY_ID="AKIATWO"),
    "token": lambda _: os.environ.update(AWS_SESSION_TOKEN="another"),
    "endpoint": lambda _: os.environ.update(AWS_ENDPOINT_URL_SSM="https://elsewhere"),
    "proxy": lambda _: os.environ.update(https_proxy="http://proxy:3128"),
    "certificates": lambda _: os.environ.update(REQUESTS_CA_BUNDLE="/ca.pem"),
    "state": lambda _: os.environ.update(SM_PROXY_STATE_DIR="/elsewhere"),
    "role": lambda home: (home / "config").write_text(CONFIG + "role_arn = arn:x\n"),
    "keys": lambda home: (home / "credentials").write_text(KEYS.replace("ONE", "TWO")),
    "no keys": lambda home: (home / "credentials").unlink(),
    "files": lambda home: os.environ.update(AWS_CONFIG_FILE=str(home / "credentials")),
    "login": log_in_again,
    "first login": lambda home: (home / ".aws/sso/cache/2.json").write_text("{}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_possible_change_of_the_principal_changes_the_fingerprint(
    change: Callable[[Path], object], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = principal.fingerprint(Aws())
    monkeypatch.setattr(os, "environ", os.environ.copy())
    change(home)
    assert principal.fingerprint(Aws()) != before


def test_another_profile_or_region_of_the_settings_is_another_principal() -> None:
    found = {principal.fingerprint(aws) for aws in (Aws(), Aws("other"), Aws(region="us-east-1"))}
    assert len(found) == 3


def test_other_variables_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = principal.fingerprint(Aws())
    for name in ("TERM", "SM_PROXY_LOG", "SM_PROXY_KEEP_SESSION", "SSH_AUTH_SOCK"):
        monkeypatch.setenv(name, "another")
    assert principal.fingerprint(Aws()) == before


def test_a_fingerprint_needs_no_files(home: Path) -> None:
    for name in ("config", "credentials"):
        (home / name).unlink()
    (home / ".aws" / "sso" / "cache" / "1.json").unlink()
    (home / ".aws" / "sso" / "cache").rmdir()
    assert principal.fingerprint(Aws()) == principal.fingerprint(Aws())


def test_a_fingerprint_needs_no_working_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := home / "gone").mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("AWS_CONFIG_FILE", "config")
    try:
        gone.rmdir()
    except OSError:
        pytest.skip("this system keeps the folder of a process")
    assert principal.surroundings() == principal.surroundings()


def test_the_keys_of_files_and_variables_are_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws()
    assert not principal.is_certain(aws)  # nothing is known before a call
    aws.keys()
    assert principal.is_certain(aws)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAVARIABLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-variable")
    aws = Aws()
    aws.keys()
    assert (aws.credential_source, principal.is_certain(aws)) == ("env", True)


def test_a_web_identity_is_that_of_its_token(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = home / "token"
    token.write_text("of one")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    aws = Aws()
    method = AssumeRoleWithWebIdentityProvider.METHOD
    monkeypatch.setattr(aws.session, "_credentials", Credentials("AKIA", "key", "token", method))
    assert principal.is_certain(aws)
    known = principal.fingerprint(aws)
    assert principal.fingerprint(Aws()) == known
    token.write_text("of another")
    assert principal.fingerprint(Aws()) != known


def test_only_the_keys_tell_for_whom_a_program_has_got_them(home: Path) -> None:
    script = home / "keys"
    keys = {"Version": 1, "AccessKeyId": "AKIAPROGRAM", "SecretAccessKey": "of-the-program"}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(keys)}'\n")
    script.chmod(0o700)
    (home / "config").write_text(CONFIG + f"credential_process = {script}\n")
    aws = Aws("other")
    known = principal.fingerprint(aws)
    first = principal.of_keys(known, aws)
    assert not principal.is_certain(aws)
    script.write_text(script.read_text().replace("PROGRAM", "ANOTHER"))
    aws = Aws("other")
    assert principal.fingerprint(aws) == known
    assert principal.of_keys(known, aws) != first


ROLE = """
[profile role]
role_arn = arn:aws:iam::123456789012:role/role
source_profile = source
[profile source]
"""


@pytest.mark.parametrize(
    "setting",
    ["credential_process", "credential_source", "login_session", "web_identity_token_file"],
)
@pytest.mark.parametrize("of_the_source", [True, False])
def test_where_the_source_of_a_role_gets_keys_from_elsewhere_only_the_keys_tell(
    setting: str, *, of_the_source: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = "" if of_the_source else "[profile another]\n"
    (home / "config").write_text(f"{CONFIG}{ROLE}{elsewhere}{setting} = x\n")
    aws = Aws("role")
    keys = Credentials("AKIA", "key", "token", "assume-role")
    monkeypatch.setattr(aws.session, "_credentials", keys)
    assert principal.is_certain(aws) is not of_the_source
