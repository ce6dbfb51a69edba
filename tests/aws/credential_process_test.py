"""A credential_process that prints invalid credentials, fails or hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.aws import credential_process
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local import prompt
from sm_proxy.local.redaction import redact
from tests.soak import product
from tests.waits import await_true

ROLE = "arn:aws:iam::123456789012:role/r"
GOOD = {"Version": 1, "AccessKeyId": "AKIAHELPED", "SecretAccessKey": "s", "SessionToken": "t"}
Printing = Callable[[str], Aws]


@pytest.fixture
def printing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Printing:
    """The calls of a profile whose credential_process prints the given text."""
    (tmp_path / "aws").mkdir()
    printed, config = tmp_path / "printed", tmp_path / "aws" / "config"
    config.write_text(f"[profile helped]\ncredential_process = cat {printed}\n")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    def aws(text: str) -> Aws:
        printed.write_text(text)
        return Aws(profile="helped")

    return aws


def key_of(aws: Aws) -> str:
    client: Any = aws._client("sts")
    return str(client._get_credentials().get_frozen_credentials().access_key)


@pytest.mark.parametrize("more", [{}, {"SessionToken": None}, {"Expiration": None}])
@pytest.mark.parametrize("end", ["2099-01-01T00:00:00Z", "20990101T000000Z"])
def test_valid_output_is_accepted(printing: Printing, more: dict[str, Any], end: str) -> None:
    assert key_of(printing(json.dumps({**GOOD, "Expiration": end, **more}))) == "AKIAHELPED"


@pytest.mark.parametrize(
    ("printed", "code", "expected"),
    [
        ("", "aws-error", "no JSON"),
        ("please log in", "aws-error", "no JSON"),
        ("null", "aws-error", "JSON that is not an object"),
        ("[]", "aws-error", "JSON that is not an object"),
        ("{}", "aws-error", "no AccessKeyId"),
        ({"Version": 2}, "aws-error", "version 2"),
        ({"Version": "1"}, "aws-error", "version '1'"),
        ({"Version": None}, "aws-error", "version None"),
        ({"Version": {}}, "aws-error", "version {}"),
        ("[" * 100_000, "aws-error", "no JSON"),
        ({"AccessKeyId": 5}, "aws-error", "no AccessKeyId"),
        ({"AccessKeyId": ""}, "aws-error", "no AccessKeyId"),
        ({"SecretAccessKey": ""}, "aws-error", "no SecretAccessKey"),
        ({"SecretAccessKey": None}, "aws-error", "no SecretAccessKey"),
        ({"SessionToken": ["t"]}, "aws-error", "a SessionToken that is not a string"),
        ({"Expiration": "soon"}, "aws-error", "not a time"),
        ({"Expiration": 1}, "aws-error", "not a string"),
        ({"Expiration": "2099-01-01T00:00:00"}, "aws-error", "without a time zone"),
        ({"Expiration": "2001-01-01T00:00:00Z"}, "expired-credentials", "2001-01-01"),
    ],
)
def test_invalid_output_is_explained(
    printing: Printing, printed: str | dict[str, Any], code: Code, expected: str
) -> None:
    text = printed if isinstance(printed, str) else json.dumps({**GOOD, **printed})
    with pytest.raises(SmProxyError, match=expected) as caught:
        printing(text).call("sts", "GetCallerIdentity")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("program", "code", "expected"),
    [
        ("echo who are you >&2; exit 3", "no-credentials", "status 3: who are you"),
        ("printf '\\\\377' >&2; exit 255", "no-credentials", "status 255: \ufffd"),
        ("exit 1", "no-credentials", "status 1$"),
        ("kill -9 $$", "no-credentials", "signal 9"),
        ("printf '\\\\377'", "aws-error", "no JSON"),
    ],
)
def test_the_exit_status_of_the_program_is_explained(
    printing: Printing, tmp_path: Path, program: str, code: Code, expected: str
) -> None:
    aws = printing("")
    config = f'[profile helped]\ncredential_process = sh -c "{program}"\n'
    (tmp_path / "aws" / "config").write_text(config)
    with pytest.raises(SmProxyError, match=expected) as caught:
        aws.call("sts", "GetCallerIdentity")
    assert (caught.value.code, "by hand" in caught.value.hint) == (code, True)


def test_a_program_that_does_not_end_is_killed(
    printing: Printing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(credential_process, "_REPORTED_AFTER_S", 0.1)
    monkeypatch.setattr(credential_process, "_LIMIT_S", 1.0)
    aws = printing("")
    (tmp_path / "aws" / "config").write_text("[profile helped]\ncredential_process = sleep 300\n")
    with pytest.raises(SmProxyError, match="did not end within 1 s") as caught:
        aws.call("sts", "GetCallerIdentity")
    assert caught.value.code == "no-credentials"
    assert "waiting for the credential_process" in capsys.readouterr().err


def test_broken_output_is_treated_as_secret(printing: Printing) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    with pytest.raises(SmProxyError):
        printing(f'{{"AccessKeyId": "AKIAX", "SecretAccessKey": "{secret}').call("sts", "X")
    assert secret not in redact(f"it said {secret}")


def test_errors_of_the_program_show_no_secret(printing: Printing, tmp_path: Path) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    aws = printing(json.dumps({**GOOD, "SecretAccessKey": secret}))
    program = f"cat {tmp_path}/printed; echo got {secret} >&2; exit 3"
    config = f'[profile helped]\ncredential_process = sh -c "{program}"\n'
    (tmp_path / "aws" / "config").write_text(config)
    with pytest.raises(SmProxyError, match="status 3: got") as caught:
        aws.call("sts", "GetCallerIdentity")
    assert redact(caught.value.message).endswith("got [redacted]")


def test_an_empty_command_is_an_expected_error(printing: Printing, tmp_path: Path) -> None:
    aws = printing("")
    (tmp_path / "aws" / "config").write_text("[profile helped]\ncredential_process =\n")
    with pytest.raises(SmProxyError, match="is empty") as caught:
        aws.call("sts", "GetCallerIdentity")
    assert caught.value.code == "aws-error"


SLOW_START = """
import subprocess, sys, time
start = subprocess.Popen._execute_child
def started(*words):
    start(*words)
    time.sleep(5)
