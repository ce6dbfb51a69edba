"""Names that a file may have, and those that it has before it is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.transfer.trees import names


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "\0"])
def test_names_that_no_file_can_have(name: str) -> None:
    assert names.refusal(name, windows=False)


@pytest.mark.parametrize("name", ["a:b", "a\\b", "CON", "nul.txt", "dot.", "space ", "\udcff", "?"])
def test_names_that_windows_does_not_allow(name: str) -> None:
    assert "Windows" in names.refusal(name, windows=True)
    assert not names.refusal(name, windows=False)


@pytest.mark.parametrize("name", ["a", "..a", ".a", "console", "a b", "é"])
def test_names_that_all_allow(name: str) -> None:
    assert not names.refusal(name, windows=True)


def test_the_name_of_a_part_is_beside_its_file_and_never_too_long() -> None:
    assert names.temporary("a/b.txt") == "a/.b.txt.sm-proxy-part"
    assert names.temporary("C:\\a\\b", separators="/\\") == "C:\\a\\.b.sm-proxy-part"
    long = names.temporary("a/" + "ü" * 127)
    assert long.startswith("a/.")
    assert len(long.encode()) <= 255
    assert long != names.temporary("a/" + "ü" * 126 + "u")


@pytest.mark.parametrize(
    ("path", "base"),
    [("a/b", "b"), ("a/b//", "b"), ("a", "a"), ("/", ""), (".", ""), ("a/..", ""), ("a/./", "")],
)
def test_the_name_of_a_source(path: str, base: str) -> None:
    assert names.base(path) == base


def test_the_name_of_a_source_on_windows() -> None:
    assert [names.base(path, windows=True) for path in ("C:\\a\\b\\", "C:/a", "C:\\", "C:")] == [
        "b",
        "a",
        "",
        "",
    ]


def test_a_disk_that_tells_case_apart_is_known(tmp_path: Path) -> None:
    assert not names.ignores_case(tmp_path / "not/there")
    assert list(tmp_path.iterdir()) == []


def test_names_that_such_a_disk_takes_for_one_fold_to_one() -> None:
    assert names.folded("A/\u00dc") == names.folded("a/u\u0308")
