"""Run a call in a thread, and wait for it so that a signal can end the wait.

A signal cannot interrupt a DNS lookup, or any blocking call on Windows, but it can interrupt a wait
in short slices. The threads are daemons: they do not keep the process alive after ssh has exited.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")

_SLICE_S: Final = 0.25


class _Inherited(threading.local):
    """What a thread has from the one that started it; `contextvars` would be one more import.

    Attributes:
        logs_status: whether its status lines go to a log: see `output.status_to_log`.
    """

    logs_status = False


INHERITED: Final = _Inherited()


def inheriting(work: Callable[[], object]) -> Callable[[], None]:
    """`work` for a thread that inherits this thread's `INHERITED`."""
    given = dict(vars(INHERITED))

    def run() -> None:
        vars(INHERITED).update(given)
        work()

    return run


class Background(Generic[T]):
    """Run `work` in a thread; `result` returns what it returned, or raises what it raised.

    With `begin=False` the thread starts at `begin`. A signal can arrive while a thread is starting:
    then a caller that must clean up after the work already has this object.

    Raises:
        RuntimeError: the system starts no more threads. With `or_here=True`, the work is done at
            once then: the report of a failure, or a clean-up.
    """

    def __init__(self, work: Callable[[], T], *, begin: bool = True, or_here: bool = False) -> None:
        self._work = work
        self._or_here = or_here
        self._values: list[T] = []
        self._error: BaseException | None = None
        # Not `Thread.join`: up to Python 3.12, if a signal handler raises in it, the thread counts
        # as ended.
        self._ended = threading.Event()
        self._begun = False
        if begin:
            self.begin()

    def begin(self) -> None:
        """Start the work."""
        self._begun = True
        thread = threading.Thread(target=inheriting(self._run), daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._or_here:
                raise
            self._run()

    def result(self) -> T:
        """Wait for the end. If a signal handler raises, the wait ends and the work goes on."""
        while not self._ended.wait(_SLICE_S):
            pass
        if self._error is not None:
            raise self._error
        return self._values[0]

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self._ended.is_set()

    @property
    def error(self) -> BaseException | None:
        """The exception that `work` raised; None while it runs or if it succeeded."""
        return self._error

    def settled(self, within: float) -> T | None:
        """Wait for the result; None if it does not come in time, or `work` failed."""
        if self._begun:
            self._ended.wait(within)
        return self._values[0] if self._values else None

    def _run(self) -> None:
        try:
            self._values.append(self._work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._error = error
        finally:
            self._ended.set()


def run(work: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run `work(...)` in the background and wait for it."""
    return Background(lambda: work(*arguments, **named)).result()


def map_concurrently(work: Callable[[Item], T], items: Iterable[Item], at_once: int) -> list[T]:
    """Call `work(item)` for each item, `at_once` at a time; results in the order of `items`.

    Raises:
        BaseException: of the first call that failed; no further call starts.
    """
    queue = deque(enumerate(items))
    found: dict[int, T] = {}

    def worker() -> None:
        while queue:
            try:
                number, item = queue.popleft()
            except IndexError:  # another worker took it
                return
            try:
                found[number] = work(item)
            except BaseException:
                queue.clear()
                raise

    for background in [Background(worker) for _ in range(min(at_once, len(queue)))]:
        background.result()
    return [found[number] for number in sorted(found)]
