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

from sm_proxy import error_handler, resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import EXIT_INTERRUPTED, EXIT_OK, SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.host_keys.policy import HostKeyPolicy
from sm_proxy.jobs import hostname
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import debug_log, output, signals, stdio, threads
from sm_proxy.local.fd_passing import PassingStdio
from sm_proxy.local.stdio import Stdio
from sm_proxy.local.threads import Background
from sm_proxy.resolver import Container
from sm_proxy.routes import memory, sessions
from sm_proxy.routes import table as routes
from sm_proxy.settings import Settings
from sm_proxy.tunnel.leavable import LeavableStream
from sm_proxy.tunnel.pump import Pump
from sm_proxy.tunnel.stream import Stream

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
_MAYBE_STALE: Final = frozenset(
    {"bastion-offline", "connect-refused", "no-bastion", "remote-debug-off", "route-unusable"}
)
"""Errors of a cached container: its job may have ended or moved, or may have RemoteDebug by now."""
SSH_PORT = 22
"""ssh's default port; it means the port that the container's marker names."""


def connect(
    host: str,
    port: int,
    user: str | None,
    settings: Settings,
    when_up: Callable[[], None] = lambda: None,
) -> int:
    """Be the ProxyCommand of one ssh connection; returns the exit status.

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
        pump: set once bytes may flow.
    """

    host: str
    ssh: Stdio
    began: float
    when_up: Callable[[], None]
    dialler: _Dialler | None = None
    stream: HostKeyCheckedStream | None = None
    housekeeping: BackgroundHousekeeping | None = None
    is_passed: bool = False
    pump: Pump | None = None

    def leave(self, stream: LeavableStream) -> bool:
        """Ask the process behind the stream to go on with ssh; returns whether it was asked."""
        ssh, housekeeping = self.ssh, self.housekeeping
        if not isinstance(ssh, PassingStdio) or housekeeping is None or not housekeeping.done:
            return False
        descriptors = ssh.for_another()
        told = {"record": asdict(_record(self)), "began": self.began}
        return bool(descriptors) and stream.leave(descriptors, told)


def _run(connection: _Connection, port: int, user: str | None, settings: Settings) -> None:
    """The steps of a connection, from ssh's start to its end."""
    with signals.Watch(connection.ssh.gone):
        target = hostname.parse(connection.host, settings.prefix)
        aws = Aws(settings.profile, settings.region)
        connection.dialler = dialler = _Dialler(target, port, user, settings, aws)
        container = dialler.find()
        connection.stream = stream = dialler.open_stream(container)
        from sm_proxy.housekeeping import (  # noqa: PLC0415 - while the tunnel comes up
            BackgroundHousekeeping,
        )

        def once_up() -> None:
            connection.when_up()
            dialler.learn(stream)

        connection.housekeeping = BackgroundHousekeeping(aws, stream, settings, once_up)
        if not stream.session_id and dialler.passes_socket(stream, connection.ssh):
            connection.is_passed = True
            return
    connection.pump = Pump(
        stream,
        connection.ssh,
        lambda greeting: greeting.failure(container.place, stream.through),
        connection.leave,
    )
    connection.pump.run()
    if stream.refusal is not None:  # ssh may have left before the pump could raise it
        raise stream.refusal


