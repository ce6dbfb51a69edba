"""Listings of what goes to a container: scp's rules, odd names, loops and specials."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.trees.tree_up import list_up
from tests.transfer.trees.tree_down_test import targets, why, write


def test_a_file_goes_to_the_name_or_into_the_folder_that_is_there(
    far: Connection, home: Path, here: Path
) -> None:
    write(here, "a")
    (home / "out").mkdir()
    assert targets(list_up(far, ["a"], "new")) == {"a": "new"}
    assert targets(list_up(far, ["./a"], "out/")) == {"./a": "out/a"}
    assert targets(list_up(far, [str(here / "a")], "")) == {str(here / "a"): "./a"}
    assert targets(list_up(far, ["a"], "~/out")) == {"a": "out/a"}
    assert why(list_up(far, ["a"], "none/")) == {"a": "there is no folder none/ in the container"}


def test_a_link_that_is_the_target_is_followed(far: Connection, home: Path, here: Path) -> None:
    """Also one that leads to no file yet, as in scp."""
    write(here, "a")
    write(home, "old")
    for name in ("old", "new"):
        (home / f"to {name}").symlink_to(name)
        assert targets(list_up(far, ["a"], f"to {name}")) == {"a": str(home / name)}


def test_an_entry_has_the_size_mode_and_times_of_its_source(
    far: Connection, home: Path, here: Path
) -> None:
    write(here, "a")
    (here / "a").chmod(0o4751)
    os.utime(here / "a", (1_000, 2_000))
    assert list_up(far, ["a"], "b").files == (Entry("file", "a", "b", 1, 0o751, 2_000, 1_000),)


def test_a_folder_is_copied_with_all_that_is_in_it(far: Connection, home: Path, here: Path) -> None:
    odd = ["a b", "line\nbreak", "-rf", os.fsdecode(b"\xff")]
    write(here, "d/e/f", *(f"d/{name}" for name in odd))
    tree = list_up(far, ["d/"], "new", recursive=True)
    assert [one.target for one in tree.folders] == ["new", "new/e"]
    assert {one.target for one in tree.files} == {"new/e/f", *(f"new/{name}" for name in odd)}
    (home / "new").mkdir()
    assert "new/d/e/f" in targets(list_up(far, ["d"], "new", recursive=True)).values()
    assert "new/e/f" in targets(list_up(far, ["d/."], "new", recursive=True)).values()
    assert why(list_up(far, ["d"], "new")) == {"d": "it is a folder"}


def test_several_sources_need_a_folder_and_different_names(
    far: Connection, home: Path, here: Path
) -> None:
    write(here, "a", "d/a")
    with pytest.raises(SmProxyError, match="new is not a folder in the container") as raised:
        list_up(far, ["a", "d/a"], "new")
    assert raised.value.hint == "Several files go into a folder: make it first."
    assert why(list_up(far, ["a", "d/a"], ".")) == {
        "d/a": "another source is copied to ./a, too",
    }


def test_loops_and_specials_are_problems(far: Connection, home: Path, here: Path) -> None:
    write(here, "d/e/f", "file")
    (here / "d/e/up").symlink_to("..")
    (here / "d/link").symlink_to("../file")
    (here / "d/gone").symlink_to("nothing")
    os.mkfifo(here / "d/fifo")
    tree = list_up(far, ["d", "none"], ".", recursive=True)
    assert [one.target for one in tree.files] == ["./d/e/f", "./d/link"]
    assert why(tree) == {
        "d/e/up": "a link leads back to a folder that it is in",
        "d/fifo": "it is neither a file nor a folder",
        "d/gone": "No such file or directory",
        "none": "No such file or directory",
    }


def test_a_link_that_is_named_as_the_target_is_followed(
    far: Connection, home: Path, here: Path
) -> None:
    write(here, "a")
    write(home, "real")
    (home / "link").symlink_to("real")
    assert targets(list_up(far, ["a"], "link")) == {"a": str(home / "real")}


def test_a_target_that_is_not_a_file_is_not_replaced(
    far: Connection, home: Path, here: Path
) -> None:
    write(here, "a")
    os.mkfifo(home / "device")
    (home / "link").symlink_to("device")
    for target in ("device", "link"):
        with pytest.raises(SmProxyError, match="device is not a regular file in the container"):
            list_up(far, ["a"], target)


def test_where_a_users_home_is_the_server_tells(far: Connection, home: Path, here: Path) -> None:
    write(here, "a")
    with pytest.raises(SmProxyError, match="does not tell where ~no-such-user-here/b is"):
        list_up(far, ["a"], "~no-such-user-here/b")
