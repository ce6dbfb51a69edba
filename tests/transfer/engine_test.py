from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local.threads import Background
from sm_proxy.transfer import engine
from sm_proxy.transfer.engine import Engine
from sm_proxy.transfer.ssh.connection import Connection
from tests.transfer.sftp_world import World

Step = Callable[[Connection, Callable[[int], None]], None]


class Job:
    """A work of the test's."""

    def __init__(self, path: str, step: Step) -> None:
        self.path, self.size, self._step = path, 1, step

    def run(self, connection: Connection, moved: Callable[[int], None]) -> None:
        self._step(connection, moved)


def lose(connection: Connection) -> None:
    """Cut a connection, as its user sees it."""
    connection.close()
    raise EOFError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, most=3)


def test_each_task_runs_once_over_at_most_the_allowed_connections(world: World) -> None:
    met = threading.Barrier(3, timeout=60)
    ran: list[str] = []

    def step(name: str, connection: Connection, moved: Callable[[int], None]) -> None:
        if int(name) < 3:
            met.wait()  # three run at the same time
        ran.append(name)
        moved(5)

    jobs = [Job(str(n), lambda c, m, n=n: step(str(n), c, m)) for n in range(10)]  # type: ignore[misc]
    counts: list[int] = []
    one = Engine(world, on_moved=counts.append)
    assert one.run(jobs) == ()
    assert sorted(ran) == [str(n) for n in range(10)]
    assert (one.sessions, sum(counts)) == (3, 50)


def test_no_work_opens_no_connection(world: World) -> None:
    assert Engine(world).run([]) == ()
    assert world.opened == 0


def test_the_task_of_a_lost_connection_runs_again_over_another(world: World) -> None:
    world.most = 1
    numbers: list[int] = []

    def step(connection: Connection, _: Callable[[int], None]) -> None:
        numbers.append(connection.number)
        if len(numbers) < 3:
            lose(connection)

    assert Engine(world).run([Job("a", step)]) == ()
    assert numbers == [1, 2, 3]


def test_an_error_of_one_file_is_a_problem_and_the_rest_continues(world: World) -> None:
    def fail(error: Exception) -> Step:
        def step(*_: Any) -> None:
            raise error

        return step

    ran: list[int] = []
    jobs = [
        Job("a", fail(OSError("Failure"))),
        Job("b", fail(SmProxyError("source-changed", "b: it changed"))),
        Job("c", lambda c, _: ran.append(c.number)),
    ]
    world.most = 1
    problems = Engine(world).run(jobs)
    assert [(problem.path, problem.error.code) for problem in problems] == [
        ("a", "copy-failed"),
        ("b", "source-changed"),
    ]
    assert ran == [1]


class LastFile(Job):
    """A file that has failed, and whose error is still on its way: `over` tells so already."""

    def __init__(self) -> None:
        super().__init__("last", self._fail)
        self.over = False
        self.group = self

    def _fail(self, *_: Any) -> None:
        self.over = True
        time.sleep(0.2)  # the calling thread sees that all is over
        raise SmProxyError("not-verified", "its checksum is unknown")

    def ready(self) -> None:
        """There is nothing to do."""

    def help(self) -> None:
        """There is nothing to do."""

    def close(self) -> None:
        """There is nothing to do."""


def test_the_last_file_that_fails_is_a_problem_though_all_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_TICK_S", 0.01)
    world.most = 1
    (problem,) = Engine(world).run([LastFile()])
    assert problem.error.code == "not-verified"