subprocess.Popen._execute_child = started
from sm_proxy import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("profile", "program"),
    product(["helped", "from-helped"], [("-c", SLOW_START), ("-m", "sm_proxy")]),
)
def test_a_credential_process_that_hangs_does_not_outlive_us(
    tmp_path: Path, profile: str, program: tuple[str, str]
) -> None:
    pid = tmp_path / "pid"
    helper = f"sh -c 'echo $$ >{pid}.part; mv {pid}.part {pid}; exec sleep 300'"
    config = tmp_path / "helped"
    config.write_text(
        f"[profile helped]\ncredential_process = {helper}\n"
        f"[profile from-helped]\nrole_arn = {ROLE}\nsource_profile = helped\n"
    )
    environment = {**os.environ, "AWS_CONFIG_FILE": str(config), "AWS_REGION": "eu-west-1"}
    command = [sys.executable, *program, "list", "--profile", profile]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    await_true(pid.exists, 60, alive=process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    waiting = f"sm-proxy: {credential_process._WAITING}\n".encode()  # on a slow machine
    assert (process.returncode, stderr.replace(waiting, b"")) == (130, b"")
    await_true(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), 60)


@pytest.mark.parametrize(("words", "leaves"), [("false", 1), ("cat", 0)])
def test_a_program_that_needs_the_terminal_is_left_to_its_owner(
    printing: Printing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, leaves: int
) -> None:
    """It may ask there, as aws-vault and gimme-aws-creds do."""
    left: list[bool] = []
    monkeypatch.setattr(prompt, "_without_terminal", [])
    prompt.have_no_terminal(lambda: left.append(True))
    aws = printing(json.dumps(GOOD))
    config = tmp_path / "aws" / "config"
    config.write_text(config.read_text().replace("= cat", f"= {words}"))
    if leaves:
        with pytest.raises(SmProxyError, match="has failed with status 1"):
            key_of(aws)
    else:
        assert key_of(aws) == "AKIAHELPED"
    assert len(left) == leaves
