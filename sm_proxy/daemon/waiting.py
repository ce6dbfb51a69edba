"""The process that ssh has started and waits for, while a child of the daemon works for it.

The launcher imports this module: import nothing here that is not built in (see peers.py). `_signal`
is what `signal` is made of, which takes 4 ms to import.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import stat
from _collections_abc import Iterable

from sm_proxy.daemon import wire

KILLED = 128 + 9
"""The exit status if a child ends without reporting its own."""
_ENDING = ("SIGHUP", "SIGTERM", "SIGINT")


def status_of(connection: _socket.socket) -> int | None:
    """Tell the child to begin, and wait for its end.

    Args:
        connection: to the child.

    Returns:
        The exit status; None if the child has given the work back, or ended before it began.
    """
    connection.settimeout(None)
    numbers = [getattr(_signal, name) for name in _ENDING]
    blocked = _signal.pthread_sigmask(_signal.SIG_BLOCK, numbers)  # until they are forwarded
    try:
        connection.sendall(wire.GO)
        waiting = _Waiting(connection, numbers)
    except OSError:
        connection.close()
        return None
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
    return waiting.status()


class _Waiting:
    """Waits for a child that has begun.

    Args:
        connection: to the child.
        numbers: the signals that are forwarded.
    """

    def __init__(self, connection: _socket.socket, numbers: Iterable[int]) -> None:
        self._connection = connection
        self._handlers = {
            number: _signal.signal(number, self._forward)
            for number in numbers
            if _signal.getsignal(number) != _signal.SIG_IGN
        }
        self._shares_socket = _is_one_socket(0, 1)
        # The end of the child's descriptors must be the end for ssh. But ssh may still need a
        # descriptor from us, on the socket that is both stdin and stdout.
        _release((2,) if self._shares_socket else (0, 1, 2))

    def status(self) -> int | None:
        """The exit status; None if the child has given the work back."""
        is_decided = False
        while True:
            word, descriptors = self._word()
            if word == wire.PASSED:
                return 0
            if word == wire.GIVEN_BACK and len(descriptors) == 3:
                self._take_back(descriptors)
                return None
            if word != wire.COPYING:
                break
            is_decided = True
        ended = self._word()[0] if word == wire.ENDED else b""
        if self._shares_socket and not is_decided:
            from sm_proxy.local import fd_passing  # noqa: PLC0415 - only after a failure

            fd_passing.pass_ended()
        return ended[0] if ended else KILLED

    def _word(self) -> tuple[bytes, list[int]]:
        try:
            return wire.receive_word(self._connection)
        except OSError:
            return b"", []

    def _forward(self, number: int, _: object) -> None:
        """Let the child decide what a signal means; those that were ignored stay ignored."""
        try:
            self._connection.sendall(bytes([number]))
        except OSError:
            return  # it has ended

    def _take_back(self, descriptors: Iterable[int]) -> None:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for number, handler in self._handlers.items():
            _signal.signal(number, handler)
        self._connection.close()


def _release(descriptors: Iterable[int]) -> None:
    """Put /dev/null in their place; without a descriptor for it, all stay as they are."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:
        return
    for number in descriptors:
        os.dup2(null, number)
    os.close(null)


def _is_one_socket(first: int, second: int) -> bool:
    one, other = os.fstat(first), os.fstat(second)
    return stat.S_ISSOCK(one.st_mode) and os.path.samestat(one, other)
