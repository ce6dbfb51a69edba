from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from tests.transfer.helpers import MODIFIED, content, copy, entry
from tests.transfer.sftp_world import DENIED, FAILURE, World
from tests.waits import await_true

SIZE = 1_500_001


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The file here, and where it goes in the container."""
    for name in ("there", "here"):
        (tmp_path / name).mkdir()
    source = tmp_path / "here" / "data.bin"
    source.write_bytes(content(SIZE))
    source.chmod(0o640)
    os.utime(source, (MODIFIED, MODIFIED))
    return source, tmp_path / "there" / "data.bin"


def test_a_file_arrives_with_its_mode_and_times_and_leaves_nothing(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    target.write_text("old")
    world = World(target.parent)
    result = copy(world, entry(source, target), up=True)
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert (target.stat().st_mode & 0o7777, target.stat().st_mtime) == (0o640, MODIFIED)
    assert os.listdir(target.parent) == ["data.bin"]  # noqa: PTH208
    assert os.listdir(source.parent) == ["data.bin"]  # noqa: PTH208
    assert list((paths.cache_dir() / "uploads").iterdir()) == []
    assert result.copied.verified
    assert world.got == SIZE
    assert result.progress.bytes_done == SIZE


def interrupted(source: Path, target: Path) -> World:
    world = World(target.parent, most=1)
    world.cuts = [SIZE // 2]

    def refuse(number: int) -> None:
        if number > 1:
            raise SmProxyError("job-ended", "the job has ended: Stopped")

    world.fail_open = refuse
    with pytest.raises(SmProxyError) as caught:
        copy(world, entry(source, target), up=True)
    assert caught.value.code == "job-ended"
    assert not target.exists()
    return world


def test_the_next_run_goes_on_where_the_last_one_was_cut(places: tuple[Path, Path]) -> None:
    source, target = places
    first = interrupted(source, target)
    second = World(target.parent)
    result = copy(second, entry(source, target), up=True)
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert first.got + second.got <= SIZE + (64 << 10)
    assert result.progress.bytes_done == SIZE


@pytest.mark.parametrize("change", ["source", "part is gone", "part is short", "part is wrong"])
def test_an_existing_part_is_used_only_if_it_is_correct(
    places: tuple[Path, Path], change: str
) -> None:
    source, target = places
    interrupted(source, target)
    (part,) = target.parent.iterdir()
    if change == "source":
        source.write_bytes(content(SIZE, seed=2))
    elif change == "part is gone":
        part.unlink()
    elif change == "part is short":
        os.truncate(part, 1000)
    else:
        with part.open("r+b") as file:
            file.write(b"wrong")
    result = copy(World(target.parent), entry(source, target), up=True)
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert result.copied.verified
    assert result.progress.bytes_done == SIZE


def test_20_cuts_send_less_than_5_percent_again(places: tuple[Path, Path]) -> None:
    source, target = places
    size = 16 << 20  # each cut costs the piece that was written and not confirmed
    source.write_bytes(content(size))
    world = World(target.parent, most=1)
    world.cuts = [size * (number + 1) // 22 for number in range(20)]
    result = copy(world, entry(source, target), up=True)
    assert result.problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert world.got <= 1.05 * size


@pytest.mark.parametrize(("status", "words"), [(FAILURE, "disk may be full"), (DENIED, "denied")])
def test_a_write_that_the_server_refuses_is_a_problem_and_the_part_is_kept(
    places: tuple[Path, Path], status: int, words: str
) -> None:
    source, target = places
    world = World(target.parent)
    world.refuse = lambda kind, what: status if kind == 6 and what > SIZE // 2 else None
    result = copy(world, entry(source, target), up=True)
    assert result.codes == ["copy-failed"]
    assert words in result.problems[0].error.text
    assert not target.exists()
    again = World(target.parent)
    assert copy(again, entry(source, target), up=True).problems == ()
    assert target.read_bytes() == source.read_bytes()
    assert again.got < SIZE


def test_a_folder_in_the_way_and_a_source_that_is_gone_are_problems(
    places: tuple[Path, Path],
) -> None:
    source, target = places
    target.mkdir()
    gone = source.with_name("gone")
    gone.write_bytes(content(300_000))
    entries = [entry(source, target), entry(gone, target.with_name("gone"))]
    gone.unlink()
    result = copy(World(target.parent), *entries, up=True)
    assert result.codes == ["copy-failed", "copy-failed"]
    texts = sorted(problem.error.text for problem in result.problems)
    assert texts[0].startswith(f"{gone}: No such file")
    assert texts[1].startswith(f"{target} is a folder")


def test_a_source_that_grows_is_sent_as_long_as_it_was(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(target.parent)

    def grow(kind: int, _: object) -> None:
        if kind == 6:
            with source.open("ab") as file:
                file.write(b"another line\n")

    world.refuse = grow
    result = copy(world, entry(source, target), up=True)
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE)
    assert result.copied.verified
    assert "grew" in result.copied.notes[0]


def test_a_source_that_changes_while_it_is_sent_is_sent_anew(places: tuple[Path, Path]) -> None:
    source, target = places
    world = World(target.parent)
    late = iter([content(SIZE, seed=2)])

    def change(kind: int, what: int) -> None:
        if kind == 6 and what > SIZE // 2 and (new := next(late, None)):
            with source.open("r+b") as file:
                file.write(new)

    world.refuse = change
    result = copy(world, entry(source, target), up=True)
    assert result.problems == ()
    assert target.read_bytes() == content(SIZE, seed=2)
    assert result.copied.verified


def test_many_files_are_verified_in_few_calls(places: tuple[Path, Path]) -> None:
    source, target = places
    sources = [source.with_name(f"{number}") for number in range(20)]
    for one in sources:
        one.write_bytes(content(300_000))
    world = World(target.parent, most=1)
    world.before_script = lambda: await_true(lambda: world.got == 20 * 300_000, 60)
    entries = [entry(one, target.with_name(one.name)) for one in sources]
    result = copy(world, *entries, up=True)
    assert (result.problems, result.copied.files) == ((), 20)
    assert world.scripts == 2
