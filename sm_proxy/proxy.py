"""The ProxyCommand: name -> container -> route -> bytes, until either side is done.

stdin and stdout belong to ssh. They are watched from the first moment, so that nothing is left
running when ssh gives up while a job is still starting.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from sm_proxy import error_handler
from sm_proxy.aws.clients import Aws
from sm_proxy.dialler import Dialler
from sm_proxy.errors import EXIT_INTERRUPTED, EXIT_OK, SmProxyError
from sm_proxy.jobs import hostname
from sm_proxy.local import debug_log, signals, stdio, waits
from sm_proxy.local.fd_passing import PassingStdio
from sm_proxy.local.stdio import Stdio
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.settings import Settings
from sm_proxy.tunnel.leavable import LeavableStream
from sm_proxy.tunnel.pump import QUIET_S, Pump

if TYPE_CHECKING:
    from sm_proxy.housekeeping import BackgroundHousekeeping
    from sm_proxy.state.connection_log import ConnectionRecord
    from sm_proxy.tunnel.host_key_check import HostKeyCheckedStream

CLEAN_UP_S: Final = 5.0
"""How long a connection may take to clean up, once its last line is printed."""
LAST_LINE_S: Final = 2.5
"""How long its last line may take; for a bug, a report is written first."""
_HELD_S: Final = 2.0
"""How long stderr stays open after a failure, unless ssh has gone: ssh waits for our exit."""
_TICK_S: Final = 0.1


def connect(
    host: str,
    port: int,
    user: str | None,
    settings: Settings,
    when_up: Callable[[], None] = lambda: None,
) -> int:
    """Run the ProxyCommand of one ssh connection; returns the exit status.

    Args:
        host: as the user typed it (%n).
        port: as ssh knows it (%p); 22 means the marker's port.
        user: the user ssh will log in as (%r), None to skip the check.
        settings: of this run.
        when_up: called once the connection is up, in the background.

    Raises:
        SmProxyError: with the code that fits.
    """
    signals.raise_on_hangup()
    waits.show()
    connection = _Connection(host, stdio.take_over(), time.time(), when_up)
    ended_by: BaseException | None = None
    try:
        _run(connection, port, user, settings)
    except (signals.Hangup, KeyboardInterrupt) as error:
        ended_by = error  # ssh has gone, so nothing is printed
        return EXIT_INTERRUPTED
    except Exception as error:
        ended_by = error
        raise
    finally:
        signals.ignore()  # ssh sends its SIGHUP while our last line is being written
        if isinstance(ended_by, Exception):
            _print_last_line(ended_by)
        else:  # a program that reads stderr to its end must not wait for the clean-up
            waits.hide(erase=False)  # ssh has gone: the terminal's line is not ours
            signals.detach_stderr()
        _clean_up(connection, ended_by)
    return EXIT_OK


@dataclass
class _Connection:
    """A connection as far as it has come: a signal may end it at any step.

    Attributes:
        host: as the user typed it.
        ssh: stdin and stdout.
        began: its start, in Unix seconds.
        when_up: called once it is up.
        dialler: set once the host name is parsed.
        stream: set once the container is dialled.
        housekeeping: set once it runs, in the background.
        is_passed: whether ssh has the connection to the container itself.
        hints: whether to tell the user about `cp` in a long transfer.
        pump: set once bytes may flow.
    """

    host: str
    ssh: Stdio
    began: float
    when_up: Callable[[], None]
    dialler: Dialler | None = None
    stream: HostKeyCheckedStream | None = None
    housekeeping: BackgroundHousekeeping | None = None
    is_passed: bool = False
    hints: bool = False
    pump: Pump | None = None

    def leave(self, stream: LeavableStream) -> bool:
        """Ask the process behind the stream to go on with ssh; returns whether it was asked."""
        ssh, housekeeping = self.ssh, self.housekeeping
        if not isinstance(ssh, PassingStdio) or housekeeping is None or not housekeeping.done:
            return False
        descriptors = ssh.for_another()
        told = {"record": asdict(_record(self)), "began": self.began, "hints": self.hints}
        return bool(descriptors) and stream.leave(descriptors, told)

    def tell_of_transfer(self, rate: float) -> None:
        """Tell the user about `cp`, in a thread: the disk or stderr may hang."""

        def work() -> None:
            from sm_proxy.state import transfer_hint  # noqa: PLC0415 - seldom

            transfer_hint.show(rate)

        if self.hints:
            Background(work)


def _run(connection: _Connection, port: int, user: str | None, settings: Settings) -> None:
    """The steps of a connection, from ssh's start to its end."""
    silence = _Silence()
    with signals.Watch(connection.ssh.gone, silence.look):
        target = hostname.parse(connection.host, settings.prefix)
        aws = Aws(settings.profile, settings.region)
        connection.dialler = dialler = Dialler(target, port, user, settings, aws)
        container = dialler.find()
        connection.stream = stream = dialler.open_stream(container)
        connection.hints = settings.transfer_hint and bool(stream.session_id)
        from sm_proxy.housekeeping import (  # noqa: PLC0415 - while the tunnel comes up
            BackgroundHousekeeping,
        )

        def once_up() -> None:
            connection.when_up()
            dialler.learn(stream)

        connection.housekeeping = BackgroundHousekeeping(aws, stream, settings, once_up)
        if not stream.session_id:
            waits.hide()  # from now on, ssh may write to the terminal
            if dialler.passes_socket(stream, connection.ssh):
                connection.is_passed = True
                return
    connection.pump = Pump(
        stream,
        connection.ssh,
        lambda greeting: greeting.failure(container.place, stream.through, container.look),
        connection.leave,
        connection.tell_of_transfer,
        on_answer=waits.hide,
        on_silence=silence.tell,
    )
    with waits.waiting(f"waiting for the SSH server in {container.place}", covers=True):
        connection.pump.run()
    if stream.refusal is not None:  # ssh may have left before the pump could raise it
        raise stream.refusal


