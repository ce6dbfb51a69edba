"""Copies to and from several nodes: one that fails does not end the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.transfer import copy as copying
from sm_proxy.transfer import places, task
from sm_proxy.transfer.model import Outcome, Problem
from sm_proxy.transfer.task import Options, Task

Run = Callable[[Task], Outcome]


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], list[str]]:
    """Let the copy of each of three nodes be a function; returns the hosts that were closed."""

    def prepare(run: Run) -> list[str]:
        closed: list[str] = []

        class Copy:
            def __init__(self, asked: Task, *_: Any) -> None:
                self.asked = asked

            def run(self) -> Outcome:
                return run(self.asked)

            def close(self) -> None:
                closed.append(self.asked.host)

        monkeypatch.setattr(copying, "ContainerCopy", Copy)
        hosts = tuple(f"sm-bert.algo-{number}" for number in (1, 2, 3))
        monkeypatch.setattr(task, "_hosts", lambda *_: hosts)
        return closed

    return prepare


def copy() -> Outcome:
    ends = places.ends(["a"], "sm-bert.*:/tmp/")
    return copying.copy(ends, Settings(), Aws(None, "eu-west-1"), Options())


def test_an_error_of_one_node_is_a_problem_and_paths_name_their_node(
    nodes: Callable[[Run], list[str]],
) -> None:
    def run(asked: Task) -> Outcome:
        if asked.host.endswith("1"):
            return Outcome(2, 20, 1.0, 3, "ssh", verified=True)
        if asked.host.endswith("2"):
            raise SmProxyError("connect-refused", "nobody listens", "Wait.")
        denied = SmProxyError("copy-failed", "/x/y: Permission denied")
        return Outcome(1, 10, 1.0, 3, "ssh", verified=True, problems=(Problem("/x/y", denied),))

    nodes(run)
    found = copy()
    assert (found.files, found.bytes, found.sessions) == (3, 30, 6)
    assert [(each.path, each.error.code, each.error.message) for each in found.problems] == [
        ("sm-bert.algo-2", "connect-refused", "nobody listens"),
        (
            "sm-bert.algo-3:/x/y",
            "copy-failed",
            "sm-bert.algo-3:/x/y: Permission denied",
        ),
    ]


def test_an_interrupt_closes_the_connections_of_all_nodes(
    nodes: Callable[[Run], list[str]],
) -> None:
    def run(_: Task) -> Outcome:
        raise KeyboardInterrupt

    closed = nodes(run)
    with pytest.raises(KeyboardInterrupt):
        copy()
    assert len(closed) == 3


def test_an_interrupt_closes_them_at_the_same_time(
    nodes: Callable[[Run], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(_: Task) -> Outcome:
        raise KeyboardInterrupt

    nodes(run)
    met = threading.Barrier(3, timeout=20)
    monkeypatch.setattr("sm_proxy.transfer.copy.ContainerCopy.close", lambda _: met.wait())
    with pytest.raises(KeyboardInterrupt):
        copy()
