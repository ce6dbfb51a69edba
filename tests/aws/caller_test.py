"""Who owns the credentials; commands go on if STS does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.aws import caller
from sm_proxy.aws.clients import Aws
from sm_proxy.doctor import account
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.setup import steps
from tests.aws.portal import CONFIG, Portal

KEYS = "keys"


@pytest.fixture(autouse=True)
def portal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Portal]:
    running = Portal()
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's retries
    (tmp_path / "aws").mkdir()
    (tmp_path / "aws" / "config").write_text(CONFIG)
    yield running
    running.close()


@pytest.fixture(params=["unreachable", "AccessDenied", "InternalFailure", "Throttling"])
def silent(request: pytest.FixtureRequest, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> str:
    """An STS that does not name the caller; returns the reason that is reported."""
    if request.param == "unreachable":
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
        return "127.0.0.1:9"
    portal.sts = request.param
    return "words"


def test_sts_names_the_caller() -> None:
    found = caller.identify(Aws(KEYS))
    assert found == caller.Caller(
        "arn:aws:sts::123456789012:assumed-role/research/me", "123456789012"
    )


def test_doctor_goes_on_without_sts(silent: str) -> None:
    with pytest.raises(SkipCheck, match=silent) as caught:
        account.credentials(Context(Settings(), None, Aws(KEYS)))
    assert "which is harmless" in str(caught.value)


def test_setup_goes_on_without_sts(silent: str) -> None:
    step = steps.run_step("credentials", lambda: steps.credentials(Aws(KEYS)))
    assert (step.result, step.failure) == ("warning", None)
    assert silent in step.reason


@pytest.mark.parametrize("refusal", ["InvalidClientTokenId", "ExpiredToken"])
def test_keys_that_aws_refuses_are_an_error(refusal: str, portal: Portal) -> None:
    portal.sts = refusal
    with pytest.raises(SmProxyError):
        account.credentials(Context(Settings(), None, Aws(KEYS)))


def test_a_role_needs_sts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """STS itself gives the keys of a role."""
    role = "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = keys\n"
    (tmp_path / "aws" / "config").write_text(f"{CONFIG}\n{role}region = eu-west-1\n")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    with pytest.raises(SmProxyError, match="sts:AssumeRole") as caught:
        account.credentials(Context(Settings(), None, Aws("role")))
    assert caught.value.code == "network"


def test_missing_credentials_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "aws" / "config").write_text("[default]\nregion = eu-west-1\n")
    with pytest.raises(SmProxyError) as caught:
        account.credentials(Context(Settings(), None, Aws()))
    assert caught.value.code == "no-credentials"
