"""How pytest-xdist hands tests to its workers."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadGroupScheduling


def make(config: Any, log: Any) -> Any:
    """xdist's own schedule for `--dist=loadgroup`, which forgets the groups that have ended.

    xdist 3.8 keeps them, and after each test it counts all tests that its worker has had. Of
    10,000 tests, each would cost up to 1 ms more. Another version may have no such method.
    """
    schedule = LoadGroupScheduling(config, log)
    count = getattr(schedule, "_pending_of", None)
    if count is None:
        return schedule

    def pending_of(workload: dict[str, dict[str, bool]]) -> Any:
        for group in [name for name, tests in workload.items() if all(tests.values())]:
            del workload[group]
        return count(workload)

    schedule._pending_of = pending_of
    return schedule
