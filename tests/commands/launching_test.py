"""What the commands that create jobs say of one; `relaunch_test` has the rest."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.commands import launching
from sm_proxy.commands.launching import Launch
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.launch.changes import Change
from sm_proxy.launch.prepare import Prepared
from sm_proxy.launch.request import Made
from tests.launch.relaunching import account


def test_the_summary_is_short_and_shows_each_value_once() -> None:
    changes = [
        Change("A.B", 1, 2, ""),
        Change("A.B", 2, 3, ""),
        Change("On", before=True, after=False, why=""),
        Change("Gone", {"x": 1}, None, ""),
        Change("Long", None, "x" * 41, ""),
        Change("Environment.X", None, "secret", ""),
    ]
    words = "A.B 1 -> 3, On true -> false, no Gone, Long, Environment (1 variable)"
    assert launching.summarize(changes) == words
    assert launching.summarize([]) == "nothing"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "price unknown"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 5400}}, "price unknown, for 1.5 h at most"),
        (
            {
                "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
                "ResourceConfig": {"KeepAlivePeriodInSeconds": 1800},
            },
            "price unknown, for 24 h at most, and its warm pool for 30 min more",
        ),
    ],
)
def test_the_cost_tells_how_long_a_job_is_billed(request_: dict[str, Any], words: str) -> None:
    prepared = Prepared("CreateTrainingJob", Made(request_, (), None), ())
    assert launching.cost(account(), prepared) == words


@pytest.mark.parametrize(
    ("variables", "nodes", "words"),
    [
        ({}, 1, ""),
        ({"SM_PROXY_WAIT": "0"}, 1, ""),
        (
            {"SM_PROXY_WAIT": "900"},
            1,
            "its program waits until you connect, for 15m at most",
        ),
        (
            {"SM_PROXY_WAIT": "1h"},
            2,
            "each node waits for you, for 1h at most; `sm-proxy go sm-x` starts all",
        ),
        (
            {"SM_PROXY_WAIT": "1h", "SM_PROXY_SHELL": "yes"},
            1,
            "its program starts with `sm-proxy go sm-x`",
        ),
    ],
)
def test_the_time_of_the_programs_start_is_printed(
    variables: dict[str, str], nodes: int, words: str
) -> None:
    request = {"Environment": variables, "ResourceConfig": {"InstanceCount": nodes}}
    made = Made(request, (), None)
    launch = Launch(Prepared("CreateTrainingJob", made, ()), (), hostname.parse("sm-x", "sm-"))
    assert launching._start(launch) == words
    hint = launching._with_next_step(SmProxyError("job-failed", "no", "Do it."), launch).hint
    assert ("use --wait" in hint) is not bool(words), "a job that waits needs no wait"
