"""What help says about every command and action: texts, examples, width."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

import pytest

from sm_proxy import cli
from sm_proxy.help import described, text
from sm_proxy.help.described import Command
from sm_proxy.settings.schema import IN_PROXY_COMMAND, option

_LONGEST_EXAMPLE = 56
"""Columns: with their indent, examples fit the narrowest help, and are never wrapped."""


@pytest.fixture(scope="module")
def parser() -> cli.Parser:
    return cli.full_parser()


@pytest.fixture(scope="module")
def commands(parser: cli.Parser) -> list[Command]:
    return [described.describe(each) for each in described.walk(parser)]


def test_all_commands_and_actions_are_there(commands: list[Command]) -> None:
    names = [command.prog for command in commands]
    assert names[0] == "sm-proxy"
    assert {f"sm-proxy {name}" for name in cli.COMMANDS} <= set(names)
    assert {"sm-proxy config write", "sm-proxy infra deploy", "sm-proxy lab up"} <= set(names)
    assert "sm-proxy daemon serve" not in names


def test_each_has_a_short_description_and_examples(commands: list[Command]) -> None:
    for command in commands[1:]:
        first = command.description[:1]
        assert first.isupper(), command.prog
        assert command.description.endswith("."), command.prog
        assert len(command.description) <= 240, command.prog
        assert 1 <= len(command.examples) <= 4, command.prog
        for line, purpose in command.examples:
            assert len(line) <= _LONGEST_EXAMPLE, line
            assert purpose, line


def test_each_example_can_be_typed(parser: cli.Parser, commands: list[Command]) -> None:
    for command in commands[1:]:
        for line, _ in command.examples:
            program, *words = shlex.split(line.partition(" && ")[0])
            assert program == "sm-proxy", line
            try:
                parser.parse_args(words)
            except SystemExit:
                pytest.fail(line)
        own = [line for line, _ in command.examples if line.startswith(f"{command.prog} ")]
        assert own or command.examples[0][0] == command.prog, command.prog


def test_each_option_has_help_and_each_name_is_there_once(commands: list[Command]) -> None:
    for command in commands:
        names = [row.names for group in command.groups for row in group.rows]
        assert len(names) == len(set(names)), command.prog
        for group in command.groups:
            for row in group.rows:
                assert row.text, (command.prog, row.names)
                assert row.text.isascii(), (command.prog, row.names)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_help_fits_the_terminal(width: int, commands: list[Command]) -> None:
    for command in commands:
        shown = text.render(command, width)
        assert max(map(len, shown.splitlines())) <= width, shown


def test_no_word_is_broken(commands: list[Command]) -> None:
    for command in commands:
        words = set(text.render(command, 100).split())
        assert set(text.render(command, 60).split()) == words


def test_actions_show_only_what_they_use(commands: list[Command]) -> None:
    by_name = {command.prog: command for command in commands}

    def names(prog: str) -> set[str]:
        groups = by_name[prog].groups
        return {row.names.split()[0] for group in groups for row in group.rows}

    always = {"--color", "-h,"}
    assert names("sm-proxy config check") == {
        *always, "--ssh-config", "--json", "--prefix", "--ssh-dir",
    }  # fmt: skip
    assert names("sm-proxy demo") == {*always, "--network"}
    assert names("sm-proxy keys list") == {
        *always, "--json", "--identity-file", "--ssh-config", "--ssh-dir",
    }  # fmt: skip


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for item in parser._actions:
        yield from item.option_strings


def test_hidden_options_are_accepted(parser: cli.Parser) -> None:
    for each in described.walk(parser):
        assert {"--region", "--profile", "--daemon-idle", "--color"} <= set(_options(each))
    words = "config check --dry-run --user me --no-compression --wait 5m --region eu-west-1"
    assert parser.parse_args(words.split()).dry_run is True


def test_help_needs_neither_settings_nor_aws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_PROXY_ROUTE", "nonsense")
    with pytest.raises(SystemExit) as ended:
        cli.main(["list", "--help"])
    assert ended.value.code == 0
    assert "examples:\n  sm-proxy list" in capsys.readouterr().out


def test_settings_of_the_block_are_in_the_help_of_commands_that_write_it(
    commands: list[Command],
) -> None:
    by_prog = {command.prog: command for command in commands}
    for name in ("setup", "config write", "config show", "connect"):
        groups = {group.title: group.rows for group in by_prog[f"sm-proxy {name}"].groups}
        shown = {row.names.partition(" ")[0] for row in groups["settings"]}
        assert {option(each) for each in (*IN_PROXY_COMMAND, "prefix", "ssh_dir")} <= shown, name
