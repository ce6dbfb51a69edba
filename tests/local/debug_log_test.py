from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sm_proxy.local import debug_log, paths, private_files
from sm_proxy.local.redaction import redact
from tests.fakes import HOST_KEY

LONG = "Ab3dEf9" * 30


@pytest.mark.parametrize(
    "text",
    [
        f"wss://ssmmessages.eu-west-1.amazonaws.com/v1/data-channel/s-1?role=x&token={LONG}",
        f"TokenValue={LONG}",
        f'"TokenValue": "{LONG}"',
        f"x-amz-security-token:{LONG}",
        f"x-amz-security-token: {LONG}",
        "aws_secret_access_key = " + LONG[:40],
        "X-Amz-Signature=" + "ab" * 32,
        "Credential=AKIA1234" + LONG,
        "password='" + LONG[:12] + "'",
        f"something {LONG}",
        f"something {LONG}==",
    ],
)
def test_secrets_are_redacted(text: str) -> None:
    redacted = redact(text)
    assert "[redacted]" in redacted
    assert LONG[12:40] not in redacted
    assert "abababababababab" not in redacted


def test_the_start_of_a_key_id_is_kept() -> None:
    assert redact("key AKIAIOSFODNN7EXAMPLE") == "key AKIAIOSF[redacted]"
    url = "wss://host/v1/data-channel/s-1"
    assert redact(f"{url}?role=x then") == f"{url}[redacted] then"


@pytest.mark.parametrize(
    "text",
    [
        "described status=Training",
        "AWS does not accept the credentials: The security token included in the request is bad",
        "there is no training job " + "x" * 63 + "/algo-1-1700000000 in eu-west-1",
        "the key /home/researcher/" + "experiments/" * 10 + "id_ed25519 cannot be written",
        "asiapacific1 is a region of akiarmor",
        "arn:aws:sts::123456789012:assumed-role/Researcher/someone@example.com",
        HOST_KEY,
    ],
)
def test_ordinary_words_are_kept(text: str) -> None:
    assert redact(text) == text


def test_without_debug_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    debug_log.write("hello")
    assert capsys.readouterr() == ("", "")
    assert not paths.state_dir().exists()


def test_a_step_is_one_redacted_line_in_both_places(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_LOG", "debug")
    debug_log.write("session", token=LONG, line="a\nb\x1b")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("session token=[redacted] line=a b\ufffd")
    assert " ms  " in line
    path = paths.state_dir() / "debug.log"
    assert path.read_text().endswith(f"{line}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_size_of_the_log_file_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_LOG", "debug")
    monkeypatch.setattr(debug_log, "LOG_LIMIT_BYTES", 1_000)
    for _ in range(50):
        debug_log.write("x" * 80)
    assert 0 < (paths.state_dir() / "debug.log").stat().st_size < 1_300


def test_a_log_that_cannot_be_written_is_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_LOG", "debug")
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").touch()
    debug_log.write("hello")
    assert "hello" in capsys.readouterr().err


def test_the_log_does_not_follow_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_LOG", "debug")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    private_files.ensure_private_dir(paths.state_dir()).joinpath("debug.log").symlink_to(victim)
    debug_log.write("hello")
    assert victim.read_text() == "mine"
