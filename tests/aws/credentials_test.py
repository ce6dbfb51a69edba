"""Assumed roles: the code is asked for once, the session is kept in the keyring only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from keyring import core

from sm_proxy.aws import credentials
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import file_lock, prompt, secret_store
from tests.aws.local_service import LocalService
from tests.fakes import MemoryKeyring, tree

SERIAL = "arn:aws:iam::123456789012:mfa/me"
ROLE = "arn:aws:iam::123456789012:role/r"
CONFIG = f"""
[profile keys]
aws_access_key_id = AKIALONGLIVED
aws_secret_access_key = long-lived-secret
[profile mfa]
role_arn = {ROLE}
source_profile = keys
mfa_serial = {SERIAL}
[profile other]
role_arn = {ROLE}
source_profile = keys
mfa_serial = {SERIAL}
[profile plain]
role_arn = {ROLE}
source_profile = keys
[profile chained]
role_arn = {ROLE}2
source_profile = mfa
[profile sso]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = r
[profile from-sso]
role_arn = {ROLE}
source_profile = sso
[profile no-source]
role_arn = {ROLE}
source_profile = nothing
"""
ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials><AccessKeyId>ASIA{number}</AccessKeyId>
<SecretAccessKey>secret-{number}</SecretAccessKey><SessionToken>session-token-{number}</SessionToken>
<Expiration>{end}</Expiration></Credentials><AssumedRoleUser><Arn>{role}/s</Arn>
<AssumedRoleId>x:s</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"""
REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>{words}</Message></Error></ErrorResponse>"""
WRONG = "MultiFactorAuthentication failed with invalid MFA one time pass code. "


class Sts(LocalService):
    """An STS whose sessions last a given number of seconds."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        self.lasts = 3600
        self.refuses: list[str] = []
        sts = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sts.requests.append(dict(parse_qsl(body.decode())))
                end = datetime.now(timezone.utc) + timedelta(seconds=sts.lasts)
                status, text = (
                    200,
                    ASSUMED.format(
                        number=len(sts.requests), end=end.strftime("%Y-%m-%dT%H:%M:%SZ"), role=ROLE
                    ),
                )
                if sts.refuses:
                    status, text = 403, REFUSED.format(words=sts.refuses.pop(0))
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(Handler)

    def codes(self) -> list[str | None]:
        return [request.get("TokenCode") for request in self.requests]


@pytest.fixture(autouse=True)
def sts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sts]:
    running = Sts()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> MemoryKeyring:
    backend = MemoryKeyring()
    monkeypatch.setattr(core, "get_keyring", lambda: backend)
    monkeypatch.setattr(core, "load_env", lambda: None)
    monkeypatch.setattr(core, "load_config", lambda: None)
    return backend


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions; each is answered with its number."""
    questions: list[str] = []

    def ask(question: str, *, terminal: bool) -> str:
        questions.append(question if terminal else f"not on the terminal: {question}")
        return f"{len(questions):06}"

    monkeypatch.setattr(prompt, "ask", ask)
    return questions


@pytest.fixture
def no_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_store, "find", lambda: None)


def key_of(profile: str, aws: Aws | None = None) -> str:
    """The access key that the calls of a new process would be signed with."""
    return signs_with((aws or Aws(profile=profile))._client("sts"))


def signs_with(client: Any) -> str:
    """The access key of a client's next call."""
    return str(client._get_credentials().get_frozen_credentials().access_key)


def refusal(profile: str) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        Aws(profile=profile).call("sts", "GetCallerIdentity")
    assert "secret" not in caught.value.line
    return caught.value


def test_a_code_is_asked_for_once(sts: Sts, asked: list[str], tmp_path: Path) -> None:
    assert key_of("mfa") == key_of("mfa") == "ASIA1"
    assert asked == [f"MFA code of {SERIAL} (AWS profile mfa):"]
    assert sts.codes() == ["000001"]
    kept = b"".join(content for name, content in tree(tmp_path).items() if name != "aws/config")
    assert b"ASIA" not in kept
    assert b"secret" not in kept
    assert b"session-token" not in kept


