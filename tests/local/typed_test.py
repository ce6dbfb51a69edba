from __future__ import annotations

from collections.abc import Collection

import pytest

from sm_proxy.local import typed

NAMES = {"--profile", "--region", "--stack"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["list", "--profile", "p", "--region=eu-west-1"],
            {"--profile": "p", "--region": "eu-west-1"},
        ),
        (["--region", "a", "list", "--region", "b"], {"--region": "b"}),
        (["launch", "--", "aws", "--profile", "other"], {}),
        (["list", "--json", "--profile"], {}),
        (["list", "--profile="], {"--profile": ""}),
    ],
)
def test_given(words: list[str], expected: dict[str, str]) -> None:
    assert typed.given(words, NAMES) == expected


def options_of(name: str, action: str) -> tuple[int, Collection[str]]:
    if name in {"doctor", "stop", "start"}:
        return 1, {"--profile", "--region"}
    return (2, {"--profile", "--stack"}) if (name, action) == ("infra", "deploy") else (0, ())


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
    ],
)
def test_a_command_gets_the_options_that_it_takes(text: str, expected: str) -> None:
    given = {"--profile": "my p", "--stack": "s"}
    assert typed.completed(text, given, options_of) == expected
    assert typed.completed(expected, given, options_of) == expected
