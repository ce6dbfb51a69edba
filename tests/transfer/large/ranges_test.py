from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm_proxy.transfer.large.ranges import Claims, RangeMap
from tests.soak import SOAK

EXAMPLES = settings(max_examples=2000 if SOAK else 30, deadline=None)
SIZE = 60
spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(
    lambda pair: (pair[0], min(SIZE, pair[0] + pair[1]))
)


@given(st.lists(spans, max_size=30))
@EXAMPLES
def test_the_map_knows_exactly_the_bytes_that_were_added(added: list[tuple[int, int]]) -> None:
    ranges = RangeMap(SIZE)
    truth: set[int] = set()
    for start, end in added:
        new = set(range(start, end)) - truth
        assert ranges.add(start, end) == len(new)
        truth |= new
    assert {byte for start, end in ranges.done for byte in range(start, end)} == truth
    assert all(a[1] < b[0] for a, b in zip(ranges.done, ranges.done[1:], strict=False))
    assert ranges.covered == len(truth)
    assert ranges.complete == (len(truth) == SIZE)
    assert ranges.prefix == next((i for i in range(SIZE) if i not in truth), SIZE)
    for start in range(SIZE + 1):
        absent = [i for i in range(start, SIZE) if i not in truth]
        found = ranges.missing(start, 7)
        assert (found is None) == (not absent)
        if found:
            assert found[0] == absent[0]
            assert not truth & set(range(*found))
            assert 0 < found[1] - found[0] <= 7
    assert RangeMap(SIZE, ranges.done).done == ranges.done


@pytest.mark.parametrize("span", [(-1, 3), (3, 3), (5, 4), (0, SIZE + 1)])
def test_a_range_outside_the_file_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no range"):
        RangeMap(SIZE).add(*span)


def test_an_empty_file_is_complete() -> None:
    claims = Claims(RangeMap(0))
    assert claims.complete
    assert not claims.claimable
    assert claims.claim("a") is None


@given(st.lists(spans, max_size=5), st.data())
@EXAMPLES
def test_every_byte_arrives_whatever_is_lost_short_or_slow(
    there: list[tuple[int, int]], data: st.DataObject
) -> None:
    now = [0.0]
    claims = Claims(RangeMap(SIZE, there), clock=lambda: now[0])
    held: dict[str, list[tuple[int, int]]] = {"a": [], "b": [], "c": []}
    for _ in range(400):
        if claims.complete:
            break
        owner = data.draw(st.sampled_from("abc"))
        act = data.draw(st.sampled_from(["claim", "claim", "answer", "answer", "short", "lose"]))
        now[0] += data.draw(st.sampled_from([0.1, 2.0]))
        if act == "claim":
            held[owner] += filter(None, [claims.claim(owner, 8)])
        elif act == "lose":
            claims.release(owner)
            held[owner].clear()
        elif held[owner]:
            start, end = held[owner].pop(0)
            stop = start + 1 if act == "short" else end
            assert 0 <= claims.done(owner, start, stop) <= stop - start
    for owner in "bc":  # whatever has happened, one that lives on brings the rest
        claims.release(owner)
    for start, end in held["a"]:
        claims.done("a", start, end)
    while piece := claims.claim("a", 8):
        claims.done("a", *piece)
    assert claims.complete
    assert claims.snapshot() == ((0, SIZE),)


def test_no_byte_is_claimed_twice_while_all_answer_in_time() -> None:
    claims = Claims(RangeMap(SIZE), clock=lambda: 0.0)
    pieces = [claims.claim(owner, 8) for owner in "abcabcabc"]
    assert pieces[-1] is None
    got = sorted(piece for piece in pieces if piece)
    assert [byte for start, end in got for byte in range(start, end)] == list(range(SIZE))
    assert claims.unclaimed == 0
    assert not claims.claimable


def test_a_stalled_piece_is_helped_once_and_by_another_owner() -> None:
    now = [0.0]
    claims = Claims(RangeMap(8), clock=lambda: now[0])
    assert claims.claim("slow", 8) == (0, 8)
    assert claims.claim("quick", 8) is None
    now[0] = Claims.STALLED_S + 0.1
    assert claims.claimable
    assert claims.claim("slow", 8) is None
    assert claims.claim("quick", 8) == (0, 8)
    assert claims.claim("third", 8) is None
    assert claims.done("quick", 0, 8) == 8
    assert claims.done("slow", 0, 8) == 0
    assert claims.complete


def test_a_piece_that_came_back_is_first_and_skips_what_arrived() -> None:
    claims = Claims(RangeMap(24), clock=lambda: 0.0)
    assert claims.claim("lost", 8) == (0, 8)
    assert claims.claim("b", 8) == (8, 16)
    claims.done("lost", 0, 3)  # a short answer
    assert claims.claim("b", 8) == (3, 8)
