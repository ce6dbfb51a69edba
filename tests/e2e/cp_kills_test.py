"""`cp` is killed at any moment, and its connections end at any moment: it goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.copies import (
    MIB,
    SESSIONS,
    command,
    contents,
    cp,
    folder_there,
    leaves_nothing,
    moved,
    names,
)
from tests.e2e.labs import Lab
from tests.soak import SOAK, cases

pytestmark = pytest.mark.e2e

KILLS = 200 if SOAK else 2
KILLS_OF_ONE_COPY = 5 if SOAK else 2
WAYS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FAULTS = 20 if SOAK else 4
PLAIN = ("--compress", "no", SESSIONS, "2")
"""Otherwise each run reads a sample first."""
PER_KILL = MIB // 2
"""So many bytes may come again after a kill: what was under way, and another login."""


@dataclass(frozen=True)
class Source:
    """A file in the container, and what a copy of it costs if nothing goes wrong.

    Attributes:
        place: the word for `cp`.
        digest: its SHA-256.
        size: in bytes.
        seconds: of a whole copy.
        moved: bytes through the laptop's network, in both directions.
    """

    place: str
    digest: str
    size: int
    seconds: float
    moved: int


@contextlib.contextmanager
def made(lab: Lab, folder: Path, size: int) -> Iterator[Source]:
    """A file in the container that does not compress, copied once."""
    there, target = folder_there(lab), folder / "calm"
    script = f"cd {there}; head -c {size} /dev/urandom >file; sha256sum file"
    digest = lab.ok(lab.host, script).split()[0].decode()
    place = f"{lab.host}:{there}/file"
    began, before = time.monotonic(), moved(lab)
    cp(lab, *PLAIN, place, str(target), timeout=600)
    assert _digest(target) == digest
    calm = moved(lab) - before
    yield Source(place, digest, size, time.monotonic() - began, calm)
    lab.ok(lab.host, f"rm -r {there}")


@pytest.fixture(scope="module")
def source(host_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A file that takes seconds to copy."""
    with made(host_lab, tmp_path_factory.mktemp("source"), 4 * MIB) as found:
        yield found


@pytest.mark.parametrize("copy", range(KILLS // KILLS_OF_ONE_COPY))
def test_a_download_that_is_killed_at_any_moment_goes_on(
    lab: Lab, source: Source, copy: int, tmp_path: Path
) -> None:
    """The next run takes over what there is, and nothing else is left."""
    chance = _chance(copy)
    target, before, complete = tmp_path / "file", moved(lab), 1
    for _ in range(KILLS_OF_ONE_COPY):
        _kill(lab, [source.place, str(target)], chance, source.seconds)
        if target.exists():  # the kill came too late
            complete += 1
            target.unlink()
    cp(lab, *PLAIN, source.place, str(target), timeout=600)
    assert _digest(target) == source.digest
    assert names(tmp_path) == ["file"]
    assert moved(lab) - before < source.moved * complete + KILLS_OF_ONE_COPY * PER_KILL
    lab.warm("list")  # a killed process leaves its sessions to the next command
    leaves_nothing(lab)


@pytest.mark.parametrize("copy", cases(range(10), [0]))
def test_an_upload_that_is_killed_at_any_moment_goes_on(
    lab: Lab, copy: int, tmp_path: Path
) -> None:
    chance, here, there = _chance(copy), tmp_path / "file", folder_there(lab)
    data = secrets.token_bytes(8 * MIB)
    here.write_bytes(data)
    for _ in range(KILLS_OF_ONE_COPY):
        _kill(lab, [str(here), f"{lab.host}:{there}"], chance, 2.0)
    cp(lab, *PLAIN, str(here), f"{lab.host}:{there}")
    found = lab.ok(lab.host, f"cd {there}; ls -A; sha256sum file; rm -r {there}").split()
    assert found[:2] == [b"file", hashlib.sha256(data).hexdigest().encode()], "and no part file"
    lab.warm("list")
    leaves_nothing(lab)


@pytest.mark.parametrize("copy", cases(range(10), []))
@pytest.mark.parametrize("up", [False, True])
def test_a_tree_that_is_killed_at_any_moment_goes_on(
    lab: Lab, *, copy: int, up: bool, tmp_path: Path
) -> None:
    """In the folder that it has made, although scp would now copy into it."""
    chance, there, here = _chance(copy), folder_there(lab), tmp_path / "tree"
    (here / "sub").mkdir(parents=True)
    for number in range(100):
        (here / "sub" / str(number)).write_bytes(secrets.token_bytes(4096))
    (here / "large").write_bytes(secrets.token_bytes(2 * MIB))
    (here / "sub").chmod(0o510)
    words = [str(here), f"{lab.host}:{there}/tree"]
    back = [words[1], str(tmp_path / "back")]
    if not up:
        cp(lab, "-r", *words)
    for _ in range(KILLS_OF_ONE_COPY):
        _kill(lab, ["-r", *(words if up else back)], chance, 4.0)
    if up:
        cp(lab, "-r", *words)
    found = cp(lab, "-r", *back)["data"]
    if not (tmp_path / "back" / "tree").exists():  # else a kill came too late
        assert found["files"] == 101
        assert contents(tmp_path / "back") == contents(here)


def _chance(number: int) -> random.Random:
    """Any moments: the seed is shown if the test fails."""
    seed = f"{number}-{random.randrange(1 << 32)}"  # noqa: S311
    sys.stderr.write(f"seed {seed}\n")
    return random.Random(seed)  # noqa: S311


def _kill(lab: Lab, words: list[str], chance: random.Random, within_s: float) -> None:
    """Begin a copy and kill it."""
    process = lab.popen(*command(*PLAIN, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(chance.random() * within_s)
    ended = process.poll()
    process.send_signal(way := chance.choice(WAYS))
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err, (way, err.decode())
    assert ended in {None, 0}, err.decode()


def test_a_lost_connection_costs_few_bytes(lab: Lab, source: Source, tmp_path: Path) -> None:
    """Websockets are cut and sessions ended; the copy needs no help."""
    with contextlib.ExitStack() as stack:
        if SOAK:
            source = stack.enter_context(made(lab, tmp_path, 64 * MIB))
        before = moved(lab)
        with _faults(lab, source.seconds / (FAULTS + 1)) as done:
            cp(lab, *PLAIN, source.place, str(tmp_path / "file"), timeout=600)
        again = moved(lab) - before - source.moved
        assert _digest(tmp_path / "file") == source.digest
    assert done
    assert again < max(source.moved // 20, len(done) * PER_KILL), (again, done)
    leaves_nothing(lab)


@contextlib.contextmanager
def _faults(lab: Lab, every_s: float) -> Iterator[list[str]]:
    """Cut a websocket or end a session in turn, while the block runs."""
    done: list[str] = []
    over = threading.Event()

    def work() -> None:
        while len(done) < FAULTS and not over.wait(every_s):
            if sessions := lab.sessions():
                kind = ("cut", "terminate")[len(done) % 2]
                session = sessions[len(done) % len(sessions)]
                lab._gateway(op=kind, side="client", session=session)
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
