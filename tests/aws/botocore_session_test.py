"""A botocore session that was made ahead is as one that is made when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.aws import botocore_session
from sm_proxy.aws.clients import Aws


@pytest.fixture(autouse=True)
def _nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore_session, "_prepared", [])


def test_a_prepared_session_has_the_settings_of_its_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a fork of the daemon, which has neither the profile nor the variables."""
    botocore_session.prepare()
    (config := tmp_path / "config").write_text("[profile p]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_EXECUTION_ENV", "a-place")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:9")
    aws = Aws("p")
    assert aws.region == "eu-west-3"
    assert aws.session.profile == "p"
    assert aws.endpoint("ssm") == "http://127.0.0.1:9"
    assert "a-place" in vars(aws.session.get_component("user_agent_creator")).values()


def test_a_prepared_session_serves_one_user() -> None:
    botocore_session.prepare()
    first, second = Aws(region="eu-west-1").session, Aws(region="eu-west-1").session
    assert first is not second
    assert first.get_config_variable("region") == second.get_config_variable("region")
