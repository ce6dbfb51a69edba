from __future__ import annotations

import argparse
import re

from sm_proxy import cli
from sm_proxy.completion import parsers, table
from sm_proxy.completion.table import Argument, Level
from sm_proxy.help import described

WORDS = ("DIR", "FILE", "FOLDER", "HOST", "JOB", "PATH", "PROGRAM", "REGION")
"""A metavar with one of these names something that can be offered."""


def test_every_argument_with_values_that_we_know_offers_them() -> None:
    for parser in described.walk(cli.full_parser()):
        for action in parser._actions:
            if any(word in re.split(r"\W", str(action.metavar)) for word in WORDS):
                made = parsers._argument(parser, action)
                in_container = parser.prog == "sm-proxy vscode" and action.dest == "path"
                assert made.choices or made.values or in_container, (parser.prog, action)


def test_the_table_has_every_argument_of_argparse() -> None:
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("source", metavar="SRC", nargs="+")
    parser.add_argument("-n", "--name", default="a", help="its name,\n in %(default)s %% words")
    parser.add_argument("--secret", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--many", action="append", choices=("a", "b"))
    top = table.read(parsers.make(parser))
    name, secret, many, _help = top.options
    assert name == Argument(("-n", "--name"), "its name, in a % words", True, "", (), 1, False)
    assert (secret.shown, secret.text, secret.most) == (False, "", 2)
    assert (many.repeats, many.choices) == (True, ("a", "b"))
    assert [(item.values, item.most > 1) for item in top.operands] == [("place", True)]


def test_a_table_is_the_same_after_json(top: Level) -> None:
    assert {"list", "infra"} <= top.below.keys()
    assert "deploy" in top.enter("infra").below


def test_actions_that_help_hides_are_not_offered(top: Level) -> None:
    assert list(top.enter("daemon").below) == ["status", "stop"]
