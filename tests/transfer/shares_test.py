"""Small files over several connections that are lost now and then: the engine and all its parts."""

from __future__ import annotations

import contextlib
import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.transfer.engine import Engine
from sm_proxy.transfer.model import Direction
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.small.batches import SmallFiles
from sm_proxy.transfer.ssh import pipeline
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.trees import unfinished
from sm_proxy.transfer.trees.folders import Folders
from sm_proxy.transfer.trees.tree_down import list_down
from sm_proxy.transfer.trees.tree_up import list_up
from tests.soak import cases
from tests.transfer import sftp_server

FILES = 240
SIZE = 500


class Local:
    """Connections to sftp-servers here.

    Args:
        home: of the servers.
        closers: ends them.
    """

    most = 4

    def __init__(self, home: Path, closers: contextlib.ExitStack) -> None:
        self._home, self._closers = home, closers
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def first(self) -> Connection:
        return self.open(compress=False)

    def open(self, *, compress: bool) -> Connection:
        del compress
        with self._lock:
            number = next(self._numbers)
            return self._closers.enter_context(sftp_server.connection(self._home, number))


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("every", cases([0, 500, 599, 701, 800, 1000], [701]))
def test_each_file_arrives_once_whatever_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: Direction, every: int
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home, here):
        folder.mkdir()
    monkeypatch.chdir(here)
    source, target = (home, here) if direction == "down" else (here, home)
    for number in range(FILES):
        path = source / f"d/{number % 7}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * SIZE)
    meter = Meter()
    with contextlib.ExitStack() as closers:
        connections = Local(home, closers)
        one = connections.first()
        by = list_down if direction == "down" else list_up
        tree = Folders(by(one, ["d"], "new", recursive=True), direction).make(one)
        meter.expect(len(tree.files), sum(file.size for file in tree.files))
        small = SmallFiles(tree.files, direction, sftp_server.Scripts(home), meter)
        cut_every(monkeypatch, every)
        assert Engine(connections, on_moved=meter.moved).run(small.works()) == ()
        small.close()
    assert (len(small.result().files), small.result().problems) == (FILES, ())
    progress = meter.now()
    assert (progress.files_done, progress.bytes_done) == (FILES, progress.bytes_total)
    for number in range(FILES):
        assert (target / f"new/{number % 7}/{number}").read_bytes() == b"%d" % number * SIZE
    left = [path.name for path in (target / "new").rglob(".*") if path.is_file()]
    assert left == [unfinished.NAME], "no part; `Folders.finish` would remove the mark"


def cut_every(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """Cut the connection that gets each so many-th reply, of all connections together.

    All files of a connection advance together: it needs 150 replies for the first one to arrive.
    """
    receive = pipeline.Pipeline._receive
    replies = itertools.count(1)

    def counted(self: Any) -> Any:
        if every and next(replies) % every == 0:
            self._channel.close()
        return receive(self)

    monkeypatch.setattr(pipeline.Pipeline, "_receive", counted)
