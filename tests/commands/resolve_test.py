from __future__ import annotations

import json
from typing import Any

import pytest

from sm_proxy import cli, resolver
from sm_proxy.local import output
from sm_proxy.settings.schema import SECONDS_LIMIT
from tests.fakes import container


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each resolution was told to wait."""
    seen: list[float] = []

    def resolve(host: str, *_: Any, wait: float, on_status: Any) -> Any:
        assert on_status is output.status
        seen.append(wait)
        return container(host=host)

    monkeypatch.setattr(resolver, "resolve", resolve)
    return seen


def test_it_waits_only_where_the_option_says_so(
    waits: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_WAIT", "60")
    assert cli.main(["resolve", "sm-my-job"]) == 0
    for given in ("0", "5", str(SECONDS_LIMIT)):
        assert cli.main(["resolve", "sm-my-job", "--wait", given, "--json"]) == 0
    assert waits == [0, 0, 5, SECONDS_LIMIT]
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[-1])["data"]["port"] == 2222


@pytest.mark.parametrize("command", ["resolve --wait", "wait --timeout", "connect --wait"])
@pytest.mark.parametrize(
    "given",
    [
        *("", "-5", "-0", "nan", "inf", "-inf", "1e3", "5.5", "0x10", "1_000", " 5", "five"),
        *("\N{ARABIC-INDIC DIGIT THREE}", str(SECONDS_LIMIT + 1), "9" * 5000),
    ],
)
def test_odd_numbers_of_seconds_are_a_matter_of_usage(
    command: str, given: str, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    name, option = command.split()
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "sm-my-job", f"{option}={given}"])
    assert caught.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"sm-proxy: usage: argument {option}: ")
    assert "seconds" in line
    assert len(line) < 200
    assert waits == []
