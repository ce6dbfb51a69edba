"""The connections of a copy: used again while they live, replaced when they are lost."""

from __future__ import annotations

import errno
from typing import Any, cast

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.pool import Pool
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.ssh.connections import Connections


class Link:
    """A connection that dies when it is told to."""

    def __init__(self, number: int, *, compressed: bool) -> None:
        self.number = number
        self.compressed = compressed
        self.alive = True
        self.closed = False

    def failure(self, error: Exception) -> SmProxyError | None:
        del error
        return None if self.alive else SmProxyError("session-lost", f"number {self.number}")

    def close(self) -> None:
        self.alive = False
        self.closed = True


class Opener:
    """Stands in for `Connections`."""

    most = 8

    def __init__(self) -> None:
        self.made: list[Link] = []
        self.firsts = 0

    def first(self, *, compress: bool | None = None) -> Link:
        self.firsts += 1
        return self.open(compress=compress is not False)

    def open(self, *, compress: bool = False) -> Link:
        self.made.append(Link(len(self.made) + 1, compressed=compress))
        return self.made[-1]


def pool() -> tuple[Pool, Opener]:
    opener = Opener()
    return Pool(cast("Connections", opener)), opener


def number(connection: Connection) -> int:
    return connection.number


def test_one_connection_answers_all_questions() -> None:
    shared, opener = pool()
    assert [shared.ask(number) for _ in range(3)] == [1, 1, 1]
    assert opener.firsts == 1


def test_the_next_step_reuses_the_connections_of_the_last() -> None:
    shared, opener = pool()
    shared.first()
    shared.open(compress=False)
    shared.open(compress=False)
    opener.made[1].close()
    shared.release()
    found = {shared.first().number, shared.open(compress=False).number}
    assert found == {1, 3}
    assert shared.open(compress=False).number == 4


def test_a_question_goes_to_another_connection_if_one_is_lost() -> None:
    shared, opener = pool()

    def ask(connection: Connection) -> int:
        link = cast("Link", connection)
        if link.number < 3:
            link.alive = False
            raise EOFError
        return link.number

    assert shared.ask(ask) == 3
    assert opener.firsts == 1
    assert shared.ask(number) == 3


def test_the_last_lost_connection_tells_why() -> None:
    shared, opener = pool()

    def ask(connection: Connection) -> None:
        cast("Link", connection).alive = False
        raise OSError

    with pytest.raises(SmProxyError, match="number 5"):
        shared.ask(ask)
    assert all(link.closed for link in opener.made)


def test_an_error_about_a_file_loses_no_connection() -> None:
    shared, opener = pool()

    def ask(_: Any) -> None:
        raise OSError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        shared.ask(ask)
    assert shared.ask(number) == 1
    assert len(opener.made) == 1


def test_a_connection_that_compresses_wrongly_is_replaced() -> None:
    shared, opener = pool()
    assert shared.ask(number) == 1
    shared.prefer(compress=True)
    assert shared.ask(number) == 1
    shared.prefer(compress=False)
    assert shared.ask(number) == 2
    assert opener.made[0].closed
    assert not opener.made[1].compressed
    assert opener.firsts == 1
