from __future__ import annotations

from sm_proxy.launch.changes import Change
from sm_proxy.launch.diff import render
from sm_proxy.local.screen import Screen

CHANGES = (
    Change("Environment.A", None, "x y", "it is new"),
    Change("StoppingCondition.MaxRuntimeInSeconds", 3600, 5400, "it takes longer"),
    Change("DebugRuleConfigurations", [{"RuleConfigurationName": "r"}], None, "it is billed"),
)


def test_each_change_shows_its_path_values_and_reason() -> None:
    assert render(CHANGES, Screen()).splitlines() == [
        '+ Environment.A: "x y"',
        "    it is new",
        "~ StoppingCondition.MaxRuntimeInSeconds: 3600 -> 5400",
        "    it takes longer",
        '- DebugRuleConfigurations: [{"RuleConfigurationName": "r"}]',
        "    it is billed",
    ]


def test_only_the_sign_is_coloured() -> None:
    first, second, *_ = render(CHANGES, Screen(colours=True)).splitlines()
    assert first == '\033[32m+\033[0m Environment.A: "x y"'
    assert second == "    it is new"


def test_a_value_cannot_reach_the_terminal_as_an_escape_sequence() -> None:
    shown = render([Change("Environment.A", None, "\x1b[2J\nnext", "\x07why")], Screen())
    assert all(line.isprintable() for line in shown.splitlines())
    assert len(shown.splitlines()) == 2