class _Silence:
    """Tells the user, after a second without a connection, what it waits for."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def look(self) -> None:
        """Tell it, if it is time."""
        if time.monotonic() - self._began >= QUIET_S:
            self.tell()

    def tell(self) -> None:
        """Tell it, from now on."""
        with contextlib.suppress(ImportError):  # another version has just been installed
            from sm_proxy.local import status_line  # noqa: PLC0415 - ssh seldom waits

            status_line.start(time.monotonic() - self._began)


def _print_last_line(failure: Exception) -> None:
    """Print the last line while ssh still waits for us, in a thread: stderr may be blocked."""

    def work() -> None:
        waits.hide()
        if not isinstance(failure, SmProxyError):
            error_handler.report_bug_now("connect", failure)
        elif not failure.reported:
            error_handler.report_now(failure)

    Background(work, or_here=True).settled(LAST_LINE_S)


def _clean_up(connection: _Connection, ended_by: BaseException | None) -> None:
    """Clean up in a thread, so that a hanging disk or service cannot keep this process alive."""

    def work() -> None:
        with contextlib.ExitStack() as steps:  # from the last to the first, even if one fails
            if connection.housekeeping is not None and ended_by is None:
                steps.callback(connection.housekeeping.finish)
            if connection.pump is None or not connection.pump.left:
                steps.callback(_log, connection, ended_by)
            if isinstance(ended_by, SmProxyError):
                steps.callback(error_handler.keep_now, "connect", ended_by)
            steps.callback(sessions.SESSIONS.end_all)
            if connection.stream is not None:
                steps.callback(debug_log.write, "closed")
                steps.callback(connection.stream.close)

    cleaning = Background(work, or_here=True)
    held = isinstance(ended_by, Exception)
    with signals.Deadline(CLEAN_UP_S) as deadline:
        while not cleaning.done and (within := deadline.left()):
            cleaning.settled(min(within, _TICK_S))
            if held and (connection.ssh.gone() or within < CLEAN_UP_S - _HELD_S):
                held = False
                signals.detach_stderr()
    if cleaning.done:
        cleaning.result()


def _log(connection: _Connection, ended_by: BaseException | None) -> None:
    """Write the connection's record. Errors are ignored: the connection itself is over."""
    with contextlib.suppress(Exception):  # a new version may have been installed meanwhile
        from sm_proxy.state import connection_log  # noqa: PLC0415 - not before the first byte

        connection_log.append(_record(connection), connection.began, ended_by)


def _record(connection: _Connection) -> ConnectionRecord:
    from sm_proxy.state import connection_log  # noqa: PLC0415 - as above

    record = connection_log.ConnectionRecord(connection.host)
    dialler = connection.dialler
    if dialler is not None and (container := dialler.container) is not None:
        record = replace(
            record,
            job=container.job,
            node=container.node,
            address=container.address or "",
            port=container.port,
        )
    if (stream := connection.stream) is not None:
        record = replace(
            record,
            through=stream.through,
            session=stream.session_id,
            resumes=stream.resumes,
            kept=sessions.SESSIONS.is_kept(stream.session_id),
        )
    if connection.is_passed:
        return replace(record, up=connection_log.UNKNOWN, down=connection_log.UNKNOWN)
    if (pump := connection.pump) is not None:
        return replace(record, up=pump.up, down=pump.down)
    return record