def test_a_kept_session_needs_no_network(
    sts: Sts, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key_of("mfa")
    calls = len(sts.requests)
    assert key_of("mfa") == "ASIA1"
    assert len(sts.requests) == calls


def test_each_profile_has_a_session_of_its_own(sts: Sts, ring: MemoryKeyring) -> None:
    assert (key_of("mfa"), key_of("other"), key_of("mfa")) == ("ASIA1", "ASIA2", "ASIA1")
    assert sorted(name.split()[0] for _, name in ring.items) == ["mfa", "other"]


def test_each_endpoint_has_a_session_of_its_own(
    sts: Sts, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key_of("mfa")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    key_of("mfa")
    assert len(asked) == 2


@pytest.mark.parametrize(("lasts", "times"), [(30, 2), (900, 1), (3600, 1)])
def test_a_kept_session_is_used_until_it_expires(
    lasts: int, times: int, sts: Sts, asked: list[str]
) -> None:
    """Also one of a quarter of an hour, the shortest possible, which botocore treats as expired."""
    sts.lasts = lasts
    key_of("mfa")
    sts.lasts = 3600
    key_of("mfa")
    assert len(asked) == times


def test_a_wrong_clock_is_an_error(sts: Sts, asked: list[str]) -> None:
    sts.lasts = -5
    error = refusal("mfa")
    assert (error.code, error.hint) == ("expired-credentials", "Set this machine's clock.")


def test_a_renewal_during_a_connection_does_not_ask_on_its_terminal(
    sts: Sts, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: False)
    monkeypatch.setattr(credentials, "_RENEWED_S", 120)
    sts.lasts = 50
    client = Aws(profile="mfa")._client("sts")
    sts.lasts = 3600
    assert signs_with(client) == "ASIA2"
    assert asked[1].startswith("not on the terminal: ")


def test_a_session_saved_by_another_connection_is_used(
    sts: Sts, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_RENEWED_S", 120)
    sts.lasts = 50
    client = Aws(profile="mfa")._client("sts")
    sts.lasts = 3600
    key_of("mfa")
    assert signs_with(client) == "ASIA2"
    assert len(asked) == 2


def test_concurrent_connections_ask_once(sts: Sts, asked: list[str]) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(key_of("mfa"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == ["ASIA1"] * 4
    assert len(asked) == 1


def test_a_role_without_mfa_is_kept_too(sts: Sts, asked: list[str]) -> None:
    assert key_of("plain") == key_of("plain") == "ASIA1"
    assert asked == []


def test_a_chain_of_roles_asks_for_the_code_of_the_inner_role(sts: Sts, asked: list[str]) -> None:
    assert key_of("chained") == key_of("chained") == "ASIA2"
    assert [request["RoleArn"] for request in sts.requests] == [ROLE, f"{ROLE}2"]
    assert len(asked) == 1


def test_without_a_keyring_each_connection_asks(
    no_ring: None, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (key_of("mfa"), key_of("mfa")) == ("ASIA1", "ASIA2")
    assert len(asked) == 2
    assert capsys.readouterr().err.count("no usable keyring") == 1
    assert set(tree(tmp_path / "state").values()) == {b""}


def test_without_a_keyring_a_role_without_mfa_is_silent(
    no_ring: None, capsys: pytest.CaptureFixture[str]
) -> None:
    key_of("plain")
    assert capsys.readouterr().err == ""


def test_a_wrong_code_is_asked_for_again(sts: Sts, asked: list[str]) -> None:
    sts.refuses = [WRONG]
    assert key_of("mfa") == "ASIA2"
    assert asked[1].startswith("That code was not accepted. MFA code of ")
    assert sts.codes() == ["000001", "000002"]


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "12345x", "\u0661\u0662\u0663\u0664\u0665\u0666", "-12345"]
)
def test_an_invalid_code_is_asked_for_again_and_never_sent(
    sts: Sts, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    answers = [typed, typed, "123456"]
    monkeypatch.setattr(prompt, "ask", lambda *_, **__: answers.pop(0))
    assert key_of("mfa") == "ASIA1"
    assert sts.codes() == ["123456"]
    answers = [typed] * 9
    error = refusal("other")
    assert error.code == "no-credentials"
    assert "six digits" in error.message
    assert len(answers) == 6
    assert sts.codes() == ["123456"]


def test_a_code_with_a_space_is_accepted(sts: Sts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "ask", lambda *_, **__: " 123 456\n")
    assert key_of("mfa") == "ASIA1"
    assert sts.codes() == ["123456"]


def test_a_code_is_asked_for_three_times_at_most(sts: Sts, asked: list[str]) -> None:
    sts.refuses = [WRONG] * 9
    error = refusal("mfa")
    assert error.code == "access-denied"
    assert "sts:AssumeRole" in error.message
    assert "MultiFactorAuthentication failed" in error.message
    assert len(asked) == 3


def test_a_role_that_may_not_be_assumed_is_an_error(sts: Sts, asked: list[str]) -> None:
    sts.refuses = ["User is not authorized to perform: sts:AssumeRole"]
    error = refusal("mfa")
    assert error.code == "access-denied"
    assert len(asked) == 1


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(question: str, **_: object) -> str:
        raise prompt.NobodyToAskError("there is no terminal")

    monkeypatch.setattr(prompt, "ask", ask)


def test_without_a_terminal_the_login_command_is_named(nobody: None) -> None:
    error = refusal("mfa")
    assert error.code == "no-credentials"
    assert SERIAL in error.message
    assert error.hint == "Type the code once in a terminal: sm-proxy login --profile mfa"


def test_a_wrong_code_without_a_terminal_is_an_error(
    sts: Sts, monkeypatch: pytest.MonkeyPatch
) -> None:
    sts.lasts = 30
    key_of("mfa")

    def ask(question: str, **_: object) -> str:
        raise prompt.NobodyToAskError("there is no terminal")

    monkeypatch.setattr(prompt, "ask", ask)
    assert refusal("mfa").code == "expired-credentials"


def test_without_a_terminal_and_keyring_the_hint_names_both(nobody: None, no_ring: None) -> None:
    hint = refusal("mfa").hint
    assert hint.startswith("Connect from a terminal, or set SSH_ASKPASS. With a keyring")


def test_a_damaged_keyring_item_is_ignored(ring: MemoryKeyring, asked: list[str]) -> None:
    key_of("mfa")
    ((name, item),) = ring.items.items()
    for number, nonsense in enumerate(("{}", "[]", "nonsense", '{"Expiration": 5}'), 2):
        head = item.split(" ", 2)
        ring.items[name] = " ".join([*head[:2], nonsense])
        key_of("mfa")
        assert len(asked) == number


def test_an_expired_sso_login_names_its_profile(sts: Sts) -> None:
    for profile in ("sso", "from-sso"):
        error = refusal(profile)
        assert error.code == "expired-credentials"
        assert error.hint.endswith("sm-proxy login --profile sso")
    assert sts.requests == []


def test_a_profile_that_cannot_work_is_an_error(sts: Sts) -> None:
    assert refusal("no-source").code == "no-credentials"


@pytest.mark.parametrize(
    ("named", "keys", "role"), [(True, True, True), (False, True, False), (False, False, True)]
)
def test_keys_in_the_environment_win_over_a_role(
    named: bool, keys: bool, role: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mfa")
    if keys:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    aws = Aws(profile="mfa" if named else None)
    assert key_of("", aws) == ("ASIA1" if role else "AKIAENVIRONMENT")


def test_a_profile_without_a_role_never_looks_at_the_keyring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secret_store, "find", lambda: pytest.fail("the keyring was opened"))
    assert key_of("keys") == "AKIALONGLIVED"


def test_the_wait_for_another_process_that_asks_ends(
    monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    monkeypatch.setattr(file_lock, "WRITER_S", 0)
    given = threading.Event()

    def ask(question: str, *, terminal: bool) -> str:
        del question, terminal
        with pytest.raises(SmProxyError) as caught:
            key_of("mfa")
        asked.append(caught.value.line)
        given.set()
        return "000001"

    monkeypatch.setattr(prompt, "ask", ask)
    assert key_of("mfa") == "ASIA1"
    assert given.is_set()
    assert asked[0].startswith(f"sm-proxy: busy: process {os.getpid()} (since ")
    assert "AWS profile mfa, whose MFA code it asks for" in asked[0]
