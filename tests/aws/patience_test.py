from __future__ import annotations

import pytest

from sm_proxy.aws import patience
from sm_proxy.errors import SmProxyError
from tests.fakes import Clock

THROTTLED = SmProxyError("throttled", "logs:GetLogEvents was throttled", "Try again later.")
DENIED = SmProxyError("access-denied", "logs:GetLogEvents is denied", "Ask.")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def failing(times: int, error: SmProxyError = THROTTLED) -> list[SmProxyError]:
    return [error] * times


class Caller:
    """Raises each error once, then answers."""

    def __init__(self, errors: list[SmProxyError]) -> None:
        self.errors = errors
        self.messages: list[str] = []

    def ask(self, limit_s: float = float("inf")) -> str:
        return patience.Patience(limit_s, self.messages.append).ask(self._call)

    def _call(self) -> str:
        if self.errors:
            raise self.errors.pop()
        return "answer"


def test_a_throttled_call_is_made_again_with_growing_pauses(clock: Clock) -> None:
    caller = Caller(failing(9))
    assert caller.ask() == "answer"
    assert caller.messages == ["trying again: logs:GetLogEvents was throttled"]
    assert len(clock.slept) == 9
    assert clock.slept[0] < 2 < clock.slept[2] < 10 < clock.slept[-1] <= 36


def test_a_call_that_fails_for_good_is_not_repeated(clock: Clock) -> None:
    with pytest.raises(SmProxyError, match="is denied"):
        Caller(failing(1, DENIED)).ask()
    assert clock.slept == []


def test_a_limit_ends_it(clock: Clock) -> None:
    with pytest.raises(SmProxyError, match="was throttled"):
        Caller(failing(99)).ask(limit_s=20)
    assert 7 < sum(clock.slept) < 22
