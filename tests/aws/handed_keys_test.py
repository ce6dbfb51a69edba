from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from sm_proxy.aws import handed_keys
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.local import redaction

TOKEN = "a-token-of-a-session"


def variables(monkeypatch: pytest.MonkeyPatch, key: str, ends: str = "") -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"the secret of {key}")
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    if ends:
        monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends)


def in_minutes(number: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(minutes=number)).isoformat()


def test_keys_that_last_serve_another_process_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    variables(monkeypatch, "AKIAONE")
    given = handed_keys.give(Aws())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATWO")
    taken = handed_keys.take(given, None, None).keys()
    assert (taken.access_key, taken.token) == ("AKIAONE", TOKEN)
    assert handed_keys.ends_at(given) is None


def test_keys_that_end_are_renewed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables(monkeypatch, "ASIAONE", in_minutes(30))
    given = handed_keys.give(Aws())
    aws = handed_keys.take(given, None, "eu-west-1")
    assert aws.keys().access_key == "ASIAONE"
    ends = handed_keys.ends_at(given)
    assert ends is not None
    assert 28 * 60 < ends - datetime.now(timezone.utc).timestamp() < 30 * 60

    given["expiry_time"] = in_minutes(0.5)
    variables(monkeypatch, "ASIATWO", in_minutes(30))
    assert handed_keys.take(given, None, "eu-west-1").keys().access_key == "ASIATWO"
    monkeypatch.delenv("AWS_CREDENTIAL_EXPIRATION")
    assert handed_keys.take(given, None, "eu-west-1").keys().access_key == "ASIATWO"


def test_a_renewal_that_fails_is_an_error_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables(monkeypatch, "ASIAONE", in_minutes(0.5))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    given = {"access_key": "ASIAONE", "secret_key": "s", "token": "t"}
    aws = handed_keys.take({**given, "expiry_time": in_minutes(-1)}, "gone", "eu-west-1")
    with pytest.raises(SmProxyError):
        aws.keys()


def test_handed_keys_are_secrets_of_the_process_that_takes_them() -> None:
    given = {"access_key": "AKIA", "secret_key": "only-handed-over", "token": TOKEN}
    handed_keys.take({**given, "expiry_time": None}, None, None)
    assert "only-handed-over" not in redaction.redact("a line with only-handed-over")
    assert TOKEN not in redaction.redact(f"a line with {TOKEN}")
