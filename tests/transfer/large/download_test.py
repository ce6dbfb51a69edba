from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.large import download
from sm_proxy.transfer.large.map_file import Source
from sm_proxy.transfer.large.part_file import PartFile
from sm_proxy.transfer.progress import Meter
from tests.transfer.helpers import MODIFIED, content, copy, entry
from tests.transfer.sftp_world import FAILURE, World
from tests.waits import await_true

SIZE = 1_500_001


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The container's file, and where it goes here."""
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
    source = tmp_path / "there" / "model.pt"
    source.write_bytes(content(SIZE))
    source.chmod(0o640)
    os.utime(source, (MODIFIED, MODIFIED))
    return source, tmp_path / "here" / "model.pt"


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir() if path != target)


def test_a_file_arrives_with_its_mode_and_times_and_leaves_nothing(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    target.write_text("old")
    world = World(source.parent)
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert (target.stat().st_mode & 0o7777, target.stat().st_mtime) == (0o640, MODIFIED)
    assert leftovers(target) == []
    assert (result.copied.files, result.copied.bytes) == (1, SIZE)
    assert result.copied.verified
    assert world.sent == SIZE
    assert (result.progress.bytes_done, result.progress.files_done) == (SIZE, 1)


def test_20_cuts_send_less_than_5_percent_again(places: tuple[Path, Path]) -> None:
    source, target = places
    size = 10 << 20
    source.write_bytes(content(size))
    world = World(source.parent, most=8)
    world.cuts = [size * (number + 1) // 22 for number in range(20)]
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert world.cuts == []
    assert size <= world.sent <= 1.05 * size
    assert result.progress.bytes_done == size


def interrupted(source: Path, target: Path, after: int) -> World:
    """A run that ends after so many bytes, because no connection can be opened any more."""
    world = World(source.parent, most=1)
    world.cuts = [after]

    def refuse(number: int) -> None:
        if number > 1:
            raise SmProxyError("job-ended", "the job has ended: Stopped")

    world.fail_open = refuse
    with pytest.raises(SmProxyError) as caught:
        copy(world, entry(source, target))
    assert caught.value.code == "job-ended"
    assert not target.exists()
    return world


def test_the_next_run_goes_on_where_the_last_one_was_cut(places: tuple[Path, Path]) -> None:
    source, target = places
    first = interrupted(source, target, SIZE // 2)
    second = World(source.parent)
    result = copy(second, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert first.sent + second.sent <= SIZE + (64 << 10)
    assert result.progress.bytes_done == SIZE
    assert leftovers(target) == []


@pytest.mark.parametrize("change", ["size", "time", "container", "map", "part"])
def test_a_part_of_another_source_is_not_used(places: tuple[Path, Path], change: str) -> None:
    source, target = places
    interrupted(source, target, SIZE // 2)
    world = World(source.parent)
    if change == "size":
        source.write_bytes(content(SIZE + 1, seed=2))
        os.utime(source, (MODIFIED, MODIFIED))
    elif change == "time":
        source.write_bytes(content(SIZE, seed=2))
    elif change == "container":
        world.container.job = "another"
    elif change == "map":
        (target.parent / ".model.pt.sm-proxy-map").write_bytes(b'{"version": 1, "sou')
    else:
        (target.parent / ".model.pt.sm-proxy-part").unlink()
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert world.sent == source.stat().st_size


def test_a_part_with_wrong_bytes_is_found_by_its_checksum(places: tuple[Path, Path]) -> None:
    source, target = places
    interrupted(source, target, SIZE // 2)
    part = target.parent / ".model.pt.sm-proxy-part"
    with part.open("r+b") as file:
        file.write(b"wrong")
    result = copy(World(source.parent), entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert result.copied.verified
    assert result.progress.bytes_done == SIZE


def test_a_file_that_changes_while_it_is_copied_begins_anew(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(source.parent)
    late = iter([content(SIZE, seed=2)])

    def change(sent: int) -> None:
        if sent > SIZE // 2 and (new := next(late, None)):
            with source.open("r+b") as file:
                file.write(new)

    world.before_read = change
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE, seed=2)
    assert result.copied.verified


def test_a_file_that_changes_again_and_again_is_a_problem(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(source.parent)
    changes = iter(range(2, 1000))

    def change(_: int) -> None:
        with world.lock:
            with source.open("r+b") as file:
                file.write(content(1000, next(changes)))
                file.seek(SIZE - 1000)
                file.write(content(1000, next(changes)))
            os.utime(source, (MODIFIED, MODIFIED + next(changes)))

    world.before_read = change
    result = copy(world, entry(source, target))
    assert result.codes == ["source-changed"]
    assert not target.exists()


def test_a_log_that_grows_is_copied_as_long_as_it_was(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(source.parent)

    def grow(_: int) -> None:
        with source.open("ab") as file:
            file.write(b"another line\n")

    world.before_read = grow
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE)
    assert result.copied.verified
    assert len(result.copied.notes) == 1
    assert "grew" in result.copied.notes[0]


def test_a_file_that_is_truncated_while_it_is_copied_begins_anew(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    world = World(source.parent, most=1)

    def truncate(sent: int) -> None:
        if sent > SIZE // 2 and source.stat().st_size == SIZE:
            os.truncate(source, 1000)

    world.before_read = truncate
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE)[:1000]


def test_a_file_that_became_a_pipe_stalls_no_second_connection(
    places: tuple[Path, Path],
) -> None:
    """The server would wait for a writer, and answer nothing meanwhile."""
    source, target = places
    world = World(source.parent, most=1)
    world.cuts = [SIZE // 2]
    item = entry(source, target)

    def replace(number: int) -> None:
        if number == 2:
            source.unlink()
            os.mkfifo(source)

    world.fail_open = replace
    (problem,) = copy(world, item).problems
    assert "not a regular file any more" in problem.error.message
    assert not target.exists()


def test_a_file_that_is_removed_when_all_of_it_has_been_read_is_kept(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    world = World(source.parent)
    world.before_script = lambda: await_true(lambda: world.sent == SIZE, 60)
    world.after_script = source.unlink
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE)
    assert result.copied.verified


def test_digests_of_files_beyond_the_first_are_computed_when_their_turn_comes(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_EARLY", 1)
    source, target = places
    sources = [source, *(source.with_name(f"{number}") for number in range(3))]
    for one in sources[1:]:
        one.write_bytes(content(300_000))
    entries = [entry(one, target.with_name(one.name)) for one in sources]
    result = copy(World(source.parent), *entries)
    assert (result.problems, result.copied.files) == ((), 4)
    assert result.copied.verified


def test_a_stalled_connection_holds_nothing_up(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(source.parent, most=4)
    world.stalled = {1}
    result = copy(world, entry(source, target))
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()


def test_without_checksum_tools_the_copy_is_reported_as_unverified(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    world = World(source.parent)
    world.script_path = "/nowhere"
    result = copy(world, entry(source, target))
    assert target.read_bytes() == source.read_bytes()
    assert not result.copied.verified
    assert ["neither" in note for note in result.copied.notes] == [True]


def test_a_failure_of_one_file_lets_the_others_arrive(places: tuple[Path, Path]) -> None:
    source, target = places
    others = [source.with_name(name) for name in ("gone", "folder", "unreadable", "good")]
    for other in others:
        other.write_bytes(content(300_000))
    entries = [entry(other, target.with_name(other.name)) for other in [*others, source]]
    others[0].unlink()
    target.with_name("folder").mkdir()
    world = World(source.parent)
    world.refuse = lambda kind, what: 3 if kind == 3 and str(what).endswith("unreadable") else None
    result = copy(world, *entries)
    texts = {problem.path.rpartition("/")[2]: problem.error.text for problem in result.problems}
    assert sorted(texts) == ["folder", "gone", "unreadable"]
    assert set(result.codes) == {"copy-failed"}
    assert "No such file" in texts["gone"]
    assert "it is a folder" in texts["folder"]
    assert "Permission denied" in texts["unreadable"]
    assert target.with_name("good").read_bytes() == content(300_000)
    assert result.copied.files == 2


def test_a_server_that_fails_to_read_is_named(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(source.parent)
    world.refuse = lambda kind, what: FAILURE if kind == 5 and what == 0 else None
    result = copy(world, entry(source, target))
    assert [problem.error.text for problem in result.problems] == [f"{source}: Failure"]


def test_empty_and_small_files_arrive(places: tuple[Path, Path]) -> None:
    source, target = places
    for size in (0, 1, 40_000):
        source.write_bytes(content(size))
        result = copy(World(source.parent), entry(source, target))
        assert (result.problems, target.read_bytes()) == ((), content(size))
        assert result.copied.verified


def test_failures_of_a_finished_file_do_not_count(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(places[0].parent)
    connections: Any = world
    (late, _), _ = download.works_for([entry(*places)], connections, Meter())

    def fail(*_: object) -> None:
        late.transfer.end()  # another connection has finished it
        raise OSError("Failure")

    monkeypatch.setattr(late.transfer, "share", fail)
    late.run(world.open(), print)
    late.group.close()
    world.close()


def test_bytes_that_come_twice_do_not_replace_the_first_ones(places: tuple[Path, Path]) -> None:
    source, target = places
    part = PartFile(str(target), Source(str(source), 100, MODIFIED, "down"))
    attempt = download._DownAttempt(part)
    moved: list[int] = []
    for owner in ("quick", "slow"):
        attempt.claims.claim(owner)
    assert attempt.keep("quick", 0, b"a" * 100, moved.append)
    assert attempt.keep("slow", 0, b"b" * 100, moved.append)
    assert (part.read(0, 100), moved) == (b"a" * 100, [100])
    attempt.close()
