from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_proxy.transfer.large.map_file import MapFile, Source
from tests.soak import SOAK

SOURCE = Source("/data/model.pt", 100, 1_700_000_000, "down sm-job")
EXAMPLES = settings(
    max_examples=1000 if SOAK else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
spans = st.integers(0, 99).flatmap(
    lambda start: st.tuples(st.just(start), st.integers(start + 1, 100))
)


def covered(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {byte for start, end in ranges for byte in range(start, end)}


def loaded(path: Path, source: Source = SOURCE, boot: str = "boot 1") -> set[int]:
    return covered(MapFile(path, source, boot).load().done)


def kept(path: Path, synced: list[tuple[int, int]]) -> None:
    one = MapFile(path, SOURCE, "boot 1")
    one.rewrite(synced, ())
    one.close()


@given(
    st.lists(spans, max_size=4), st.lists(spans, max_size=8), st.integers(0, 400), st.integers(0, 9)
)
@EXAMPLES
def test_a_torn_map_promises_nothing_that_was_not_written(
    tmp_path: Path,
    synced: list[tuple[int, int]],
    added: list[tuple[int, int]],
    cut: int,
    zeros: int,
) -> None:
    path = tmp_path / "map"
    written = MapFile(path, SOURCE, "boot 1")
    written.rewrite(synced, ())
    for span in added:
        written.add(*span)
    written.close()
    everything = covered((*synced, *added))
    assert loaded(path) == everything
    assert loaded(path, boot="boot 2") == covered(tuple(synced))
    path.write_bytes(path.read_bytes()[:cut] + b"\0" * zeros)
    assert loaded(path) <= everything


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(SOURCE, path="/data/other.pt"),
        dataclasses.replace(SOURCE, size=101),
        dataclasses.replace(SOURCE, modified=1),
        dataclasses.replace(SOURCE, place="down sm-other"),
    ],
    ids=["path", "size", "time", "place"],
)
def test_a_map_of_another_source_counts_as_absent(tmp_path: Path, other: Source) -> None:
    kept(tmp_path / "map", [(0, 50)])
    assert loaded(tmp_path / "map") == set(range(50))
    assert loaded(tmp_path / "map", other) == set()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"synced": 5}',
        "[" * 100_000,
        json.dumps({"version": 1, "source": None, "boot": "boot 1", "synced": [[0, 50]]}),
        "\0" * 500,
    ],
    ids=["empty", "list", "number", "deep", "no source", "zeros"],
)
def test_a_hostile_map_counts_as_absent(tmp_path: Path, text: str) -> None:
    (tmp_path / "map").write_text(text)
    assert loaded(tmp_path / "map") == set()


@pytest.mark.parametrize("synced", [[[0, 101]], [[-1, 5]], [[5, 5]], [["a", 2]], [[1]], {}, None])
def test_ranges_outside_the_file_make_a_map_absent(tmp_path: Path, synced: object) -> None:
    head = {"version": 1, "source": dataclasses.asdict(SOURCE), "boot": "boot 1"}
    (tmp_path / "map").write_text(json.dumps({**head, "synced": synced}) + "\n")
    assert loaded(tmp_path / "map") == set()


def test_a_link_in_its_place_is_neither_followed_nor_written_through(tmp_path: Path) -> None:
    kept(tmp_path / "real", [(0, 50)])
    before = (tmp_path / "real").read_bytes()
    (tmp_path / "map").symlink_to(tmp_path / "real")
    assert loaded(tmp_path / "map") == set()
    kept(tmp_path / "map", [(0, 10)])
    assert loaded(tmp_path / "map") == set(range(10))
    assert (tmp_path / "real").read_bytes() == before


def test_bytes_written_during_a_replacement_stay(tmp_path: Path) -> None:
    one = MapFile(tmp_path / "map", SOURCE, "boot 1")
    one.rewrite([], ())
    one.add(0, 10)
    one.rewrite([(0, 5)], [(0, 10)])
    one.add(10, 20)
    assert loaded(tmp_path / "map") == set(range(20))
    assert loaded(tmp_path / "map", boot="boot 2") == set(range(5))
    one.remove()
    assert not (tmp_path / "map").exists()


def test_a_map_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    late = MapFile(tmp_path / "map", SOURCE)
    late.rewrite([], ())
    late.remove()
    late.rewrite([(0, 60)], [(60, 80)])  # by a connection that has synced the part file
    late.add(80, 100)
    assert list(tmp_path.iterdir()) == []
