from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pytest

from sm_proxy.daemon import keepers
from sm_proxy.daemon.keepers import ADD, Keepers, Question
from sm_proxy.daemon.lines import Lines
from sm_proxy.local import poll

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")


class World:
    """A daemon's list, whose keepers are the sockets that each process would have."""

    def __init__(self) -> None:
        self.processes: list[list[socket.socket]] = []
        self.works = True
        self.keepers = Keepers(self._start)
        self._opened: list[socket.socket] = []

    def _start(self, sockets: Sequence[socket.socket]) -> int:
        if not self.works:
            raise BlockingIOError("no more processes")
        self.processes.append([each.dup() for each in sockets])
        return 100 + len(self.processes)

    def ask(self, question: Question) -> tuple[Lines, socket.socket]:
        """Ask, and return the connection's ends."""
        (messages, theirs), (data, far) = socket.socketpair(), socket.socketpair()
        self._opened += messages, data
        self.look()
        with theirs, far:
            self.keepers.assign(asdict(question), (theirs, far))
        return Lines(messages), data

    def look(self) -> None:
        for fileno in self.keepers.filenos():
            if poll.wait([fileno], [], [], 0).readable:
                self.keepers.heard(fileno)

    def close(self) -> None:
        self.keepers.close()
        for each in [*self._opened, *(end for process in self.processes for end in process)]:
            each.close()


@pytest.fixture
def world() -> Iterator[World]:
    with contextlib.closing(World()) as found:
        yield found


def given(process: list[socket.socket]) -> list[int]:
    """The descriptors that a keeper gets next."""
    data, fds, _, _ = socket.recv_fds(process[0], 8, 2)
    assert data == ADD
    return fds


def test_the_first_connection_begins_a_keeper_and_the_next_one_goes_to_it(world: World) -> None:
    messages, data = world.ask(Question("a"))
    assert len(world.processes) == 1
    world.processes[0][2].sendall(b"bytes")
    assert data.recv(9) == b"bytes"
    Lines(world.processes[0][1]).send({"state": "start"})
    assert messages.next(time.monotonic() + 30) == {"state": "start"}

    _, second = world.ask(Question("a"))
    assert len(world.processes) == 1
    _, fd = given(world.processes[0])
    with socket.socket(fileno=fd) as end:
        end.sendall(b"more")
    assert second.recv(9) == b"more"


@pytest.mark.parametrize(
    "question", [Question("b"), Question("a", ["s-1"]), Question("a", ["s-7", "s-1"], sure=True)]
)
def test_another_key_or_a_refusal_begins_another_keeper(question: Question, world: World) -> None:
    world.ask(Question("a"))
    Lines(world.processes[0][0]).send({"session": "s-1"})
    world.look()
    world.ask(question)
    assert len(world.processes) == 2


def test_a_keeper_that_has_ended_gets_no_connection(world: World) -> None:
    world.ask(Question("a"))
    for each in world.processes[0]:
        each.close()
    world.ask(Question("a"))
    assert len(world.processes) == 2


def test_the_last_used_of_many_unused_sessions_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepers, "UNUSED", 2)
    for number, name in enumerate("abcd"):
        world.ask(Question(name))
        Lines(world.processes[number][0]).send({"session": name, "streams": 0 if number else 1})
        world.look()
    assert [each.session for each in world.keepers.states()] == ["a", "c", "d"]
    assert world.processes[1][0].recv(1) == b""  # its keeper sees that it is to end
    world.ask(Question("c"))  # it is in use again
    Lines(world.processes[0][0]).send({"session": "a", "streams": 0})
    world.look()
    assert [each.session for each in world.keepers.states()] == ["a", "c", "d"]


def test_a_key_that_does_not_tell_the_principal_is_not_shared(world: World) -> None:
    world.ask(Question("a"))
    Lines(world.processes[0][0]).send({"key": "a of one", "session": "s-1"})
    world.look()
    for _ in range(2):
        messages, _ = world.ask(Question("a"))
        assert messages.next(time.monotonic() + 30) == {"state": "resolve"}
    world.ask(Question("a of one", sure=True))
    assert len(world.processes) == 1
    world.ask(Question("a of another", sure=True))
    assert len(world.processes) == 2


def test_a_connection_sees_at_once_that_no_process_can_be_started(world: World) -> None:
    world.works = False
    messages, data = world.ask(Question("a"))
    assert (messages.next(time.monotonic() + 30), messages.ended) == (None, True)
    assert data.recv(1) == b""
    world.works = True
    world.ask(Question("a"))
    assert len(world.processes) == 1


def test_the_status_shows_what_keepers_tell(world: World) -> None:
    world.ask(Question("a"))
    state = {"session": "s-1", "target": "i-1 to 10.0.1.5:22", "streams": 0}
    Lines(world.processes[0][0]).send({**state, "ends": time.time() + 60})
    world.look()
    (found,) = world.keepers.states()
    assert (found.pid, found.session, found.target) == (101, "s-1", "i-1 to 10.0.1.5:22")
    assert found.ends_in is not None
    assert 0 < found.ends_in <= 60


@pytest.mark.parametrize(
    "question", [None, {}, {"key": "a", "more": 1}, [1], {"key": "a", "without": 1}]
)
def test_an_invalid_question_is_dropped(question: object, world: World) -> None:
    world.ask(Question("a"))
    with socket.socket() as messages, socket.socket() as data:
        world.keepers.assign(question, (messages, data))
    assert len(world.processes) == 1


def test_a_question_without_both_sockets_is_dropped(world: World) -> None:
    with socket.socket() as messages:
        world.keepers.assign(asdict(Question("a")), [messages])
    assert world.processes == []


def test_a_key_is_not_forgotten_because_its_keeper_tells_much(world: World) -> None:
    world.ask(Question("a"))
    for streams in range(100):
        state = {"key": "a of one", "session": "s-1", "streams": streams}
        Lines(world.processes[0][0]).send(state)
    world.look()
    messages, _ = world.ask(Question("a"))
    assert messages.next(time.monotonic() + 30) == {"state": "resolve"}


def test_a_session_that_was_refused_to_a_connection_is_unused_again(world: World) -> None:
    state = {"session": "s-1", "streams": 0}
    world.ask(Question("a", ahead=True))
    Lines(world.processes[0][0]).send({**state, "taken": 0})
    world.look()
    world.ask(Question("a"))
    world.ask(Question("a", ahead=True))
    assert len(world.processes) == 2  # the first one has a connection on its way to it
    for process in world.processes:
        Lines(process[0]).send({**state, "taken": 1})
    world.look()
    world.ask(Question("a", ahead=True))
    assert len(world.processes) == 2


def test_a_stopped_keeper_gets_no_connection_until_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"session": "s-1", "streams": 1}
    world.ask(Question("a"))
    Lines(world.processes[0][0]).send({**state, "taken": 0})
    monkeypatch.setattr(keepers, "_SILENT_S", 600)
    world.ask(Question("a"))
    world.ask(Question("a"))
    assert len(world.processes) == 1
    monkeypatch.setattr(keepers, "_SILENT_S", 0)
    world.ask(Question("a"))
    assert len(world.processes) == 2
    for each in world.processes[1]:
        each.close()
    Lines(world.processes[0][0]).send({**state, "taken": 2})
    world.look()
    world.ask(Question("a"))
    assert len(world.processes) == 2
