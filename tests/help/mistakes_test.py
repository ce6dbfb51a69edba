from __future__ import annotations

import pytest

from sm_proxy import cli
from sm_proxy.help import described, mistakes

NAMES = list(cli.COMMANDS)


@pytest.fixture
def parser() -> cli.Parser:
    made = cli.Parser(prog="sm-proxy")
    made.add_argument("--wait", help="wait")
    return made


@pytest.mark.parametrize(
    ("typed", "meant"), [("lst", "list"), ("ls", "list"), ("copy", "cp"), ("kill", "stop")]
)
def test_names_from_other_programs_are_recognised(
    typed: str, meant: str, parser: cli.Parser
) -> None:
    assert mistakes.unknown_command(parser, typed, NAMES) == (
        f"unknown command {typed!r}. Did you mean `sm-proxy {meant}`?"
    )


def test_each_synonym_leads_to_a_command() -> None:
    programs = {parser.prog.partition(" ")[2] for parser in described.walk(cli.full_parser())}
    meant = {*mistakes._SYNONYMS.values()}.union(*map(dict.values, mistakes._ACTIONS.values()))
    assert meant <= {*programs, "--version"}
    assert not {*mistakes._SYNONYMS, *mistakes._PLAIN, *mistakes._LIKE_SSH} & set(NAMES)
    for command, actions in mistakes._ACTIONS.items():
        assert not {f"{command} {action}" for action in actions} & programs


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("ssh", ": type it without sm-proxy, as in `ssh sm-myjob`"),
        ("ssh --help", ": type it without sm-proxy, as in `ssh sm-myjob`"),
        ("ssh sm-x $(y)", ": type it without sm-proxy, as in `ssh sm-myjob`"),
        ("ssh -v root@sm-x", ". Did you mean `ssh -v root@sm-x`?"),
        ("scp a.txt sm-x:/tmp", ". Did you mean `scp a.txt sm-x:/tmp`?"),
        ("exec sm-x nvidia-smi", ". Did you mean `ssh sm-x nvidia-smi`?"),
        ("exec -it sm-x", ". Did you mean `ssh sm-myjob`?"),
        ("shell", ". Did you mean `ssh sm-myjob`?"),
    ],
)
def test_ssh_needs_no_command(words: str, told: str, parser: cli.Parser) -> None:
    typed, *after = words.split()
    found = mistakes.unknown_command(parser, typed, NAMES, ("sm-",), after)
    assert found == f"unknown command {typed!r}{told}"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("sm-myjob.algo-2", ". Did you mean `ssh sm-myjob.algo-2`?"),
        ("eu-myjob", ". Did you mean `ssh eu-myjob`?"),
        ("us-myjob", ""),
        ("sm-proxy", ""),
        ("sm-$(x)", ""),
    ],
)
def test_a_host_name_is_for_ssh(typed: str, told: str, parser: cli.Parser) -> None:
    found = mistakes.unknown_command(parser, typed, NAMES, ("sm-", "eu-"))
    assert found == f"unknown command {typed!r}{told}"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--proflie x list", "unknown option --proflie. Did you mean `--profile`?"),
        ("--profile x --proflie=x list", "unknown option --proflie. Did you mean `--profile`?"),
        ("--json list", "unknown option --json. Options of a command stand after its name"),
        ("-V", "unknown option -V. Did you mean `sm-proxy --version`?"),
        ("-x", "unknown option -x"),
        ("--profile --x list --y", ""),
        ("-- --y", ""),
    ],
)
def test_a_wrong_option_before_the_command_is_named(
    words: str, told: str, parser: cli.Parser
) -> None:
    assert mistakes.option_before(parser, words.split()) == told


def test_an_action_is_an_action() -> None:
    parser = cli.Parser(prog="sm-proxy config")
    found = mistakes.unknown_action(parser, "shwo", ["write", "show"])
    assert found == "unknown action 'shwo'. Did you mean `sm-proxy config show`?"
    found = mistakes.unknown_action(parser, "set", ["write", "show"])
    assert found == "unknown action 'set'. Did you mean `sm-proxy settings`?"
    assert mistakes.unknown_action(parser, "jobs", ["write"]) == "unknown action 'jobs'"


def test_a_shell_without_completion_is_told_so() -> None:
    parser = cli.Parser(prog="sm-proxy completion")
    assert mistakes.unknown_action(parser, "PowerShell", ["bash", "zsh", "fish"]) == (
        "unknown action 'PowerShell': only bash, zsh and fish have completion"
    )


def test_a_hostile_word_is_shown_printable_and_short(parser: cli.Parser) -> None:
    for typed in ("\x1b[2J" + "x" * 1000, "\u202e", ""):
        for shown in (
            mistakes.unknown_command(parser, typed, NAMES),
            mistakes.unknown_action(parser, typed, NAMES),
            mistakes.wrong_choice(typed, ["a"]),
            mistakes.unknown_arguments(parser, [typed]),
        ):
            assert shown.isprintable()
            assert len(shown) < 200


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x", "--wiat=secret", "--no"], "unknown option --wiat. Did you mean `--wait`?"),
        (["more", "--"], "unexpected argument 'more'"),
        (["-yes"], "unknown option -yes"),
        (["--Wait"], "unknown option --Wait. Did you mean `--wait`?"),
        (["--bastoin=x"], "unknown option --bastoin. Did you mean `--bastion`?"),
    ],
)
def test_the_first_unknown_option_is_named_without_its_value(
    words: list[str], told: str, parser: cli.Parser
) -> None:
    assert mistakes.unknown_arguments(parser, words) == told
