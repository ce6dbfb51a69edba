"""`[launch]` of config.toml has a region, subnets and security groups, and nothing else."""

from __future__ import annotations

import pytest

from sm_proxy import settings
from sm_proxy.settings.schema import LaunchNetwork
from tests.settings.helpers import refused, write_file

REGION = 'region = "eu-west-1"\n'
SUBNETS = 'subnets = ["subnet-0a", "subnet-0b"]\n'
GROUPS = 'security_groups = ["sg-0a"]\n'


def test_the_network_of_new_jobs_comes_from_the_file() -> None:
    write_file(f"[launch]\n{REGION}{SUBNETS}{GROUPS}")
    expected = LaunchNetwork("eu-west-1", ("subnet-0a", "subnet-0b"), ("sg-0a",))
    assert settings.load().launch == expected


def test_without_the_table_there_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_LAUNCH", "x")  # no variable has the form of a table
    assert settings.load({"launch": "x"}).launch is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (f"{REGION}{SUBNETS}", "lacks security_groups"),
        (f"{SUBNETS}{GROUPS}", "lacks region"),
        (f"{REGION}{SUBNETS}{GROUPS}subnet = 1", "unknown 'subnet'"),
        (f"region = 5\n{SUBNETS}{GROUPS}", "needs a region"),
        (f"region = 'home'\n{SUBNETS}{GROUPS}", "needs a region"),
        (f"{REGION}subnets = []\n{GROUPS}", "needs subnets"),
        (f"{REGION}subnets = 'subnet-0a'\n{GROUPS}", "needs subnets"),
        (f"{REGION}subnets = ['sg-0a']\n{GROUPS}", "not 'sg-0a'"),
        (f"{REGION}{SUBNETS}security_groups = [1]", "needs security_groups"),
    ],
)
def test_any_other_table_is_refused(lines: str, words: str) -> None:
    write_file(f"[launch]\n{lines}")
    message = refused()
    assert words in message
    assert "[launch] in " in message
    assert "config.toml" in message
