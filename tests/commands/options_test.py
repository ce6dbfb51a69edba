from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.settings.durations import LONGEST_WAIT_S
from tests.commands.helpers import answer


@pytest.mark.parametrize("command", ["resolve --wait", "wait --timeout", "connect --wait"])
@pytest.mark.parametrize(
    "given",
    [
        *(
            "",
            "-5",
            "-0",
            "nan",
            "inf",
            "-inf",
            "1e3",
            "5.5",
            "0x10",
            "1_000",
            " 5",
            "five",
            "5w",
            "2 h",
        ),
        *("\N{ARABIC-INDIC DIGIT THREE}", str(LONGEST_WAIT_S + 1), "29d", "9" * 5000),
    ],
)
def test_a_bad_duration_is_a_usage_error(
    command: str, given: str, waits: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    name, option = command.split()
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "sm-my-job", f"{option}={given}"])
    assert caught.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"sm-proxy: usage: argument {option}: ")
    assert "must be a duration such as 90s, 10m, 2h or 1d, from 0 to 28d" in line
    assert len(line) < 200
    assert waits == []


@pytest.mark.parametrize("action", ["write", "remove", "check", "show"])
@pytest.mark.parametrize("path", ["", "~no-such-user/config"])
def test_a_bad_path_is_a_usage_error(
    action: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["config", action, f"--ssh-config={path}"])
    assert caught.value.code == 2
    assert f"usage: argument --ssh-config: {path!r} is not a path" in capsys.readouterr().err


def test_a_tilde_that_the_shell_did_not_expand_is_expanded(
    user_config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(user_config.parent))
    assert cli.main(["config", "write", "--ssh-config=~/config", "--json"]) == 0
    assert answer(capsys)["data"]["files"][1]["path"] == str(user_config)
