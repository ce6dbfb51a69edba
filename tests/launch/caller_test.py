"""Calls for a program that uses us as a library go out with its own session's credentials."""

from __future__ import annotations

import botocore.session
import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.launch import caller


def test_a_session_lends_its_credentials_region_and_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    session = botocore.session.Session()
    session.set_credentials("of-the-session", "secret", "token")
    session.set_config_variable("region", "eu-west-3")
    aws = caller.of_session(session)
    aws.ensure_credentials()
    found = aws.session.get_credentials()
    assert found is not None
    assert (found.access_key, found.token) == ("of-the-session", "token")
    assert aws.region == "eu-west-3"
    assert aws.session is not session


def test_another_region_has_the_same_credentials() -> None:
    session = botocore.session.Session()
    session.set_credentials("of-the-session", "secret")
    session.set_config_variable("region", "eu-west-3")
    aws = caller.of_session(session)
    other = aws.in_region("us-east-1")
    assert (aws.region, other.region) == ("eu-west-3", "us-east-1")
    assert other.session.get_credentials() is aws.session.get_credentials()
    assert other.endpoint("ecr").startswith("https://api.ecr.us-east-1.")
    assert aws.endpoint("ecr").startswith("https://api.ecr.eu-west-3.")


def test_records_of_another_sessions_account_are_kept_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    session = botocore.session.Session()
    session.set_config_variable("region", "eu-west-3")
    session.set_credentials("of-the-session", "secret", "token")
    scope = caller.of_session(session).scope
    assert scope != Aws(region="eu-west-3").scope
    assert scope == caller.of_session(session).scope
    assert "secret" not in scope
