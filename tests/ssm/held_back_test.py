from __future__ import annotations

from sm_proxy.ssm.held_back import HOLD_S, HeldBack

_NEVER = float("inf")


def test_nothing_is_held_without_a_reason() -> None:
    held = HeldBack()
    assert held.passed(b"a", 1.0, hold=False) == b"a"
    assert held.passed(b"", 1.0, hold=True) == b""
    assert held.until == _NEVER


def test_bytes_are_held_for_a_moment_in_their_order() -> None:
    held = HeldBack()
    assert held.passed(b"a", 1.0, hold=True) == b""
    assert held.until == 1.0 + HOLD_S
    assert held.passed(b"b", 1.0 + HOLD_S / 2, hold=True) == b""
    assert held.passed(b"c", 1.0 + HOLD_S, hold=True) == b"abc"
    assert held.until == _NEVER
    assert held.passed(b"d", 2.0, hold=True) == b""
    assert held.until == 2.0 + HOLD_S


def test_the_end_releases_all_held_bytes() -> None:
    held = HeldBack()
    held.passed(b"a", 1.0, hold=True)
    assert held.passed(b"b", 1.0, hold=False) == b"ab"
    assert held.until == _NEVER
