from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_xdist_make_scheduler

TESTS = [*(f"a_test.py::test_{n}" for n in range(6)), "b_test.py::test_x@g", "b_test.py::test_y@g"]


class Worker:
    """What a schedule needs of xdist's WorkerController."""

    def __init__(self) -> None:
        self.given: list[int] = []
        self.ended = 0
        self.shutting_down = False
        self.gateway = SimpleNamespace(id="a worker")

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.fixture
def workers() -> tuple[Worker, Worker]:
    return Worker(), Worker()


@pytest.fixture
def schedule(workers: tuple[Worker, Worker]) -> Any:
    config: Any = SimpleNamespace(
        getvalue=lambda _: ["2*popen"],
        getoption=lambda _: "loadgroup",
        option=SimpleNamespace(loadscopereorder=True),
    )
    made: Any = pytest_xdist_make_scheduler(config, None)
    for worker in workers:
        made.add_node(worker)
        made.add_node_collection(worker, TESTS)
    made.schedule()
    return made


def end_one(schedule: Any, worker: Worker) -> None:
    schedule.mark_test_complete(worker, worker.given[worker.ended])
    worker.ended += 1


def test_each_test_runs_once_and_a_group_on_one_worker(
    schedule: Any, workers: tuple[Worker, Worker]
) -> None:
    while busy := [worker for worker in workers if worker.ended < len(worker.given)]:
        assert schedule.has_pending
        end_one(schedule, busy[0])
    assert not schedule.has_pending
    assert schedule.tests_finished
    assert sorted(workers[0].given + workers[1].given) == list(range(len(TESTS)))
    assert any({6, 7} <= set(worker.given) for worker in workers)
    assert all(worker.shutting_down for worker in workers)


def test_what_has_ended_is_not_counted_again(schedule: Any, workers: tuple[Worker, Worker]) -> None:
    for _ in range(3):
        end_one(schedule, workers[0])
    assert len(workers[0].given) > 3
    kept = [test for unit in schedule.assigned_work[workers[0]].values() for test in unit]
    assert len(kept) < len(workers[0].given)


def test_the_test_of_a_crash_is_known_and_the_others_go_to_another_worker(
    schedule: Any, workers: tuple[Worker, Worker]
) -> None:
    crashed, other = workers
    for _ in range(2):
        end_one(schedule, crashed)
    assert schedule.remove_node(crashed) == TESTS[crashed.given[2]]
    while other.ended < len(other.given):
        end_one(schedule, other)
    assert set(crashed.given[:2]) | set(other.given) == set(range(len(TESTS)))


@pytest.mark.parametrize("dist", ["load", "no"])
def test_another_schedule_is_xdists(dist: str) -> None:
    config: Any = SimpleNamespace(getoption=lambda _: dist)
    assert pytest_xdist_make_scheduler(config, None) is None
