from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from sm_proxy.local import signals, threads
from sm_proxy.local.threads import Background


def test_result_returns_or_raises_what_the_work_did() -> None:
    assert threads.run(divmod, 7, 2) == (3, 1)
    assert threads.run(lambda *, key: key, key=None) is None
    with pytest.raises(ZeroDivisionError):
        threads.run(divmod, 7, 0)


def test_settled_returns_what_is_there_in_time() -> None:
    go = threading.Event()
    slow = Background(lambda: go.wait(60))
    assert slow.settled(0.01) is None
    go.set()
    assert slow.settled(60) is True
    later = Background(lambda: 5, begin=False)
    assert later.settled(60) is None
    assert not later.done
    later.begin()
    assert (later.settled(60), later.done) == (5, True)
    failed: Background[object] = Background(lambda: divmod(1, 0))
    assert failed.settled(60) is None


def test_work_goes_on_after_a_signal_ends_the_wait() -> None:
    """After an interrupted Thread.join, a running thread counts as ended."""
    signals.raise_on_hangup()
    go = threading.Event()
    slow = Background(lambda: go.wait(60))

    def wait() -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGHUP)).start()
        slow.result()

    with pytest.raises(signals.Hangup):
        wait()
    threading.Timer(0.1, go.set).start()
    assert slow.settled(60) is True


def test_a_signal_ends_the_wait_and_the_process() -> None:
    """A call that hangs keeps neither the wait nor the interpreter from ending."""
    program = (
        "import os, signal, threading, time\n"
        "from sm_proxy.local import threads, signals\n"
        "signals.raise_on_hangup()\n"
        "try:\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGHUP)).start()\n"
        "    threads.run(threading.Event().wait)\n"
        "except signals.Hangup:\n"
        "    print('over')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=60, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


def test_concurrent_results_keep_the_order_of_the_items() -> None:
    assert threads.map_concurrently(lambda item: item * 2, range(20), 3) == list(range(0, 40, 2))
    assert threads.map_concurrently(str, [], 3) == []


def test_concurrent_work_stops_at_the_first_failure() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        threads.map_concurrently(work, range(20), 1)
    assert begun == [0]


def test_a_report_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert Background(lambda: 3, or_here=True).result() == 3
    with pytest.raises(ZeroDivisionError):
        Background(lambda: 7 // 0, or_here=True).result()


def test_a_thread_has_what_its_starter_had_and_gives_nothing_back() -> None:
    def change() -> bool:
        before = threads.INHERITED.logs_status
        threads.INHERITED.logs_status = not before
        return before

    threads.INHERITED.logs_status = True
    try:
        assert threads.run(change)
        assert threads.INHERITED.logs_status
    finally:
        threads.INHERITED.logs_status = False
    assert not threads.run(change)
    assert not threads.INHERITED.logs_status