def test_a_bug_in_a_task_is_raised_in_the_calling_thread(world: World) -> None:
    def step(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Engine(world).run([Job("a", step)])


@pytest.mark.parametrize("code", ["job-ended", "login-refused"])
def test_the_end_of_the_job_is_reported_instead_of_the_lost_session(
    world: World, code: Code
) -> None:
    def refuse(number: int) -> None:
        if number > 3:
            raise SmProxyError(code, "why it ended")

    met = threading.Barrier(3, timeout=60)

    def step(connection: Connection, _: Callable[[int], None]) -> None:
        met.wait()
        lose(connection)

    world.fail_open = refuse
    with pytest.raises(SmProxyError, match="why it ended") as caught:
        Engine(world).run([Job(str(n), step) for n in range(3)])
    assert caught.value.code == code


def test_a_connection_that_cannot_be_opened_leaves_its_tasks_to_the_others(world: World) -> None:
    def refuse(number: int) -> None:
        if number > 1:
            raise SmProxyError("throttled", "too many sessions")

    world.fail_open = refuse
    one = Engine(world)
    ran: list[int] = []
    assert one.run([Job("a", lambda c, _: ran.append(c.number)) for _ in range(5)]) == ()
    assert (ran, one.sessions) == ([1] * 5, 1)


def test_a_network_that_comes_back_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PAUSE_S", (0.01, 0.02))
    world.most = 1

    def away(number: int) -> None:
        if 1 < number < 6:
            raise SmProxyError("network", "no network")

    world.fail_open = away
    numbers: list[int] = []

    def step(connection: Connection, _: Callable[[int], None]) -> None:
        numbers.append(connection.number)
        if len(numbers) == 1:
            lose(connection)

    assert Engine(world).run([Job("a", step)]) == ()
    assert numbers == [1, 6]


def test_connections_that_bring_no_byte_are_not_replaced_for_ever(world: World) -> None:
    def step(connection: Connection, moved: Callable[[int], None]) -> None:
        if connection.number == 5:
            moved(1)
        lose(connection)

    world.most = 1
    with pytest.raises(SmProxyError, match="no byte came") as caught:
        Engine(world).run([Job("a", step)])
    assert caught.value.code == "session-lost"
    assert world.opened == 4 + engine.REPLACEMENTS + 1


def test_a_network_that_stays_away_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PAUSE_S", (0.01, 0.02))
    monkeypatch.setattr(engine, "GIVE_UP_S", 0.1)

    def away(number: int) -> None:
        if number > 1:
            raise SmProxyError("network", "no network")

    world.most = 1
    world.fail_open = away
    with pytest.raises(SmProxyError, match="no network"):
        Engine(world).run([Job("a", lambda c, _: lose(c))])


def test_an_interrupt_closes_what_runs_and_leaves_no_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = threading.Event()

    def step(connection: Connection, _: Callable[[int], None]) -> None:
        running.set()
        cast(Any, connection.process).wire.recv(1)  # nothing comes
        raise EOFError

    one = Engine(world)

    def interrupt() -> bool:
        if running.wait(0.01):
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(one, "_finished", interrupt)
    with pytest.raises(KeyboardInterrupt):
        one.run([Job("a", step)])
    assert not any(thread.is_alive() for thread in one._threads)


def test_an_upload_begins_with_one_connection_and_opens_another_if_that_may_help(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    helps = SimpleNamespace(wants_one=lambda moved: moved > 0)
    monkeypatch.setattr(engine, "Growth", lambda: helps)
    monkeypatch.setattr(engine, "_TICK_S", 0.01)
    world.most = 2
    second = threading.Event()
    numbers: list[int] = []

    def step(connection: Connection, moved: Callable[[int], None]) -> None:
        numbers.append(connection.number)
        if connection.number == 1:
            while not second.wait(0.001):
                moved(1000)
        second.set()

    Engine(world, gently=True).run([Job(str(n), step) for n in range(5)])
    assert numbers[:2] == [1, 2]


def test_a_connection_that_is_no_longer_needed_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_JOIN_S", 60.0)
    opening, go_on = threading.Event(), threading.Event()

    def open_slowly(number: int) -> None:
        if number > 1:
            opening.set()
            go_on.wait(60)

    def step(*_: Any) -> None:
        opening.wait(60)

    world.fail_open = open_slowly
    run = Background(lambda: Engine(world).run([Job(str(n), step) for n in range(3)]))
    try:
        assert run.settled(20) == ()
    finally:
        go_on.set()
