"""The program that ssh starts: it lets the daemon do the work of `connect`, if there is one.

It hands over its descriptors, environment, working folder and umask, and waits for an exit status.
Whatever is wrong with the daemon before a child of it is ready, this process does the work itself;
SM_PROXY_LOG=debug tells why.

Every ssh waits for this module: import nothing here that is not built in (see peers.py).
"""

from __future__ import annotations

import _socket
import os
import sys
from _collections_abc import Iterable, Sequence

from sm_proxy.daemon import peers, place, waiting, wire

ANSWER_S = 1.0
"""Seconds that the daemon may take for each answer."""
BUSIEST = 5.0
"""A busy machine lengthens that by this factor at most."""
absent = [False]
"""Whether no daemon was found, so that this process may start one."""


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
    if connection is None:
        return None
    status = waiting.status_of(connection)
    if status is None:
        _report("a child of it gave the work back")
    return status


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
        and _is_for_a_program()
    )


def _taken(words: Sequence[str]) -> _socket.socket | None:
    """The connection to a child that will do the work; None if there is none."""
    connection = None
    try:
        whose = place.identity()
        connection = _connected(place.sockets(whose))
        if connection is None:
            why = "there is none"
        elif not (why := _refusal(connection, _request(whose, words))):
            return connection
    except Exception as error:  # noqa: BLE001 - nothing about the daemon may cost ssh its connection
        why = f"{type(error).__name__}: {error}"
    if connection is not None:
        connection.close()  # a child that is ready too late must see it
    _report(why)
    return None


def _connected(paths: Iterable[str]) -> _socket.socket | None:
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
            _report(f"{path}: {error}")
            continue
        absent[0] = False
        return connection
    return None


def _refusal(connection: _socket.socket, request: wire.Request) -> str:
    """Ask for a child; say why there is none, or nothing.

    Raises:
        ValueError: the environment is too large.
    """
    step = "waiting for a process of it"
    try:
        if _answer(connection) != wire.READY:
            return "it went away"
        step = "the working folder"
        folder = _working_folder()
        try:
            step = "sending the request"
            wire.send_request(connection, request, (0, 1, 2, folder), is_ready=True)
        finally:
            os.close(folder)

        step = "waiting for a child of it"
        if (answer := _answer(connection)) != wire.TAKEN:
            absent[0] = not answer  # it is ending, perhaps because there is a new version of us
            return "it refused" if answer else "it went away"
    except OSError as error:
        absent[0] = isinstance(error, ConnectionError)
        return f"{step}: {error}"
    return ""


def _request(whose: str, words: Sequence[str]) -> wire.Request:
    environment = [name + b"=" + value for name, value in os.environb.items()]
    mask = os.umask(0o77)
    os.umask(mask)
    return wire.Request("connect", whose, list(map(os.fsencode, words)), environment, mask)


def _working_folder() -> int:
    """A descriptor of the working folder, which may have been removed or be closed to reading."""
    return os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)


def _answer(connection: _socket.socket) -> bytes:
    try:
        return connection.recv(1)
    except TimeoutError:
        from sm_proxy.local import file_lock  # noqa: PLC0415 - only if it takes long already

        longer = min(file_lock.slowdown(), BUSIEST) - 1
        if longer <= 0:
            raise
        connection.settimeout(longer * ANSWER_S)
        return connection.recv(1)


def _is_for_a_program() -> bool:
    """Whether all descriptors that a program gives us are open, and no person types there.

    A person may stop and continue the command. In the place of a closed one, there would be our
    connection to the daemon.
    """
    try:
        for number in range(3):
            os.fstat(number)
    except OSError:
        return False
    return not os.isatty(0)


def _report(why: str) -> None:
    """Log why this process does the work itself."""
    if os.environ.get("SM_PROXY_LOG", "").lower() == "debug":
        from sm_proxy.local import debug_log  # noqa: PLC0415 - only with SM_PROXY_LOG

        debug_log.write("no daemon", why=why)
