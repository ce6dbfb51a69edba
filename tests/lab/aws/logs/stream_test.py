from __future__ import annotations

import time

from tests.lab.aws.harness import Lab
from tests.lab.aws.logs.helpers import put, texts


def test_events_are_ordered_by_their_time(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, "later", at=2000)
    put(lab, stream, "sooner", at=1000)
    assert texts(lab.client("logs").get_log_events(**stream)) == ["sooner", "later"]


def test_a_million_generated_lines_cost_nothing(lab: Lab, stream: dict[str, str]) -> None:
    put(lab, stream, "marker", at=int(time.time() * 1000) - 60_000)
    started = time.perf_counter()
    lab.control.filler(stream["logGroupName"], stream["logStreamName"], 1_000_000)
    logs = lab.client("logs")
    first = logs.get_log_events(**stream, startFromHead=True, limit=3)
    last = logs.get_log_events(**stream, limit=1)
    near_the_end = last["events"][0]["timestamp"] - 1000
    middle = logs.get_log_events(**stream, startTime=near_the_end, limit=1)
    assert time.perf_counter() - started < 20  # a million stored events would take longer
    assert texts(first)[0] == "marker"
    assert "step 0 " in texts(first)[1]
    assert "step 999999 " in texts(last)[0]
    assert len(middle["events"]) == 1
    full = logs.get_log_events(**stream, startFromHead=True)
    assert 5_000 < len(full["events"]) <= 10_000


def test_late_events_appear_after_their_delay_and_in_order(
    lab: Lab, stream: dict[str, str]
) -> None:
    logs = lab.client("logs")

    def write(where: dict[str, str], delay_ms: int) -> None:
        lab.control.faults(log_delay_ms=delay_ms)
        put(lab, where, "late")
        lab.control.faults(log_delay_ms=0)
        put(lab, where, "behind it", at=1_700_000_000_009)

    write(stream, 3_600_000)
    assert texts(logs.get_log_events(**stream)) == []
    other = stream | {"logStreamName": "job/algo-2-1700000000"}
    write(other, 300)
    until = time.monotonic() + 60
    while texts(logs.get_log_events(**other)) != ["late", "behind it"]:
        assert time.monotonic() < until
