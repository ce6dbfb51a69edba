"""The offer of completion; tests/e2e/setup_test.py runs the whole command."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.commands import setup
from sm_proxy.completion import install
from sm_proxy.local import output, prompt


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "fish/completions/sm-proxy.fish"


def offered(*, may_ask: bool = True) -> list[tuple[str, str]]:
    return [(step.result, step.reason) for step in setup._completion(may_ask=may_ask)]


@pytest.mark.parametrize("answer", [True, False])
def test_completion_is_installed_after_a_yes(
    script: Path, monkeypatch: pytest.MonkeyPatch, *, answer: bool
) -> None:
    questions: list[str] = []

    def confirm(question: str) -> bool:
        questions.append(question)
        return answer

    monkeypatch.setattr(prompt, "confirm", confirm)
    assert [result for result, _ in offered()] == ["passed" if answer else "skipped"]
    assert questions == [f"Install tab completion of sm-proxy for fish? It writes {script}."]
    assert script.exists() == answer


def test_nothing_is_installed_without_a_question(script: Path) -> None:
    assert offered(may_ask=False) == []
    assert not script.exists()


def test_an_older_script_is_brought_up_to_date_without_a_question(script: Path) -> None:
    install.install("fish")
    current = script.read_bytes()
    assert offered() == []
    script.write_text("# The completion of sm-proxy for fish, some other version\n")
    assert offered(may_ask=False) == [("passed", "brought the script for fish up to date")]
    assert script.read_bytes() == current


def test_a_failure_is_a_warning_because_ssh_works(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "confirm", lambda _: True)
    script.parent.parent.write_text("in the way")
    ((result, _),) = offered()
    assert result == "warning"


def test_another_shell_gets_no_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/ksh")
    assert offered() == []


def test_the_next_setup_is_of_the_same_prefix_and_has_the_same_options() -> None:
    assert setup._again({"region": "eu-west-1"}) == "sm-proxy setup"
    assert setup._again({"prefix": "sm-eu-"}) == "sm-proxy setup --prefix sm-eu-"
    with output.complete_commands(lambda text: f"{text} --ssh-config 'my config'"):
        assert setup._again({}) == "sm-proxy setup --ssh-config 'my config'"