class _Dialler:
    """Finds the container of a host name and dials it; again if the cache was wrong.

    Attributes:
        container: found or dialled last, with the port that is dialled; None at first.
    """

    def __init__(
        self, target: Target, port: int, user: str | None, settings: Settings, aws: Aws
    ) -> None:
        self.container: Container | None = None
        self._keys: HostKeyPolicy | None = None
        self._target = target
        self._port = port
        self._user = user
        self._settings = settings
        self._aws = aws

    def find(self) -> Container:
        """The container from the cache or from AWS; waits for a starting job.

        Raises:
            SmProxyError: as `resolver.resolve`.
        """
        try:
            self.container = threads.run(self._resolve)
        except SmProxyError as error:
            if error.code in {"job-ended", "job-failed"}:
                self._forget_host_keys()
            raise
        return self.container

    def open_stream(self, container: Container) -> HostKeyCheckedStream:
        """Dial the container; no byte comes from it after a wrong host key.

        Raises:
            SmProxyError: `wrong-user`, `host-key-unknown`, or an error of dialling.
        """
        self._refuse_wrong_user(container)
        keys = HostKeyPolicy(self._settings, container, self._resolve_afresh)
        try:
            stream = self._dial(container, keys)
        except SmProxyError as error:
            container = self._replacement(container, error)
            stream = self._dial(container, keys)
        if container.cached:
            stream = self._watched_for_a_move(stream, container, keys)
        from sm_proxy.tunnel.host_key_check import (  # noqa: PLC0415 - while the tunnel comes up
            HostKeyCheckedStream,
        )

        self._keys = keys
        return HostKeyCheckedStream(stream, keys, self._refused)

    def _refused(self, error: SmProxyError) -> None:
        """Tell that a host key is refused; the route that leads to it is not to be preferred."""
        error_handler.report_now(error)
        if self.container is not None:
            memory.forget(self.container, self._aws)

    def passes_socket(self, stream: Stream, ssh: Stdio) -> bool:
        """Pass ssh the TCP connection itself if that is possible, and return whether it is done.

        Raises:
            Hangup: ssh has gone.
        """
        container, keys = self.container, self._keys
        if not isinstance(ssh, PassingStdio) or container is None or keys is None:
            return False
        from sm_proxy.tunnel.checked_socket import (  # noqa: PLC0415 - without a session
            checked_socket,
        )

        types = [key.split()[0] for key in container.host_keys]
        place = (container.address or "", container.port)
        found = threads.run(checked_socket, stream, *place, types, keys.accepts)
        return found is not None and ssh.pass_socket(found)

    def learn(self, stream: Stream) -> None:
        """Find out whether the next connection from this network can go directly."""
        from sm_proxy.routes import direct  # noqa: PLC0415 - once the connection is up
        from sm_proxy.tunnel.socket_stream import socket_inside  # noqa: PLC0415 - as above

        if self.container is not None and socket_inside(stream) is None:
            direct.learn(self.container, self._settings, self._aws)

    def _resolve(self) -> Container:
        settings, aws = self._settings, self._aws
        found = resolver.resolve(
            self._target, settings, aws, wait=settings.wait, on_status=output.status
        )
        if found.cached and not found.host_keys and not self._is_trusted(found):
            # Without a key it is refused. Its marker may have reached the log since it was cached.
            found = resolver.resolve(self._target, settings, aws, fresh=True)
        return self._with_port(found)

    def _resolve_afresh(self) -> Container:
        found = resolver.resolve(self._target, self._settings, self._aws, fresh=True)
        self._refuse_wrong_user(found)
        return self._with_port(found)

    def _replacement(self, container: Container, failure: SmProxyError) -> Container:
        """The container as it is now, if the cache may be the reason that no route serves."""
        if not container.cached or failure.code not in _MAYBE_STALE:
            raise failure
        debug_log.write("no route serves the cached container, resolving again")
        now = self._resolve_afresh()
        if failure.code != "remote-debug-off" and now == replace(container, cached=False):
            raise failure
        return now

    def _with_port(self, container: Container) -> Container:
        return container if self._port == SSH_PORT else replace(container, port=self._port)

    def _refuse_wrong_user(self, container: Container) -> None:
        if self._user is None or container.user is None or self._user == container.user:
            return
        raise SmProxyError(
            "wrong-user",
            f"the container of {container.host} accepts {container.user}, not {self._user}",
            f"Use: ssh {container.user}@{container.host}",
        )

    def _is_trusted(self, container: Container) -> bool:
        """Whether the user has opted in to trust on first use, or a key is pinned already."""
        from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - without our marker

        with contextlib.suppress(SmProxyError):
            trust_on_first_use.pinned(container, self._settings, self._aws.scope)
            return True
        return False

    def _forget_host_keys(self) -> None:
        """Forget the keys of a job that has ended: no server may be accepted by them."""
        from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - only for an ended job

        known_hosts.forget(self._settings, self._target.host)
        trust_on_first_use.forget(self._aws.scope, self._target.job, self._target.node)

    def _dial(self, container: Container, keys: HostKeyPolicy) -> Stream:
        """Write the accepted host keys for ssh, then dial the container."""
        self.container = container
        logged = bool(container.host_keys)
        if not logged:
            from sm_proxy.host_keys import (  # noqa: PLC0415 - containers without our marker
                trust_on_first_use,
            )

            container = trust_on_first_use.with_host_keys(
                container, self._settings, self._aws.scope, self._connect
            )
        keys.pin(container, on_first_use=not logged)
        return self._connect(container)

    def _connect(self, container: Container) -> Stream:
        return routes.connect(container, self._settings, self._aws)

    def _watched_for_a_move(
        self, stream: Stream, container: Container, keys: HostKeyPolicy
    ) -> Stream:
        """The stream to a cached container, which may have ended or moved since it was cached."""
        from sm_proxy.tunnel.stale_address import (  # noqa: PLC0415 - second connections
            StaleAddressStream,
        )

        def recheck() -> Stream | None:
            now = self._resolve_afresh()
            return None if now.same_place(container) else self._dial(now, keys)

        def forget() -> None:
            resolver.forget(self._target, self._aws)

        return StaleAddressStream(stream, recheck, forget, time.monotonic())


def _print_last_line(failure: Exception) -> None:
    """Print the last line while ssh still waits for us, in a thread: stderr may be blocked."""

    def work() -> None:
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
