"""`cp` is killed at any moment, and its connections end at any moment: it goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.copies import MIB, command, cp, folder_there, leaves_nothing, names, received
from tests.e2e.labs import Lab
from tests.soak import SOAK

pytestmark = pytest.mark.e2e

KILLS = 200 if SOAK else 5
KILLS_OF_ONE_COPY = 5
WAYS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FAULTS = 20 if SOAK else 4
SIZE = (64 if SOAK else 4) * MIB
PLAIN = ("--compress", "no")
"""Otherwise each run reads a sample first."""
PER_KILL = MIB // 2
"""So many bytes may come again after a kill: what was under way, and another login."""


@dataclass(frozen=True)
class Source:
    """A file in the container, and what a copy of it costs if nothing goes wrong."""

    place: str
    digest: str
    seconds: float
    received: int


@pytest.fixture(scope="module")
def source(host_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A file that does not compress."""
    folder, target = folder_there(host_lab), tmp_path_factory.mktemp("calm") / "file"
    script = f"cd {folder}; head -c {SIZE} /dev/urandom >file; sha256sum file"
    digest = host_lab.ok(host_lab.host, script).split()[0].decode()
    place = f"{host_lab.host}:{folder}/file"
    began, before = time.monotonic(), received(host_lab)
    cp(host_lab, *PLAIN, place, str(target), timeout=600)
    assert _digest(target) == digest
    calm = received(host_lab) - before
    yield Source(place, digest, time.monotonic() - began, calm)
    host_lab.ok(host_lab.host, f"rm -r {folder}")


def test_a_copy_that_is_killed_at_any_moment_goes_on(
    lab: Lab, source: Source, tmp_path: Path
) -> None:
    """The next run takes over what there is, and nothing else is left."""
    seed = random.randrange(1 << 32)  # noqa: S311
    sys.stderr.write(f"seed {seed}\n")  # shown if the test fails
    chance = random.Random(seed)  # noqa: S311 - any moment
    for round_ in range(KILLS // KILLS_OF_ONE_COPY):
        folder = tmp_path / str(round_)
        folder.mkdir()
        target, before, complete = folder / "file", received(lab), 1
        for _ in range(KILLS_OF_ONE_COPY):
            _kill(lab, source, target, chance)
            if target.exists():  # the kill came too late
                complete += 1
                target.unlink()
        cp(lab, *PLAIN, source.place, str(target), timeout=600)
        assert _digest(target) == source.digest
        assert names(folder) == ["file"]
        allowed = source.received * complete + KILLS_OF_ONE_COPY * PER_KILL
        assert received(lab) - before < allowed, complete
        lab.warm("list")  # a killed process leaves its sessions to the next command
        leaves_nothing(lab)


def _kill(lab: Lab, source: Source, target: Path, chance: random.Random) -> None:
    """Begin a copy and kill it."""
    process = lab.popen(
        *command(*PLAIN, source.place, str(target)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(chance.random() * source.seconds)
    ended = process.poll()
    process.send_signal(way := chance.choice(WAYS))
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err, (way, err.decode())
    assert ended in {None, 0}, err.decode()


def test_a_lost_connection_costs_few_bytes(lab: Lab, source: Source, tmp_path: Path) -> None:
    """Websockets are cut and sessions ended; the copy needs no help."""
    before = received(lab)
    with _faults(lab, source.seconds / (FAULTS + 1)) as done:
        cp(lab, *PLAIN, source.place, str(tmp_path / "file"), timeout=600)
    assert _digest(tmp_path / "file") == source.digest
    again = received(lab) - before - source.received
    assert done
    assert again < max(SIZE // 20, len(done) * PER_KILL), (again, done)
    leaves_nothing(lab)


@contextlib.contextmanager
def _faults(lab: Lab, every_s: float) -> Iterator[list[str]]:
    """Cut a websocket or end a session in turn, while the block runs."""
    done: list[str] = []
    over = threading.Event()

    def work() -> None:
        while len(done) < FAULTS and not over.wait(every_s):
            sessions = lab.sessions()
            if sessions:
                kind = ("cut", "terminate")[len(done) % 2]
                request: dict[str, Any] = {"session": sessions[len(done) % len(sessions)]}
                lab._gateway(op=kind, side="client", **request)
                done.append(kind)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
