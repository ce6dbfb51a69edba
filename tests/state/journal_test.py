from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from sm_proxy.local import paths, private_files
from sm_proxy.state import journal
from sm_proxy.state.journal import Journal


def log() -> Path:
    return paths.state_dir() / "log.jsonl"


def test_records_come_back_in_order() -> None:
    for number in range(3):
        Journal(log()).add({"n": number, "text": "a\nb\u2028\x1b"})
    assert [record["n"] for record in Journal(log()).records()] == [0, 1, 2]
    assert Journal(log()).records()[0]["text"] == "a\nb\u2028\x1b"
    assert log().stat().st_mode & 0o777 == 0o600
    assert log().parent.stat().st_mode & 0o777 == 0o700


def test_a_full_journal_keeps_the_newest_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LIMIT_BYTES", 2_000)
    for number in range(500):
        Journal(log()).add({"n": number, "text": "x" * 100})
    found = [record["n"] for record in Journal(log()).records()]
    assert found == list(range(found[0], 500))
    assert len(found) > 15
    sizes = [path.stat().st_size for path in paths.state_dir().glob("log*")]
    assert len(sizes) == 2
    assert max(sizes) < 2_300


def test_a_long_value_is_cut() -> None:
    Journal(log()).add({"line": "x" * 100_000})
    assert len(Journal(log()).records()[0]["line"]) == 1_000


def test_only_the_damaged_line_is_skipped() -> None:
    Journal(log()).add({"n": 1})
    with log().open("ab") as file:
        file.write(b'{"n": 2, "te')  # what a full disk leaves
    Journal(log()).add({"n": 3})
    with log().open("ab") as file:
        file.write(b"\xff\xfe\n[1]\nnull\n" + b"[" * 100_000 + b"\n")
    Journal(log()).add({"n": 4})
    assert [record["n"] for record in Journal(log()).records()] == [1, 3, 4]


def test_many_writers_lose_nothing() -> None:
    def write(writer: int) -> None:
        for number in range(20):
            Journal(log()).add({"writer": writer, "n": number})

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {(record["writer"], record["n"]) for record in Journal(log()).records()}
    assert found == {(writer, number) for writer in range(8) for number in range(20)}


def test_a_full_disk_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(private_files, "append_own", full)
    Journal(log()).add({"n": 1})
    assert Journal(log()).records() == []


@pytest.mark.parametrize("plant", ["symlink", "hard link", "pipe", "folder"])
def test_a_link_or_pipe_in_its_place_is_not_written_to(plant: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine\n")
    private_files.ensure_private_dir(log().parent)
    if plant == "symlink":
        log().symlink_to(victim)
    elif plant == "hard link":
        log().hardlink_to(victim)
    elif plant == "pipe":
        os.mkfifo(log())
    else:
        log().mkdir()
    Journal(log()).add({"n": 1})
    assert Journal(log()).records() == []
    assert victim.read_bytes() == b"mine\n"
