"""Copies whose websocket is cut again and again: every byte arrives, or the copy says why not."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.labs import Lab, code_of, last_line, running
from tests.soak import SOAK

pytestmark = pytest.mark.e2e

MIB = 1 << 20


class Cutter:
    """Cuts the client's websocket of every session so many times, spread over a copy."""

    def __init__(self, lab: Lab, every_s: float, times: int) -> None:
        self.done = 0
        self._lab = lab
        self._every_s = every_s
        self._times = times
        self._over = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Cut while the block runs."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while self.done < self._times and not self._over.wait(self._every_s):
            self.done += self._lab.cut_clients()


def digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(MIB):
            found.update(data)
    return found.hexdigest()


def write_random(path: Path, mib: int) -> None:
    """A file of incompressible bytes."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(secrets.token_bytes(MIB))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of its own: the cuts hit every session."""
    with running(tmp_path_factory.mktemp("cuts")) as lab:
        yield lab


def test_upload_with_ten_cuts(own: Lab, tmp_path: Path) -> None:
    source = tmp_path / "up.bin"
    write_random(source, 256)
    ml = own.environment["SM_PROXY_LAB_ML_DIR"]
    cutter = Cutter(own, 0.7, 10)
    with cutter.at_work():
        copied = own.run(
            "scp", "-qF", own.config, "-oCompression=no", str(source), f"{own.host}:{ml}/up.bin",
            timeout=300,
        )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    assert cutter.done == 10
    there = own.ok(own.host, f"sha256sum {ml}/up.bin; rm {ml}/up.bin").split()[0].decode()
    assert there == digest(source)


def test_download_with_cuts(own: Lab, tmp_path: Path) -> None:
    mib, cuts = (256, 20) if SOAK else (16, 10)
    ml = own.environment["SM_PROXY_LAB_ML_DIR"]
    command = f"head -c {mib * MIB} /dev/urandom > {ml}/down.bin; sha256sum {ml}/down.bin"
    there = own.ok(own.host, command).split()[0].decode()
    target = tmp_path / "down.bin"
    cutter = Cutter(own, 10 if SOAK else 1.0, cuts)
    started = time.monotonic()
    with cutter.at_work():
        copied = own.run(
            "scp", "-qF", own.config, "-oCompression=no", f"{own.host}:{ml}/down.bin", str(target),
            timeout=3000 if SOAK else 300,
        )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    assert cutter.done == cuts, time.monotonic() - started
    assert digest(target) == there


def test_an_agent_that_writes_twice_is_named_as_the_cause(own: Lab, tmp_path: Path) -> None:
    """As the real one does when its socket is reset between a write and its ack."""
    source = tmp_path / "up.bin"
    write_random(source, 8)
    told = set()
    for _ in range(3):  # where ssh is the quicker one, nobody hears us
        with own.faults(gateway={"reset_agent_after_bytes": 2 * MIB}):
            copied = own.run(
                "scp", "-qF", own.config, "-oCompression=no", str(source), f"{own.host}:/tmp/up.bin"
            )
        assert copied.returncode != 0
        if b"sm-proxy: " in copied.stderr:
            told.add((code_of(copied), "may have written data twice" in last_line(copied)))
            break
    assert told == {("session-lost", True)}
