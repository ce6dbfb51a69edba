"""A call in a thread of its own, waited for in a way that ssh's going away can end.

A lookup in a dead DNS cannot be interrupted, nor can any blocking call on Windows; a wait in
short slices can. The threads are daemons: what still runs when ssh has gone does not keep the
process alive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")

_SLICE_S: Final = 0.25


class Background(Generic[T]):
    """`work`, started at once; `result` gives what it returns or raises what it raises.

    With `begin=False` it starts at `begin`: a signal can strike while a thread is being started,
    and whoever has to clean up after the work needs hold of it by then.
    """

    def __init__(self, work: Callable[[], T], *, begin: bool = True) -> None:
        self._work = work
        self._values: list[T] = []
        self._error: BaseException | None = None
        # Not the thread's own `join`: up to Python 3.12, one that a signal handler's exception
        # interrupts takes the thread for ended.
        self._ended = threading.Event()
        self._begun = False
        if begin:
            self.begin()

    def begin(self) -> None:
        """Start the work."""
        self._begun = True
        threading.Thread(target=self._run, daemon=True).start()

    def result(self) -> T:
        """Wait for the end; a signal handler that raises ends the wait, not the work."""
        while not self._ended.wait(_SLICE_S):
            pass
        if self._error is not None:
            raise self._error
        return self._values[0]

    @property
    def done(self) -> bool:
        """Whether `result` gives its answer at once."""
        return self._ended.is_set()

    @property
    def error(self) -> BaseException | None:
        """What `work` has raised, so far as it has ended."""
        return self._error

    def settled(self, within: float) -> T | None:
        """What `work` has returned within so many seconds; None if nothing, or if it failed."""
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
    """`work(item)` for each, `at_once` at a time; the answers in the order of `items`.

    Raises:
        BaseException: what the first call that failed has raised; no further item is begun.
    """
    queue = deque(enumerate(items))
    found: dict[int, T] = {}

    def worker() -> None:
        while queue:
            try:
                number, item = queue.popleft()
            except IndexError:  # another took it
                return
            try:
                found[number] = work(item)
            except BaseException:
                queue.clear()
                raise

    for background in [Background(worker) for _ in range(min(at_once, len(queue)))]:
        background.result()
    return [found[number] for number in sorted(found)]
