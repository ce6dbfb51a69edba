from __future__ import annotations

from tests.ssm.service import FakeApi


def test_a_grant_does_not_show_its_token() -> None:
    assert "token" not in repr(FakeApi("ws://x/").start())
