from __future__ import annotations

from sm_proxy.ssm.liveness import AWAKE_DEADLINE_S, PING_EVERY_S, SILENCE_DEADLINE_S, Liveness

WALL = 1_700_000_000.0


def test_pings_come_regularly() -> None:
    life = Liveness(0, WALL)
    assert not life.ping_due(PING_EVERY_S - 0.1, WALL + PING_EVERY_S - 0.1)
    assert life.ping_due(PING_EVERY_S, WALL + PING_EVERY_S)
    assert not life.ping_due(PING_EVERY_S + 0.1, WALL + PING_EVERY_S + 0.1)


def test_silence_is_a_loss_and_any_frame_defers_it() -> None:
    life = Liveness(0, WALL)
    life.heard(10)
    assert not life.lost(10 + SILENCE_DEADLINE_S - 0.1)
    assert life.lost(10 + SILENCE_DEADLINE_S)


def test_after_a_sleep_only_a_prompt_pong_counts() -> None:
    life = Liveness(0, WALL)
    assert life.ping_due(2, WALL + 3600), "an early ping"
    life.heard(2.1)  # something that had waited in the kernel
    assert life.lost(2 + AWAKE_DEADLINE_S)
    life.pong(3)
    assert not life.lost(2 + AWAKE_DEADLINE_S)


def test_a_sleep_is_noticed_soon() -> None:
    assert Liveness(0, WALL).deadline <= 5


def test_a_small_clock_adjustment_is_not_a_sleep() -> None:
    life = Liveness(0, WALL)
    assert not life.ping_due(1, WALL + 1.5)


def test_the_deadline_moves_on_with_every_check() -> None:
    life = Liveness(0, WALL)
    now = 0.0
    for _ in range(20):
        assert life.deadline > now
        now = life.deadline
        life.ping_due(now, WALL + now)
        life.heard(now)
