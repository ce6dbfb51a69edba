"""The count of a copy: complete, bounded, and told by one thread."""

from __future__ import annotations

import threading

import pytest

from sm_proxy.transfer.progress import Meter, Progress
from tests import waits


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bytes_of_an_earlier_run_count_in_the_progress_but_not_the_rate() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.expect(2, 1000)
    meter.had(400)
    clock.now += 60
    meter.begun("a")
    meter.moved(100)
    clock.now += 2
    meter.begun("b")
    meter.moved(100)
    meter.finished()
    assert meter.now() == Progress(600, 1000, 1, 2, 100.0, "b")


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.expect(1, 10**9)
    for size in (1_000, 2_000):
        for _ in range(100):
            clock.now += 0.2
            meter.moved(size)
            meter.now()
    assert meter.now().rate == pytest.approx(10_000, rel=0.05)


def test_the_rate_falls_to_zero_while_nothing_moves() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    meter.moved(1_000)
    for _ in range(100):
        clock.now += 0.2
        meter.now()
    assert meter.now().rate == 0


def test_bytes_that_come_again_never_exceed_the_total() -> None:
    meter = Meter()
    meter.expect(1, 10)
    meter.moved(15)
    assert meter.now().bytes_done == 10
    meter.moved(-20)
    assert meter.now().bytes_done == 0


def test_progress_is_reported_during_a_stall_and_at_the_end() -> None:
    told: list[Progress] = []
    with Meter(told.append) as meter:
        meter.expect(1, 10)
        waits.await_true(lambda: len(told) > 1, 20)
        meter.moved(10)
        meter.finished()
    assert told[-1].bytes_done == 10
    assert told[-1].files_done == 1


def test_an_error_of_the_callback_is_raised_at_the_end() -> None:
    failed = threading.Event()

    def tell(_: Progress) -> None:
        failed.set()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), Meter(tell):
        assert failed.wait(20)


def test_an_error_of_the_copy_comes_before_one_of_the_callback() -> None:
    failed = threading.Event()

    def tell(_: Progress) -> None:
        failed.set()
        raise ValueError("mine")

    def copy() -> None:
        with Meter(tell):
            assert failed.wait(20)
            raise KeyError("yours")

    with pytest.raises(KeyError):
        copy()


def test_no_byte_is_lost_between_threads() -> None:
    meter = Meter()
    meter.expect(8, 8000)

    def copy() -> None:
        for _ in range(1000):
            meter.moved(1)
        meter.finished()

    threads = [threading.Thread(target=copy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (meter.now().bytes_done, meter.now().files_done) == (8000, 8)
