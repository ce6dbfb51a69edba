"""The count of a copy: complete, bounded, and told by one thread at a time."""

from __future__ import annotations

import threading

import pytest

from sm_proxy.transfer.progress import Meter, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_what_an_earlier_run_copied_but_not_in_the_rate() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.expect(2, 1000)
    meter.had(400)
    meter.moved(0, "a")
    clock.now += 2
    meter.moved(200, "b")
    meter.finished()
    assert meter.now() == Progress(600, 1000, 1, 2, 100.0, "b")


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.expect(1, 10**9)
    for _ in range(100):
        clock.now += 0.2
        meter.moved(1_000)
    for _ in range(100):
        clock.now += 0.2
        meter.moved(2_000)
    assert meter.now().rate == pytest.approx(10_000, rel=0.05)


def test_bytes_that_come_again_never_exceed_the_total() -> None:
    meter = Meter(None)
    meter.expect(1, 10)
    meter.moved(15)
    assert meter.now().bytes_done == 10
    meter.moved(-20)
    assert meter.now().bytes_done == 0


def test_it_tells_at_most_ten_times_a_second_and_at_the_end() -> None:
    clock = Clock()
    told: list[Progress] = []
    meter = Meter(told.append, clock)
    meter.expect(1, 10_000)
    for _ in range(1000):
        clock.now += 0.001
        meter.moved(10)
    assert len(told) in {10, 11}
    meter.end()
    assert told[-1].bytes_done == 10_000


def test_no_byte_is_lost_between_threads() -> None:
    inside = threading.Lock()
    together = False

    def tell(_: Progress) -> None:
        nonlocal together
        together |= not inside.acquire(blocking=False)
        inside.release()

    meter = Meter(tell)
    meter.expect(8, 8000)

    def copy() -> None:
        for _ in range(1000):
            meter.moved(1, "x")
        meter.finished()

    threads = [threading.Thread(target=copy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (meter.now().bytes_done, meter.now().files_done) == (8000, 8)
    assert not together
