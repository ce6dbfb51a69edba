from __future__ import annotations

import pytest

from sm_proxy import cli
from sm_proxy.local import suggestion


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *(("lst", "list"), ("LIST", "list"), ("doctro", "doctor"), ("tunel", "tunnel")),
        *(("resolv", "resolve"), ("stpo", "stop"), ("key", "keys"), ("log", "logs")),
    ],
)
def test_the_closest_command_comes_first(typed: str, meant: str) -> None:
    assert suggestion.close(typed, cli.COMMANDS)[0] == meant


@pytest.mark.parametrize("typed", ["", "nonsense", "-", "x" * 100_000])
def test_nothing_is_close_to_nonsense(typed: str) -> None:
    assert suggestion.close(typed, cli.COMMANDS) == []
    assert suggestion.sentence(typed, cli.COMMANDS) == ""


def test_names_are_a_question() -> None:
    assert suggestion.sentence("--wiat", ["--wait"]) == "Did you mean `--wait`?"
    many = ["job-1", "job-2", "job-3", "job-4"]
    assert suggestion.sentence("job-0", many, "sm-").count("`sm-job-") == 3
    assert " or `" in suggestion.sentence("job-0", many)
