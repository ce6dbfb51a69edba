"""Secrets are known by their values: whole, in pieces, however they are written."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, urlencode

import pytest

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import output, prompt, secret_values
from sm_proxy.local.output import Result
from sm_proxy.local.redaction import redact

# They do not look like tokens: they are words without a long run of letters.
TOKEN = 'aoaAAA:plain/words+and\x0ba \u00fcber="quoted"\\part;of.one~thing-1:2:3'
KEY = "wJal rXUt/nFEMI\nK7MD+ENG'bPxR%fiCY EXAM"
PIECES = [TOKEN[:12], TOKEN[-12:], TOKEN[20:40], KEY[:10], KEY[-10:]]

WRITTEN: dict[str, Callable[[str], str]] = {
    "whole": str,
    "repr": repr,
    "repr of repr": lambda secret: repr(repr(secret)),
    "repr of bytes": lambda secret: repr(secret.encode()),
    "json": json.dumps,
    "json of json": lambda secret: json.dumps(json.dumps(secret)),
    "json of utf-8": lambda secret: json.dumps(secret, ensure_ascii=False),
    "url": quote,
    "whole url": lambda secret: quote(secret, safe=""),
    "lower url": lambda secret: quote(secret, safe="").replace("%3A", "%3a").replace("%2F", "%2f"),
    "form": lambda secret: urlencode({"k": secret}),
    "form value": quote_plus,
    "header": lambda secret: base64.b64encode(secret.encode()).decode(),
    "basic": lambda secret: base64.b64encode(f"me:{secret}".encode()).decode(),
    "basic of another": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "lines": lambda secret: "\n    ".join(textwrap.wrap(secret, 9)),
    "cut lines": lambda secret: "\n".join(secret[at : at + 7] for at in range(0, len(secret), 7)),
    "printable": printable,
}


def leaks(secret: str, text: str) -> list[str]:
    """The pieces of a secret that text still holds, in any of the ways to write them."""
    found = []
    for write in WRITTEN.values():
        form = write(secret)
        found += [form[at : at + 10] for at in range(len(form) - 9) if form[at : at + 10] in text]
    return found


@pytest.mark.parametrize("secret", [TOKEN, KEY])
@pytest.mark.parametrize("way", WRITTEN)
def test_a_secret_is_removed_in_every_encoding(secret: str, way: str) -> None:
    text = f"Invalid header value {WRITTEN[way](secret)} was refused"
    secret_values.keep(secret)
    shown = redact(text)
    assert not leaks(secret, shown), shown
    assert shown.startswith("Invalid header value ")
    assert shown.endswith(" was refused")
    assert "[redacted]" in shown


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_a_long_secret_is_removed(piece: str) -> None:
    secret_values.keep(TOKEN, KEY)
    shown = redact(f"it begins with {piece}... and so on")
    assert piece not in shown
    assert shown.startswith("it begins with [redacted]")


def test_text_without_a_secret_is_unchanged() -> None:
    text = 'the job "plain" \\ has no words:\n\tnothing of a thing\ufffd'
    assert redact(text) == text
    secret_values.keep(TOKEN, KEY, "", None, 5, b"")
    assert redact(text) == text
    assert redact("") == ""


def test_a_short_code_is_removed_only_as_a_whole_word() -> None:
    secret_values.keep("123456")
    assert redact("Value '123456' at 'tokenCode'") == "Value '[redacted]' at 'tokenCode'"
    assert redact("Value 123456 at") == "Value [redacted] at"
    assert redact("account 1123456789012") == "account 1123456789012"
    assert secret_values.strike("a 123456", in_data=True) == "a 123456"


def test_short_keys_of_a_test_account_are_not_secrets() -> None:
    secret_values.keep_fields({"SecretAccessKey": "test", "aws_session_token": "testing"})
    assert redact("the job test is testing") == "the job test is testing"


@pytest.mark.parametrize(
    "document",
    [
        {"Credentials": {"SecretAccessKey": TOKEN}},
        {"roleCredentials": {"sessionToken": TOKEN}},
        {"accessToken": TOKEN},
        {"TokenValue": TOKEN},
        {"tokenInput": {"refreshToken": TOKEN}},
        {"profiles": {"a": {"aws_secret_access_key": TOKEN}}},
        {"WebIdentityToken": TOKEN},
        {"Plaintext": TOKEN.encode()},
        [{"clientSecret": TOKEN}],
    ],
)
def test_secret_fields_are_remembered(document: object) -> None:
    secret_values.keep_fields(document)
    assert not leaks(TOKEN, redact(f"it says {TOKEN}"))


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
        *("AWS_BEARER_TOKEN_BEDROCK", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        "SM_PROXY_TEST_PASSPHRASE",
    ],
)
def test_secret_variables_are_removed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, TOKEN)
    assert not leaks(TOKEN, redact(f"it says {TOKEN}"))


def test_the_token_in_a_containers_file_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "t"))
    assert redact(TOKEN) == TOKEN
    (tmp_path / "t").write_text(TOKEN)
    assert not leaks(TOKEN, redact(f"it says {TOKEN}"))


@pytest.mark.parametrize(
    "proxy", ["http://me:s3cr%40t@proxy:3128", "me:s3cr%40t@proxy:3128", "HTTP://me:s3cr%40t@p"]
)
def test_the_password_of_a_proxy_is_removed(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    assert "s3cr" not in redact(f"Failed to connect to proxy URL: {proxy}")
    assert "s3cr" not in redact("the proxy refuses s3cr%40t")


@pytest.mark.parametrize("login", ["me:P%40ssw%2Frd%21XyZ", "P%40ssw%2Frd%21XyZ-for-all"])
def test_the_decoded_password_of_a_proxy_is_removed(
    login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore sends the decoded password, and a proxy may repeat it in its refusal."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://{login}@proxy:3128")
    sent = unquote(login)
    header = base64.b64encode(sent.encode()).decode()
    shown = redact(f"502 no entry for {sent} ({header}) at http://{login}@proxy:3128")
    assert not any(leak in shown for leak in ("P@ss", "P%40", header[8:16], "XyZ")), shown
    assert shown.startswith("502 no entry for ")


def test_the_login_in_any_url_is_removed() -> None:
    shown = redact("cannot reach https://me:pa:ss/word@example.com/x, nor http://host:80/a")
    assert shown == "cannot reach https://[redacted]@example.com/x, nor http://host:80/a"


def test_a_private_key_is_removed() -> None:
    lines = [
        "-----BEGIN EC PRIVATE KEY-----",
        "MHcCAQEEIAbc",
        "def",
        "-----END EC PRIVATE KEY-----",
    ]
    for text in ("\n".join(lines), "\\n".join(lines), "\n".join(lines[:2])):
        assert "MHcC" not in redact(f"key: {text} x")
    assert redact("\n".join([*lines, "after"])).endswith("-----END EC PRIVATE KEY-----\nafter")


def test_status_lines_and_results_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    secret_values.keep(TOKEN)
    output.status(f"the service says {TOKEN}")
    output.render("list", Result({"reason": f"aws-error: {TOKEN}"}), as_json=True)
    output.render("list", Result({}, f"aws-error: {TOKEN}"), as_json=False)
    output.render_error("list", SmProxyError("aws-error", TOKEN), as_json=True)
    failure = SmProxyError("aws-error", TOKEN[:30], TOKEN[30:])
    output.render("list", Result({}, exit_status=1, failure=failure), as_json=True)
    captured = capsys.readouterr()
    assert not leaks(TOKEN, captured.out + captured.err)
    assert json.loads(captured.out.splitlines()[0])["data"] == {"reason": "aws-error: [redacted]"}


def test_a_typed_answer_is_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho correct horse battery\n")
    askpass.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(askpass))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    assert prompt.ask("Passphrase:") == "correct horse battery"
    assert redact("bad decrypt of correct horse battery") == "bad decrypt of [redacted]"
