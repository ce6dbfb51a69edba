"""Folders of a copy: made before, finished after, and nothing below one that cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy.transfer.model import Direction
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.trees.folders import Folders
from sm_proxy.transfer.trees.tree import Tree
from sm_proxy.transfer.trees.tree_down import list_down
from sm_proxy.transfer.trees.tree_up import list_up

DIRECTIONS = pytest.mark.parametrize("direction", ["down", "up"])


def listed(far: Connection, direction: Direction) -> Tree:
    by = list_down if direction == "down" else list_up
    return by(far, ["d"], "new", recursive=True)


@DIRECTIONS
def test_copies_get_the_modes_and_times_of_their_sources(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    (source / "d/e").mkdir(parents=True)
    for name, mode in (("d/e", 0o500), ("d", 0o550)):
        (source / name).chmod(mode)
        os.utime(source / name, (1_000, 2_000))
    folders = Folders(listed(far, direction), direction)
    made = folders.make(far)
    assert [one.target for one in made.folders] == ["new", "new/e"]
    (target / "new/e/file").touch()  # they can be written to until the end
    folders.finish(far)
    for name, mode in (("new/e", 0o500), ("new", 0o550)):
        seen = (target / name).stat()
        assert (seen.st_mode & 0o7777, seen.st_mtime) == (mode, 2_000)


@DIRECTIONS
def test_existing_folders_keep_their_mode_and_times(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    (source / "d/e").mkdir(parents=True)
    (source / "d/e").chmod(0o777)
    (target / "new/d/e").mkdir(parents=True, mode=0o711)
    os.utime(target / "new/d/e", (1_000, 2_000))
    folders = Folders(listed(far, direction), direction)
    assert folders.make(far).problems == ()
    folders.finish(far)
    seen = (target / "new/d/e").stat()
    assert (seen.st_mode & 0o7777, seen.st_mtime) == (0o711, 2_000)


@DIRECTIONS
def test_an_unfinished_copy_of_a_folder_goes_on_in_it(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    """By scp's rules, a second `cp -r HOST:d new` would copy into `new/d`."""
    source, target = (home, here) if direction == "down" else (here, home)
    (source / "d/e").mkdir(parents=True)
    (source / "d/e").chmod(0o555)
    (source / "d/.sm-proxy-unfinished").write_text("of another copy: not copied")
    Folders(listed(far, direction), direction).make(far)
    by = list_down if direction == "down" else list_up
    for words, host in ((["d/e"], ""), (["d"], "another"), (["d", "d/e"], "")):
        tree = by(far, words, "new", recursive=True, host=host)
        assert tree.folders[0].target == f"new/{Path(words[0]).name}", "not what was begun"
    folders = Folders(listed(far, direction), direction)
    made = folders.make(far)
    assert [one.target for one in made.folders] == ["new", "new/e"]
    folders.finish(far, complete=False)
    folders = Folders(listed(far, direction), direction)
    folders.make(far)
    folders.finish(far)
    assert [path.name for path in (target / "new").iterdir()] == ["e"], "and no mark"
    assert (target / "new/e").stat().st_mode & 0o777 == 0o555
    assert [one.target for one in listed(far, direction).folders] == ["new/d", "new/d/e"]


@DIRECTIONS
def test_nothing_is_copied_into_one_that_cannot_be_made(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    for name in ("d/e/f/deep", "d/good"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (target / "new/d").mkdir(parents=True)
    (target / "new/d/e").write_bytes(b"in the way")
    made = Folders(listed(far, direction), direction).make(far)
    assert [one.target for one in made.files] == ["new/d/good"]
    assert [one.path for one in made.problems] == ["d/e"]
    assert "not a folder" in made.problems[0].error.message
    assert (target / "new/d/e").read_bytes() == b"in the way"


def test_a_tree_of_many_folders_comes_back_the_same(
    far: Connection, home: Path, here: Path
) -> None:
    for number in range(80):
        (here / f"d/{number % 10}/{number}").mkdir(parents=True)
    made = Folders(listed(far, "up"), "up").make(far)
    assert (len(made.folders), made.problems) == (91, ())
    again = list_down(far, ["new"], "new", recursive=True)
    assert {one.target for one in again.folders} == {one.target for one in made.folders}
