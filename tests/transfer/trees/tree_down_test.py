"""Listings of what comes from a container: scp's rules, odd names, and hostile servers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.transfer.model import Entry
from sm_proxy.transfer.ssh.connection import Connection
from sm_proxy.transfer.trees.tree import Tree
from sm_proxy.transfer.trees.tree_down import list_down


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def targets(tree: Tree) -> dict[str, str]:
    return {one.source: one.target for one in (*tree.folders, *tree.files)}


def why(tree: Tree) -> dict[str, str]:
    return {one.path: one.error.message.removeprefix(f"{one.path}: ") for one in tree.problems}


def test_a_file_goes_to_the_name_or_into_the_folder_that_is_there(
    far: Connection, home: Path, here: Path
) -> None:
    write(home, "a")
    (here / "out").mkdir()
    assert targets(list_down(far, ["a"], "new")) == {"a": "new"}
    assert targets(list_down(far, [str(home / "a")], "out")) == {str(home / "a"): "out/a"}
    assert targets(list_down(far, ["./a"], ".")) == {"./a": "./a"}
    assert why(list_down(far, ["a"], "nothing/")) == {"a": "there is no folder nothing/"}


def test_an_entry_has_the_size_mode_and_times_of_its_source(
    far: Connection, home: Path, here: Path
) -> None:
    write(home, "a")
    (home / "a").chmod(0o4751)
    os.utime(home / "a", (1_000, 2_000))
    assert list_down(far, ["a"], "b").files == (Entry("file", "a", "b", 1, 0o751, 2_000, 1_000),)


def test_a_folder_is_copied_with_all_that_is_in_it(far: Connection, home: Path, here: Path) -> None:
    write(home, "d/e/f", "d/g", "d/.h")
    tree = list_down(far, ["d/"], "new", recursive=True)
    assert [one.target for one in tree.folders] == ["new", "new/e"]
    assert sorted(one.target for one in tree.files) == ["new/.h", "new/e/f", "new/g"]
    (here / "new").mkdir()
    assert "new/d/e/f" in targets(list_down(far, ["d"], "new", recursive=True)).values()
    inside = list_down(far, ["d/."], "new", recursive=True)
    assert sorted(one.target for one in inside.files) == ["new/.h", "new/e/f", "new/g"]
    assert why(list_down(far, ["d"], "new")) == {"d": "it is a folder"}


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*.txt", ["a.txt", "b.txt", "c.txt"]),
        ("[a-b].txt", ["a.txt", "b.txt"]),
        ("[!a]?txt", ["b.txt", "c.txt"]),
        ("d*/*", ["d/x", "d2/x"]),
        (".*", [".hidden"]),
        (r"\*", ["*"]),
        (r"with\ space", ["with space"]),
        ("odd[1]", ["odd[1]"]),
        ("{a,b}.txt", ["{a,b}.txt"]),
        ("~/a.txt", ["a.txt"]),
    ],
)
def test_globs_are_those_of_sftp(
    far: Connection, home: Path, here: Path, pattern: str, matches: list[str]
) -> None:
    write(home, "a.txt", "b.txt", "c.txt", "d/x", "d2/x", ".hidden", "*", "with space", "odd[1]")
    (here / "out").mkdir()
    tree = list_down(far, [pattern], "out")
    assert [one.source for one in tree.files] + [one.path for one in tree.problems] == matches


def test_a_glob_of_several_files_makes_the_folder(far: Connection, home: Path, here: Path) -> None:
    write(home, "a.txt", "b.txt")
    tree = list_down(far, ["*.txt"], "new")
    assert [one.target for one in tree.folders] == ["new"]
    assert [one.target for one in tree.files] == ["new/a.txt", "new/b.txt"]
    (here / "file").touch()
    with pytest.raises(SmProxyError, match="file is not a folder"):
        list_down(far, ["*.txt"], "file")


def test_several_sources_need_a_folder_and_different_names(
    far: Connection, home: Path, here: Path
) -> None:
    write(home, "a", "d/a")
    with pytest.raises(SmProxyError, match="new is not a folder") as raised:
        list_down(far, ["a", "d/a"], "new")
    assert raised.value.hint == "Several files go into a folder: make it first."
    tree = list_down(far, ["a", "d/a"], ".")
    assert [one.source for one in tree.files] == ["a"]
    assert why(tree) == {"d/a": "another source is copied to ./a, too"}


def test_odd_names_are_copied(far: Connection, home: Path, here: Path) -> None:
    odd = ["a b", "line\nbreak", "-rf", "ümlaut", "x" * 255, "q'\"$`", os.fsdecode(b"\xff\xfe")]
    write(home / "d", *odd)
    tree = list_down(far, ["d"], "new", recursive=True)
    assert {one.target for one in tree.files} == {f"new/{name}" for name in odd}
    assert not tree.problems


def test_links_are_followed_and_loops_end(far: Connection, home: Path, here: Path) -> None:
    write(home, "d/e/f", "file")
    (home / "d/e/up").symlink_to("..")
    (home / "d/self").symlink_to(home / "d")
    (home / "d/link").symlink_to("../file")
    (home / "d/gone").symlink_to("nothing")
    (home / "d/other").symlink_to("e")
    tree = list_down(far, ["d"], "new", recursive=True)
    assert {one.target for one in tree.files} == {"new/e/f", "new/other/f", "new/link"}
    loop = "a link leads back to a folder that it is in"
    assert why(tree) == {
        "d/e/up": loop,
        "d/self": loop,
        "d/other/up": loop,
        "d/gone": "No such file or directory",
    }
    assert next(one.size for one in tree.files if one.target == "new/link") == 4


def test_a_source_that_is_not_a_file_is_a_problem(far: Connection, home: Path, here: Path) -> None:
    write(home, "d/a")
    os.mkfifo(home / "d/fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(home / "d/socket"))
        tree = list_down(far, ["d", "nothing"], ".", recursive=True)
    assert [one.target for one in tree.files] == ["./d/a"]
    odd = "it is neither a file nor a folder"
    nothing = "No such file or directory"
    assert why(tree) == {"d/fifo": odd, "d/socket": odd, "nothing": nothing}


def test_a_link_that_is_named_as_the_target_is_followed(
    far: Connection, home: Path, here: Path
) -> None:
    write(home, "a")
    write(here, "real")
    (here / "link").symlink_to("real")
    assert targets(list_down(far, ["a"], "link")) == {"a": str(here / "real")}


def test_a_target_that_is_not_a_file_is_not_replaced(
    far: Connection, home: Path, here: Path
) -> None:
    """As root, a copy to `/dev/null` would replace the device."""
    write(home, "a", "d/a", "d/b")
    os.mkfifo(here / "device")
    (here / "link").symlink_to("device")
    for target in ("device", "link"):
        assert why(list_down(far, ["a"], target)) == {
            "a": f"{here / 'device' if target == 'link' else target} is neither a file nor a folder"
        }
    (here / "d").mkdir()
    os.mkfifo(here / "d/a")
    tree = list_down(far, ["d"], ".", recursive=True)
    assert why(tree) == {"d/a": "./d/a is neither a file nor a folder"}
    assert [one.target for one in tree.files] == ["./d/b"]


def test_names_that_differ_in_case_are_refused_where_the_disk_ignores_it(
    far: Connection, home: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(home, "d/A", "d/b", "d/a")
    assert len(list_down(far, ["d"], "new", recursive=True).files) == 3
    monkeypatch.setattr("sm_proxy.transfer.trees.names.ignores_case", lambda _: True)
    tree = list_down(far, ["d"], "new", recursive=True)
    assert len(tree.files) == 2
    assert "on this disk it would replace new/" in tree.problems[0].error.message
