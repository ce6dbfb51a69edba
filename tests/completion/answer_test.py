from __future__ import annotations

import pytest

from sm_proxy import cli
from sm_proxy.completion import answer
from sm_proxy.completion.answer import Answer
from sm_proxy.completion.table import Level

pytestmark = pytest.mark.usefixtures("home", "names")


def at(top: Level, line: str) -> Answer:
    """The answer at the end of a line without quotes; a space at its end begins a word."""
    return answer.find(top, ["sm-proxy", *line.split(" ")])


def words(found: Answer) -> list[str]:
    return [item.word for item in found.candidates]


def test_commands_are_offered_but_for_the_one_that_only_ssh_types(top: Level) -> None:
    assert set(words(at(top, ""))) == cli.COMMANDS.keys() - {"connect"}
    assert words(at(top, "resol")) == ["resolve"]
    assert words(at(top, "help resol")) == ["resolve"]
    assert words(at(top, "--region eu-west-1 resol")) == ["resolve"]


def test_actions_follow_their_command(top: Level) -> None:
    assert words(at(top, "config ")) == ["write", "show", "check", "remove"]
    assert words(at(top, "infra del")) == ["delete"]


def test_nothing_follows_an_unknown_command(top: Level) -> None:
    assert at(top, "nonsense ") == Answer()


def test_options_of_the_command_come_before_those_of_all(top: Level) -> None:
    offered = words(at(top, "logs -"))
    assert offered.index("--since") < offered.index("--profile") < len(offered)
    assert "--route" not in words(at(top, "container init --"))  # accepted, and of no use


def test_an_option_is_offered_once_unless_it_repeats(top: Level) -> None:
    assert words(at(top, "list --check --che")) == []
    assert words(at(top, "image build . --build-arg a=1 --build-a")) == ["--build-arg"]


def test_options_are_offered_where_nothing_else_can_follow(top: Level) -> None:
    assert "--check" in words(at(top, "list "))
    assert "--timeout" in words(at(top, "wait sm-new "))


@pytest.mark.parametrize("line", ["cp --via ", "cp a --via=", "cp --json --via "])
def test_the_values_of_an_option(top: Level, line: str) -> None:
    assert words(at(top, line)) == ["auto", "ssh", "s3"]


def test_a_value_after_an_equals_sign_has_a_stem(top: Level) -> None:
    found = at(top, "list --region=eu-west-1")
    assert (found.stem, words(found)) == ("--region=", ["eu-west-1"])


def test_an_option_that_takes_nothing_has_no_values(top: Level) -> None:
    assert at(top, "list --check=") == Answer()
    assert at(top, "list --nonsense=") == Answer()


def test_the_values_of_settings_are_offered_even_where_help_hides_them(top: Level) -> None:
    assert "remote-debug" in words(at(top, "container init --route "))
    assert "prod" in words(at(top, "--profile "))


@pytest.mark.parametrize("command", ["wait", "tunnel", "go", "vscode", "nodes", "stop"])
def test_hosts_that_can_be_reached_are_offered(top: Level, command: str) -> None:
    assert words(at(top, f"{command} ")) == ["sm-new", "sm-lab.space", "sm-old"]


@pytest.mark.parametrize("command", ["logs", "relaunch", "doctor", "resolve"])
def test_ended_jobs_are_offered_where_they_are_of_use(top: Level, command: str) -> None:
    assert words(at(top, f"{command} ")) == ["sm-new", "sm-lab.space", "sm-old", "sm-over"]


def test_a_place_is_a_host_with_a_colon_or_a_file(top: Level) -> None:
    found = at(top, "cp here.txt sm-n")
    assert [(item.word, item.open) for item in found.candidates] == [("sm-new:", True)]
    assert found.files == "file"
    assert at(top, "cp sm-new:/da") == Answer()  # nobody here knows the container's files


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("container init ", "folder"),
        ("launch ", "file"),
        ("config write --ssh-config ", "file"),
        ("config write --ssh-config=", "file"),
        ("image build . --file ", "file"),
        ("list --ssh-dir ", "folder"),
        ("vscode sm-new ", ""),  # a path in the container
    ],
)
def test_paths_are_offered_where_they_are_expected(top: Level, line: str, files: str) -> None:
    assert at(top, line).files == files


@pytest.mark.parametrize(
    ("line", "program"),
    [("launch -- ", 3), ("launch --keep 1h -- python -", 5), ("lab run -- ssh s", 4)],
)
def test_another_program_begins_after_two_dashes(top: Level, line: str, program: int) -> None:
    assert at(top, line) == Answer(program=program)


def test_settings_are_offered_by_name(top: Level) -> None:
    assert words(at(top, "settings sm-n")) == ["sm-new"]
    assert words(at(top, "settings reg")) == ["region"]
    assert words(at(top, "settings --unset reg")) == ["region"]
    found = at(top, "settings --set reg")
    assert [(item.word, item.open) for item in found.candidates] == [("region=", True)]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("--set route=bas", ["route=bastion", "route=bastion-ssh"]),
        ("--set=route=hyp", ["route=hyperpod"]),
        ("--set profile=pr", ["profile=prod"]),
        ("--set region=eu-west-3", ["region=eu-west-3"]),
        ("--set trust-first-use=", ["trust-first-use=true", "trust-first-use=false"]),
        ("--set wait=", []),
        ("--set nonsense=", []),
    ],
)
def test_the_values_of_a_setting_are_offered(top: Level, typed: str, offered: list[str]) -> None:
    found = at(top, f"settings {typed}")
    assert words(found) == offered
    assert not any(item.open for item in found.candidates)


def test_an_operand_comes_once(top: Level) -> None:
    assert "sm-new" not in words(at(top, "wait sm-old "))
    assert words(at(top, "wait -- sm-old ")) == []


def test_every_command_can_be_completed_to_its_end(top: Level) -> None:
    def walk(level: Level, line: str) -> None:
        for name in level.below:
            offered = at(top, f"{line}{name} -")
            assert "--help" in words(offered), f"{line}{name}"
            walk(level.enter(name), f"{line}{name} ")

    walk(top, "")
