"""Copies whose websocket is cut repeatedly: every byte arrives, or the error names the cause."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.labs import Lab, code_of, last_line
from tests.soak import SOAK, only_in_soak

pytestmark = pytest.mark.e2e

MIB = 1 << 20


class Cutter:
    """Cuts the client's websocket of each session `times` times, every `every_s` seconds."""

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
    """Write a file of incompressible bytes."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(secrets.token_bytes(MIB))


@contextmanager
def cut(lab: Lab, mib: int, times: int, every_s: float) -> Iterator[None]:
    """Cut the client's websocket at least `times` times during a copy of `mib` MiB.

    Normally after a fixed number of bytes, so that no machine is too fast for it. In script/soak
    every `every_s` seconds, at any byte.
    """
    before = resumed(lab)
    if SOAK:
        cutter = Cutter(lab, every_s, times)
        with cutter.at_work():
            yield
        assert cutter.done == times
    else:
        every = mib * MIB // (times + 1)
        with lab.faults(gateway={"cut_client_after_bytes": every, "cut_repeat": True}):
            yield
    assert resumed(lab) - before >= times


def resumed(lab: Lab) -> int:
    """The number of ResumeSession calls so far."""
    return sum(call["operation"] == "ResumeSession" for call in lab.calls())


def test_an_upload_survives_cuts(lab: Lab, tmp_path: Path) -> None:
    mib = 256 if SOAK else 16
    source = tmp_path / "up.bin"
    write_random(source, mib)
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    # A connection carries more bytes than may be in flight: resending alone must not use them up.
    with cut(lab, mib, 10 if SOAK else 4, 0.7):
        copied = lab.run(
            "scp", "-qF", lab.config, "-oCompression=no", str(source), f"{lab.host}:{ml}/up.bin",
            timeout=300,
        )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    there = lab.ok(lab.host, f"sha256sum {ml}/up.bin; rm {ml}/up.bin").split()[0].decode()
    assert there == digest(source)


@only_in_soak
def test_a_download_survives_cuts(lab: Lab, tmp_path: Path) -> None:
    """The agent takes seconds to resend what a cut loses."""
    mib, cuts = 256, 20
    ml = lab.environment["SM_PROXY_LAB_ML_DIR"]
    command = f"head -c {mib * MIB} /dev/urandom > {ml}/down.bin; sha256sum {ml}/down.bin"
    there = lab.ok(lab.host, command).split()[0].decode()
    target = tmp_path / "down.bin"
    with cut(lab, mib, cuts, 10):
        copied = lab.run(
            "scp", "-qF", lab.config, "-oCompression=no", f"{lab.host}:{ml}/down.bin", str(target),
            timeout=3000,
        )  # fmt: skip
    assert copied.returncode == 0, copied.stderr
    assert digest(target) == there


def test_duplicate_bytes_from_the_agent_are_named_as_the_cause(lab: Lab, tmp_path: Path) -> None:
    """The real agent writes data twice if its socket is reset between a write and its ack."""
    source = tmp_path / "up.bin"
    write_random(source, 8)
    told = set()
    for _ in range(3):  # if ssh ends first, our line is not shown
        with lab.faults(gateway={"reset_agent_after_bytes": 2 * MIB}):
            copied = lab.run(
                "scp", "-qF", lab.config, "-oCompression=no", str(source), f"{lab.host}:/tmp/up.bin"
            )
        assert copied.returncode != 0
        if b"sm-proxy: " in copied.stderr:
            told.add((code_of(copied), "may have written data twice" in last_line(copied)))
            break
    assert told == {("session-lost", True)}
