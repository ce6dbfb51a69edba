"""Carries bytes between ssh and a stream until either is done, in one thread with bounded memory.

Back-pressure works both ways: stdin is not read while the stream has no room, and the stream is
not read while ssh does not take the bytes that came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, poll, signals
from sm_proxy.local.poll import NOTHING, Ready
from sm_proxy.local.stdio import CHUNK, Stdio
from sm_proxy.tunnel.greeting import SILENCE_S, Greeting
from sm_proxy.tunnel.leavable import LeavableStream
from sm_proxy.tunnel.stream import Stream, finish, unwrapped, wanted

LINGER_S: Final = 2.0
"""How long to wait for answers after the end of stdin; SSM has no half-close."""
GREETING_S: Final = 30.0
"""The longest wait for the greeting, however many lines come before it."""
STAYS_S: Final = 1.5
"""How long after the greeting this process stays at least: short connections are most of them."""
QUIET_S: Final = 1.0
"""How long nothing may come from the container until the user is told what we wait for."""
BULK_S: Final = 30.0
"""How long bytes must come without a pause until they are a long transfer."""
_BULK_BYTES: Final = 50_000
"""Bytes in each second of a transfer; typing has less, and forwarded pages have pauses."""
_WINDOW_S: Final = 1.0
_NEVER: Final = float("inf")


class Bulk:
    """Notices a long transfer in one direction, by two counters."""

    def __init__(self) -> None:
        self._told = False
        self._window = 0.0
        self._seen = [0, 0]
        self._began = [(0.0, 0), (0.0, 0)]

    def rate(self, now: float, up: int, down: int) -> float:
        """Bytes a second, once in its life, when a transfer has gone on for `BULK_S`; else 0.

        Args:
            now: the time of `time.monotonic`.
            up: the bytes so far in one direction.
            down: the bytes so far in the other one.
        """
        passed = now - self._window
        if self._told or passed < _WINDOW_S:
            return 0.0
        found = 0.0
        for which, count in enumerate((up, down)):
            began, before = self._began[which]
            if count - self._seen[which] < _BULK_BYTES * passed:
                self._began[which] = now, count
            elif now - began >= BULK_S:
                found = (count - before) / (now - began)
        self._window, self._seen, self._told = now, [up, down], bool(found)
        return found


class Pump:
    """One connection's copying loop.

    Args:
        stream: to the container.
        stdio: to ssh.
        ungreeted: makes the error for a tunnel without an SSH server's greeting, from the bytes
            that came instead.
        leave: asks another process to go on with the stream; returns whether it was asked.
        on_bulk: takes the bytes a second of a long transfer, once; it must not block.
        on_answer: called before ssh gets the first bytes.
        on_silence: called once if there are none after `QUIET_S`.

    Attributes:
        up: how many bytes have come from ssh.
        down: how many bytes ssh has taken.
        left: whether another process goes on.
    """

    def __init__(
        self,
        stream: Stream,
        stdio: Stdio,
        ungreeted: Callable[[Greeting], SmProxyError],
        leave: Callable[[LeavableStream], bool] = lambda _: False,
        on_bulk: Callable[[float], object] = lambda _: None,
        *,
        on_answer: Callable[[], object] = lambda: None,
        on_silence: Callable[[], object] = lambda: None,
    ) -> None:
        self._stream = stream
        self._stdio = stdio
        self._ungreeted = ungreeted
        self._leave = leave
        self._on_bulk = on_bulk
        self._on_answer = on_answer
        self._on_silence = on_silence
        self._silence_due = time.monotonic() + QUIET_S
        self._bulk = Bulk()
        self._backlog = memoryview(b"")
        self._stdin_open = True
        self._ssh_gone = False
        self._linger_until = _NEVER
        self._looked_at = -_NEVER
        self._greeting_due = self._greeting_limit = _NEVER
        self._greeting = Greeting()
        self._stays_until = _NEVER
        self._pause = STAYS_S
        self.up = 0
        self.down = 0
        self.left = False

    def run(self) -> None:
        """Copy until both sides are done; returns after a clean end, or if another goes on.

        Raises:
            Exception: the stream's failure, after all bytes before it were delivered.
            SmProxyError: `sshd-silent`, unless ssh left first.
        """
        with signals.Wakeup() as wakeup:
            ready = NOTHING
            while True:
                self._step(ready)
                self._ssh_gone = self._ssh_gone or wakeup.hung_up
                if self._done():
                    break
                ready = self._wait(wakeup.fileno())
        self._conclude()

    def _done(self) -> bool:
        # Compare with the time of the last look for bytes: the process may have been stopped since.
        if self._ssh_gone or self._looked_at >= self._linger_until:
            return True
        return self._stream.ended and not self._backlog and not self._refill()

    def _step(self, ready: Ready) -> None:
        now = time.monotonic()
        self._stream.advance(now, readable=self._stream.fileno() in ready.readable)
        self._carry_down(now)
        self._check_greeting(now)
        if self._stdio.stdin in ready.readable and self._listening:
            self._carry_up(now)
        elif self._stdin_open and not self._listening:
            self._ssh_gone = self._ssh_gone or self._stdio.gone()
        self._ssh_gone = self._ssh_gone or bool(ready.hung_up)
        if now >= self._silence_due:
            self._silence_due = _NEVER
            self._on_silence()
        if rate := self._bulk.rate(now, self.up, self.down):
            self._on_bulk(rate)
        self._stream = unwrapped(self._stream)
        if now >= self._stays_until and isinstance(self._stream, LeavableStream):
            self._consider_leaving(now, self._stream)

    def _consider_leaving(self, now: float, stream: LeavableStream) -> None:
        if self._leave(stream):
            self._stays_until = _NEVER
        else:  # such as while the housekeeping makes a call
            self._pause *= 2
            self._stays_until = now + self._pause

    @property
    def _listening(self) -> bool:
        return self._stdin_open and bool(self._stream.room)

    def _carry_down(self, now: float) -> None:
        try:
            while (self._backlog or self._refill()) and (taken := self._write()):
                self._backlog = self._backlog[taken:]
                self.down += taken
                self._extend_linger(now)
        except OSError:
            self._ssh_gone = True

    def _write(self) -> int:
        return self._stdio.write(self._backlog)

    def _refill(self) -> bool:
        data = self._stream.read()
        if data and not self._greeting.given:
            self._silence_due = _NEVER
            self._on_answer()
            self._greeting.feed(data)
            self._greeting_due = _NEVER  # it answers: the wait for silence starts again
            if self._greeting.impossible:
                raise self._ungreeted(self._greeting)
            if self._greeting.version:
                self._stays_until = time.monotonic() + self._pause
        self._backlog = memoryview(data)
        return bool(data)

    def _check_greeting(self, now: float) -> None:
        # While ssh does not take bytes, we read no more, so silence means nothing. After the end
        # of stdin, `LINGER_S` bounds the wait.
        done = self._greeting.given or self._stream.ended or not self._stdin_open
        if done or self._backlog or not self._stream.opened:
            self._greeting_due = _NEVER
            return
        if self._greeting_limit == _NEVER:
            self._greeting_limit = now + GREETING_S
            debug_log.write("tunnel up")
        if self._greeting_due == _NEVER:
            self._greeting_due = min(now + SILENCE_S, self._greeting_limit)
        if now >= self._greeting_due:
            raise self._ungreeted(self._greeting)

    def _carry_up(self, now: float) -> None:
        data = self._stdio.read(min(CHUNK, self._stream.room))
        if data:
            self._stream.write(data)
            self.up += len(data)
            self._stream.advance(now, readable=False)
            return
        self._stdin_open = False
        self._linger_until = now + LINGER_S

    def _extend_linger(self, now: float) -> None:
        if not self._stdin_open:
            self._linger_until = now + LINGER_S

    def _wait(self, wakeup: int) -> Ready:
        self._looked_at = now = time.monotonic()
        if not self._stdin_open and not self._stream.delivered:
            self._extend_linger(now)
        due = min(self._linger_until, self._greeting_due, self._silence_due)
        if isinstance(self._stream, LeavableStream):
            due = min(due, self._stays_until)
        readers, writers = [wakeup], []
        hangups: list[int] = []
        if not self._stream.ended:  # an ended stream has no descriptor and a deadline in the past
            due = min(due, self._stream.deadline(now))
            of_stream = wanted(self._stream)
            readers += of_stream[0]
            writers += of_stream[1]
        if self._listening:
            readers.append(self._stdio.stdin)
        else:  # while we do not read stdin, only a hang-up of stdout shows that ssh has exited
            hangups.append(self._stdio.stdout)
        if self._backlog:
            writers.append(self._stdio.stdout)
        return poll.wait(readers, writers, hangups, due - now)

    @property
    def _ended_ungreeted(self) -> bool:
        """Whether the far end left before its greeting, and ssh did not end first."""
        far_end_left = self._stream.ended and self._stream.opened and self._stdin_open
        return far_end_left and not self._greeting.given

    def _conclude(self) -> None:
        """Raise the failure if there is one; else end the stream, unless another goes on with it.

        The far end is told, and has a moment to confirm that.
        """
        if self._ssh_gone:
            signals.detach_stderr()
        elif isinstance(self._stream, LeavableStream) and self._stream.left():
            self.left = True
            return
        elif self._stream.failure is not None:
            raise self._stream.failure
        elif self._stdin_open and self._stream.ended and (failure := self._stream.suspicion):
            raise failure
        elif self._ended_ungreeted and not self._stdio.gone():
            self._greeting.ended = True
            raise self._ungreeted(self._greeting)
        else:
            self._stdio.finish()
        finish(self._stream)
