"""What ssh starts: let the daemon do the work of `connect`, else say that this process must.

It hands over its descriptors, environment, working folder and umask, and waits for an exit status.
Whatever is wrong with the daemon before a child of it is ready, this process does the work itself;
SM_PROXY_LOG=debug tells why.

Every ssh pays for this module: import nothing here that `socket` does not import. A second ssh
then takes 10 ms of CPU time more than an empty program, and 300 ms less than a first one.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from collections.abc import Iterable, Sequence

from sm_proxy.daemon import peers, place, wire

ANSWER_S = 1.0
"""Seconds that the daemon may take for each answer."""
BUSIEST = 5.0
"""A busy machine lengthens that by this factor at most."""
KILLED = 128 + 9
"""The exit status after the end of a child that has not told its own."""
absent = [False]
"""Whether no daemon was found, so that this process may start one."""
_ENDING = ("SIGHUP", "SIGTERM", "SIGINT")


def hand_over(words: Sequence[str]) -> int | None:
    """Let the daemon do the work of a command line.

    Args:
        words: the command line, without the program.

    Returns:
        The exit status; None if this process must do the work.

    Raises:
        KeyboardInterrupt: ^C, before a child is ready.
    """
    if not is_wanted(words):
        return None
    connection = _taken(words)
    waiting = connection and _begun(connection)
    return waiting.status() if waiting else None


def is_wanted(words: Sequence[str]) -> bool:
    """Whether the daemon may do the work: it is `connect`, for a program, and not switched off."""
    idle = os.environ.get("SM_PROXY_DAEMON_IDLE", "")
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            break
        name, is_whole, value = word.partition("=")
        value = value if is_whole else next(rest, "")
        idle = value if name == "--daemon-idle" else idle
    else:
        word = ""
    return (
        word == "connect"
        and sys.platform != "win32"
        and not (idle and idle.rstrip("smhd").strip("0") == "")
        and not any(os.environ.get(name) for name in place.PRELOADED)
        and not _is_terminal(0)
    )


def _taken(words: Sequence[str]) -> socket.socket | None:
    """The connection to a child that is to do the work; None if there is none."""
    connection = None
    try:
        whose = place.identity()
        connection = _connected(place.sockets(whose))
        if connection is None:
            why = "there is none"
        elif not (why := _refusal(connection, _request(whose, words))):
            return connection
    except (OSError, ValueError) as error:
        why = str(error)
    if connection is not None:
        connection.close()  # a child that is ready too late must see it
    _tell(why)
    return None


def _connected(paths: Iterable[str]) -> socket.socket | None:
    """A connection to the first daemon that listens.

    Raises:
        OSError: it does not take the connection.
    """
    absent[0] = True
    for path in paths:
        try:
            connection = peers.connect(path, ANSWER_S)
        except (FileNotFoundError, ConnectionRefusedError):  # never started, or killed
            continue
        except (BlockingIOError, TimeoutError):
            absent[0] = False
            raise
        except OSError as error:
            _tell(f"{path}: {error}")
            continue
        absent[0] = False
        return connection
    return None


def _refusal(connection: socket.socket, request: wire.Request) -> str:
    """Ask for a child; say why there is none, or nothing.

    Raises:
        ValueError: the environment is too large.
    """
    step = "the working folder"
    try:
        folder = _working_folder()
        try:
            step = "sending the request"
            wire.send_request(connection, request, (0, 1, 2, folder))
        finally:
            os.close(folder)
        step = "waiting for a child of it"
        if (answer := _answer(connection)) != wire.TAKEN:
            return "it refused" if answer else "it went away"
    except OSError as error:
        return f"{step}: {error}"
    return ""


def _request(whose: str, words: Iterable[str]) -> wire.Request:
    environment = [name + b"=" + value for name, value in os.environb.items()]
    mask = os.umask(0o77)
    os.umask(mask)
    return wire.Request("connect", whose, list(map(os.fsencode, words)), environment, mask)


def _working_folder() -> int:
    """A descriptor of the working folder, which may have been removed or be closed to reading."""
    return os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)


def _answer(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except TimeoutError:
        from sm_proxy.local import file_lock  # noqa: PLC0415 - only if it takes long already

        longer = min(file_lock.slowdown(), BUSIEST) - 1
        if longer <= 0:
            raise
        connection.settimeout(longer * ANSWER_S)
        return connection.recv(1)


def _begun(connection: socket.socket) -> _Waiting | None:
    """Tell the child to begin; None if it has ended meanwhile."""
    connection.settimeout(None)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ending())  # until they are forwarded
    try:
        connection.sendall(wire.GO)
        return _Waiting(connection)
    except OSError as error:
        connection.close()
        _tell(f"telling a child of it to begin: {error}")
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _ending() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _ENDING]


class _Waiting:
    """Waits for the end of the child, in the process that ssh waits for.

    Args:
        connection: to the child, which has got the word to begin.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._handlers = {
            number: signal.signal(number, self._forward)
            for number in _ending()
            if signal.getsignal(number) != signal.SIG_IGN
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
            signal.signal(number, handler)
        self._connection.close()
        _tell("a child of it gave the work back")


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


def _is_terminal(number: int) -> bool:
    """Whether a person has typed the command, who may stop and continue it there."""
    try:
        return os.isatty(number)
    except OSError:
        return False


def _tell(why: str) -> None:
    """Log why this process does the work itself."""
    if os.environ.get("SM_PROXY_LOG", "").lower() == "debug":
        from sm_proxy.local import debug_log  # noqa: PLC0415 - only with SM_PROXY_LOG

        debug_log.write("no daemon", why=why)
