"""What `setup` takes from flags and files, what it asks, and what it refuses to guess."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.setup import answers
from sm_proxy.setup.answers import Question

ONE = "[profile research]\nregion = eu-west-1\n"
TWO = "[profile research]\nregion = eu-west-1\n[profile prod]\n"
WITH_DEFAULT = "[default]\nregion = us-west-2\n[profile prod]\nregion = eu-north-1\n"


class Person:
    """Gives the answers in order, and records the questions."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        self.asked: list[tuple[str, list[str], str]] = []

    def __call__(self, question: Question) -> str:
        self.asked.append((question.words, list(question.choices), question.default))
        return self.words.pop(0)


def refusal(answer: str) -> str:
    """Why an answer is invalid: only `prod` is valid."""
    return "" if answer == "prod" else f"{answer} is none"


def which(default: str = "") -> Question:
    return Question("Which?", "--profile", refusal, ["research", "prod"], default)


@pytest.fixture
def aws_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return tmp_path / "config"


def test_a_single_profile_with_a_region_needs_no_question(aws_files: Path) -> None:
    aws_files.write_text(ONE)
    assert answers.ask_missing(Settings(), None) == {"profile": "research"}


def test_the_default_profile_is_left_to_botocore(aws_files: Path) -> None:
    aws_files.write_text(WITH_DEFAULT)
    assert answers.ask_missing(Settings(), None) == {}


def test_several_profiles_without_a_default_need_a_flag(aws_files: Path) -> None:
    aws_files.write_text(TWO)
    with pytest.raises(SmProxyError) as caught:
        answers.ask_missing(Settings(), None)
    assert caught.value.code == "no-credentials"
    assert "research, prod" in caught.value.message
    assert "--profile" in caught.value.hint


def test_asks_for_profile_then_region(aws_files: Path) -> None:
    aws_files.write_text(TWO)
    person = Person("prod", "eu-central-1")
    found = answers.ask_missing(Settings(), person)
    assert found == {"profile": "prod", "region": "eu-central-1"}
    assert person.asked[0][1:] == (["research", "prod"], "")


def test_the_default_profile_is_not_recorded(aws_files: Path) -> None:
    aws_files.write_text(WITH_DEFAULT)
    person = Person("default")
    assert answers.ask_missing(Settings(), person) == {}
    assert person.asked[0][2] == "default"


def test_known_answers_are_not_asked_for(aws_files: Path) -> None:
    aws_files.write_text(TWO)
    assert answers.ask_missing(Settings(profile="prod", region="eu-west-2"), Person()) == {}


def test_keys_in_the_environment_need_no_profile(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_files.write_text(TWO)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    assert answers.ask_missing(Settings(region="eu-west-2"), None) == {}


@pytest.mark.usefixtures("aws_files")
def test_a_missing_region_names_the_flag() -> None:
    with pytest.raises(SmProxyError) as caught:
        answers.ask_missing(Settings(), None)
    assert caught.value.code == "bad-setting"
    assert "--region" in caught.value.hint


def test_a_broken_aws_config_is_an_error(aws_files: Path) -> None:
    aws_files.write_text("[profile research\nregion")
    with pytest.raises(SmProxyError) as caught:
        answers.ask_missing(Settings(), None)
    assert caught.value.code == "bad-setting"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _typed(monkeypatch: pytest.MonkeyPatch, text: str) -> Terminal:
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(text))
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def test_an_unknown_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _typed(monkeypatch, "prot\nprod\n")
    ask = answers.terminal_asker()
    assert ask is not None
    assert ask(which()) == "prod"
    assert shown.getvalue() == (
        "Which? (research, prod) sm-proxy: prot is none\nWhich? (research, prod) "
    )


def test_the_last_refusal_names_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    _typed(monkeypatch, "a\n\nc\nprod\n")
    ask = answers.terminal_asker()
    assert ask is not None
    with pytest.raises(SmProxyError, match="c is none") as caught:
        ask(which())
    assert "--profile" in caught.value.hint


NO_REGIONS = ["Eu-West", "eu-west", "EU-WEST-1", "eu_west_1", "eu-west-1a", "Ireland"]
REGIONS = ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-isob-east-1", "eusc-de-east-1"]


@pytest.mark.parametrize("region", NO_REGIONS)
def test_an_invalid_region_is_not_recorded(
    aws_files: Path,
    region: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    aws_files.write_text(TWO)
    monkeypatch.setenv("SM_PROXY_CONFIG_DIR", str(aws_files.with_name("settings")))
    config = aws_files.with_name("ssh") / "config"
    words = ["--yes", "--profile", "prod", "--ssh-config", str(config)]
    for option, variable in (
        (["--region", region], {}),
        ([], {"AWS_REGION": region}),
        ([], {"SM_PROXY_REGION": region}),
    ):
        with monkeypatch.context() as context:
            for name, value in variable.items():
                context.setenv(name, value)
            assert cli.main(["setup", *words, *option]) == 1
        line = capsys.readouterr().err
        assert f"sm-proxy: bad-setting: '{region}' is not an AWS region" in line
        assert "--region" in line
        assert not config.parent.exists()


@pytest.mark.parametrize("region", REGIONS)
def test_regions_of_every_partition_are_accepted(aws_files: Path, region: str) -> None:
    aws_files.write_text(f"[profile prod]\nregion = {region}\n")
    assert answers.ask_missing(Settings(profile="prod"), None) == {}
    assert answers.ask_missing(Settings(profile="prod", region=region), None) == {}


def test_a_mistyped_region_is_asked_for_again(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = _typed(monkeypatch, "Eu-West\neu-west-1\n")
    found = answers.ask_missing(Settings(), answers.terminal_asker())
    assert found == {"region": "eu-west-1"}
    assert "'Eu-West' is not an AWS region" in shown.getvalue()


def test_a_mistyped_profile_is_asked_for_again(
    aws_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_files.write_text(WITH_DEFAULT)
    shown = _typed(monkeypatch, "prot\nprod\n")
    assert answers.ask_missing(Settings(), answers.terminal_asker()) == {"profile": "prod"}
    assert "there is no AWS profile 'prot'" in shown.getvalue()


def test_an_empty_answer_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    _typed(monkeypatch, "\n")
    ask = answers.terminal_asker()
    assert ask is not None
    assert ask(which("prod")) == "prod"


def test_end_of_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _typed(monkeypatch, "")
    ask = answers.terminal_asker()
    assert ask is not None
    with pytest.raises(SmProxyError, match="no answer"):
        ask(which())


def test_without_a_terminal_there_are_no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("prod\n"))
    assert answers.terminal_asker() is None
    monkeypatch.setattr(sys, "stdin", None)
    assert answers.terminal_asker() is None


def test_an_unknown_profile_is_not_recorded(aws_files: Path) -> None:
    aws_files.write_text(TWO)
    config = aws_files.with_name("ssh") / "config"
    named = ["--profile", "reserach", "--region", "eu-west-2"]
    with pytest.raises(SmProxyError, match=r"no AWS profile 'reserach' \(known: research, prod\)"):
        answers.ask_missing(Settings(profile="reserach"), None)
    assert cli.main(["setup", "--yes", "--ssh-config", str(config), *named]) == 1
    assert not config.parent.exists()
