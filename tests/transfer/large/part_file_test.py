from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.large import own_files
from sm_proxy.transfer.large.map_file import Source
from sm_proxy.transfer.large.part_file import PartFile

SOURCE = Source("/data/model.pt", 100, 1_700_000_000, "down sm-job")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "model.pt"


@pytest.fixture
def part(target: Path) -> Iterator[PartFile]:
    one = PartFile(str(target), SOURCE)
    yield one
    one.close()


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_the_files_are_beside_the_target_and_private(target: Path, part: PartFile) -> None:
    assert names(target) == [".model.pt.sm-proxy-map", ".model.pt.sm-proxy-part"]
    assert {path.stat().st_mode & 0o777 for path in target.parent.iterdir()} == {0o600}


def test_a_second_copy_to_the_same_target_is_refused_until_the_first_has_ended(
    target: Path, part: PartFile
) -> None:
    with pytest.raises(SmProxyError, match=r"another copy is writing .*model.pt") as caught:
        PartFile(str(target), SOURCE)
    assert caught.value.code == "busy"
    part.write(0, b"a" * 60)
    part.close()
    second = PartFile(str(target), SOURCE)
    assert second.ranges.done == ((0, 60),)
    second.close()


def test_a_copy_that_waited_while_the_first_got_its_name_begins_anew(
    target: Path, part: PartFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    part.write(0, b"a" * 100)
    really = own_files._lock
    turns: list[int] = []

    def finish_first(handle: int, what: str) -> None:
        if not turns:
            turns.append(1)
            part.finish(0o644, 1, 1)
        really(handle, what)

    monkeypatch.setattr(own_files, "_lock", finish_first)
    second = PartFile(str(target), SOURCE)
    second.write(0, b"b" * 50)
    second.close()
    assert target.read_bytes() == b"a" * 100


def test_a_finished_file_has_its_mode_times_and_name(target: Path, part: PartFile) -> None:
    part.write(50, b"b" * 50)
    part.write(0, b"a" * 50)
    part.finish(0o4751, 5, 6)
    found = target.stat()
    assert (found.st_mode & 0o7777, found.st_atime, found.st_mtime) == (0o751, 5, 6)
    assert target.read_bytes() == b"a" * 50 + b"b" * 50
    assert names(target) == ["model.pt"]
    assert not part.write(0, b"late")
    assert target.read_bytes()[:4] == b"aaaa"


def test_after_a_power_cut_only_synced_ranges_count(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    part = PartFile(str(target), SOURCE, clock=lambda: now[0])
    part.write(0, b"a" * 40)
    now[0] = 60.0
    part.maybe_sync(lambda: ((0, 40),))
    part.write(40, b"b" * 40)
    part.close()
    machine = {"machine": "m", "boot": "another boot", "world": "w"}
    monkeypatch.setattr("sm_proxy.local.process_identity.this_machine", lambda: machine)
    again = PartFile(str(target), SOURCE)
    assert again.ranges.done == ((0, 40),)
    again.close()


@pytest.mark.parametrize("stranger", ["link", "second name", "fifo"])
def test_a_part_file_that_others_could_have_made_is_replaced(target: Path, stranger: str) -> None:
    bait = target.parent.parent / "bait"
    bait.write_bytes(b"z" * 100)
    path = target.parent / ".model.pt.sm-proxy-part"
    if stranger == "link":
        path.symlink_to(bait)
    elif stranger == "second name":
        path.hardlink_to(bait)
    else:
        os.mkfifo(path)
    part = PartFile(str(target), SOURCE)
    assert part.write(0, b"a" * 100)
    part.finish(0o644, 1, 1)
    assert bait.read_bytes() == b"z" * 100
    assert target.read_bytes() == b"a" * 100
    assert not target.is_symlink()


def test_a_full_disk_is_named_and_the_part_is_kept(
    target: Path, part: PartFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    part.write(0, b"a" * 10)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(SmProxyError, match=r"the disk of .*model.pt is full") as caught:
            part.write(10, b"b" * 10)
    assert caught.value.code == "copy-failed"
    part.close()
    again = PartFile(str(target), SOURCE)
    assert again.ranges.done == ((0, 10),)
    again.close()


def test_a_folder_in_the_way_and_a_folder_that_is_missing_are_named(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "it is a folder"), (tmp_path / "no" / "x", "No such file")):
        with pytest.raises(SmProxyError, match=words) as caught:
            PartFile(str(path), SOURCE)
        assert caught.value.code == "copy-failed"


def test_a_longer_part_file_is_cut_to_the_size(target: Path, part: PartFile) -> None:
    part.write(0, b"a" * 100)
    part.close()
    with (target.parent / ".model.pt.sm-proxy-part").open("ab") as file:
        file.write(b"more")
    again = PartFile(str(target), SOURCE)
    assert again.ranges.complete
    again.finish(0o644, 1, 1)
    assert target.read_bytes() == b"a" * 100


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "x"])
def test_any_name_has_room_for_a_part_file(target: Path, name: str) -> None:
    path = target.with_name(name)
    part = PartFile(str(path), SOURCE)
    part.write(0, b"a" * 100)
    part.finish(0o644, 1, 1)
    assert path.read_bytes() == b"a" * 100
    assert names(target) == [name]
