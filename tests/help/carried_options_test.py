from __future__ import annotations

import argparse
import shlex

import pytest

from sm_proxy.help import carried_options

NAMES = {"--profile", "--region", "--stack"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["list", "--profile", "p", "--region=eu-west-1"],
            {"--profile": "p", "--region": "eu-west-1"},
        ),
        (["--region", "a", "list", "--region", "b"], {"--region": "b"}),
        (["list", "--json", "--profile"], {}),
        (["list", "--profile="], {"--profile": ""}),
    ],
)
def test_given(words: list[str], expected: dict[str, str]) -> None:
    assert carried_options.given(words, NAMES) == expected


def parser_of(name: str) -> argparse.ArgumentParser | None:
    if name not in {"doctor", "infra", "start", "stop"}:
        return None
    parser = argparse.ArgumentParser(prog=f"sm-proxy {name}")
    if name != "infra":
        parser.add_argument("--profile")
        parser.add_argument("--region", help=argparse.SUPPRESS)
        return parser
    deploy = parser.add_subparsers().add_parser("deploy", help="shown")
    deploy.add_argument("--profile")
    deploy.add_argument("--stack")
    return parser


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Run: sm-proxy doctor sm-x", "Run: sm-proxy doctor --profile 'my p' sm-x"),
        ("`sm-proxy doctor`.", "`sm-proxy doctor --profile 'my p'`."),
        ("sm-proxy infra deploy, then", "sm-proxy infra deploy --profile 'my p' --stack s, then"),
        (
            "sm-proxy stop sm-x, then sm-proxy start sm-x",
            "sm-proxy stop --profile 'my p' sm-x, then sm-proxy start --profile 'my p' sm-x",
        ),
        ("sm-proxy doctor sm-x --profile q", "sm-proxy doctor sm-x --profile q"),
        (
            "`sm-proxy doctor`; --profile q",
            "`sm-proxy doctor --profile 'my p'`; --profile q",
        ),
        ("the sm-proxy entrypoint; sm-proxy infra", "the sm-proxy entrypoint; sm-proxy infra"),
        ("/opt/sm-proxy doctor", "/opt/sm-proxy doctor"),
        (
            "sm-proxy doctor sm-proxy stop sm-x",
            "sm-proxy doctor --profile 'my p' sm-proxy stop --profile 'my p' sm-x",
        ),
    ],
)
def test_a_command_gets_the_options_that_it_takes(text: str, expected: str) -> None:
    given = {"--profile": "my p", "--region": "hidden", "--stack": "s"}
    assert carried_options.completed(text, given, parser_of) == expected
    assert carried_options.completed(expected, given, parser_of) == expected


def test_what_was_given_is_shown_without_secrets_and_control_characters() -> None:
    given = {"--profile": "\033[2J;AKIAIOSFODNN7EXAMPLE"}
    shown = carried_options.completed("Run: sm-proxy doctor", given, parser_of)
    assert shown.isprintable()
    assert "IOSFODNN7" not in shown
    assert shlex.split(shown)[:4] == ["Run:", "sm-proxy", "doctor", "--profile"]
