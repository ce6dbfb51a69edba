from __future__ import annotations

import pytest

from tests.lab.aws.harness import Lab
from tests.lab.aws.logs.helpers import put, texts


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("marker", ['{"sm_proxy_marker": 1}', "a marker elsewhere"]),
        ('"marker elsewhere"', ["a marker elsewhere"]),
        ("{ $.sm_proxy_marker = 1 }", ['{"sm_proxy_marker": 1}']),
        ("?inet ?elsewhere", ["inet 10.0.1.2/24", "a marker elsewhere"]),
        ("marker -elsewhere", ['{"sm_proxy_marker": 1}']),
        ("%inet [0-9.]+%", ["inet 10.0.1.2/24"]),
    ],
)
def test_a_filter_pattern_selects_events(
    lab: Lab, stream: dict[str, str], pattern: str, wanted: list[str]
) -> None:
    put(lab, stream, '{"sm_proxy_marker": 1}', "inet 10.0.1.2/24", "a marker elsewhere")
    page = lab.client("logs").filter_log_events(
        logGroupName=stream["logGroupName"], filterPattern=pattern
    )
    assert texts(page) == wanted
