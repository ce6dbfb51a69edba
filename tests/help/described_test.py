from __future__ import annotations

import argparse

import pytest

from sm_proxy.cli import Parser
from sm_proxy.help import described
from sm_proxy.help.described import Group, Row


@pytest.fixture
def parser() -> Parser:
    made = Parser(
        prog="sm-proxy do",
        description="Does it.",
        examples=[("sm-proxy do x", "why")],
        uses=("region",),
        hides=("old",),
    )
    made.add_argument("where", metavar="WHERE", help="100%% of it")
    made.add_argument("more", metavar="MORE", nargs="*", help="as WHERE")
    made.add_argument("--old", help="for old scripts")
    made.add_argument("--tag", required=True, metavar="TAG", help="of %(prog)s")
    made.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    made.add_argument("--fast", action=argparse.BooleanOptionalAction, help="hurry")
    made.add_argument("--ask", nargs="?", choices=("a", "b"), help="first")
    made.add_argument("--colour", choices=("red" * 5, "green" * 5), help="the paint")
    group = made.add_argument_group("the job")
    group.add_argument("--keep", metavar="DURATION", help="stay")
    made.add_argument("--json", action="store_true", help="for scripts")
    return made


def test_a_parser_is_described(parser: Parser) -> None:
    found = described.describe(parser)
    assert found.prog == "sm-proxy do"
    assert found.usage == ("sm-proxy do --tag TAG [options] WHERE [MORE...]",)
    assert found.description == "Does it."
    assert found.examples == (("sm-proxy do x", "why"),)
    assert [group.title for group in found.groups] == [
        *("arguments", "options", "the job", "settings", "output"),
    ]
    arguments, options, job, settings, output = found.groups
    assert arguments.rows == (Row("WHERE", "100% of it"), Row("MORE", "as WHERE"))
    assert options.rows == (
        Row("--tag TAG", "of sm-proxy do"),
        Row("-q, --quiet", "print nothing"),
        Row("--[no-]fast", "hurry"),
        Row("--ask [{a,b}]", "first"),
        Row("--colour COLOUR", f"the paint; one of {'red' * 5}, {'green' * 5}"),
    )
    assert job == Group("the job", (Row("--keep DURATION", "stay"),))
    assert [row.names for row in settings.rows] == ["--region REGION"]
    names = ["--json", "--color WHEN", "-h, --help"]
    assert [row.names for row in output.rows] == names


def test_options_that_help_hides_are_accepted(parser: Parser) -> None:
    found = parser.parse_args(["x", "--tag", "t", "--old", "1", "--profile", "p"])
    assert (found.old, found.profile) == ("1", "p")


def test_actions_come_in_their_order_without_hidden_ones() -> None:
    made = Parser(prog="sm-proxy do")
    actions = made.add_subparsers(metavar="ACTION", parser_class=Parser)
    actions.add_parser("show", help="print it")
    actions.add_parser("secret")
    actions.add_parser("hide", help="remove it")
    assert list(described.subcommands(made)) == ["show", "hide"]
    assert described.usage(made) == ("sm-proxy do ACTION [options]",)
    assert described.describe(made).groups[0] == Group(
        "actions", (Row("show", "print it"), Row("hide", "remove it"))
    )
    assert [each.prog for each in described.walk(made)] == [
        *("sm-proxy do", "sm-proxy do show", "sm-proxy do hide"),
    ]


def test_a_usage_of_its_own_may_have_several_forms() -> None:
    made = Parser(prog="sm-proxy do", usage="%(prog)s FILE\n       %(prog)s -- CMD")
    assert described.usage(made) == ("sm-proxy do FILE", "sm-proxy do -- CMD")
