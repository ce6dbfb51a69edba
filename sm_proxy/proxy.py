"""The ProxyCommand: name -> container -> route -> bytes, until either side is done.

stdin and stdout belong to ssh. They are watched from the first moment, so that nothing is left
running when ssh gives up while a job is still starting.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sm_proxy import error_handler, resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import EXIT_INTERRUPTED, EXIT_OK, SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.host_keys.policy import HostKeyPolicy
from sm_proxy.jobs import hostname
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import debug_log, output, signals, stdio, threads
from sm_proxy.local.stdio import Stdio
from sm_proxy.local.threads import Background
from sm_proxy.resolver import Container
from sm_proxy.routes import sessions
from sm_proxy.routes import table as routes
from sm_proxy.settings import Settings
from sm_proxy.tunnel.greeting import Greeting
from sm_proxy.tunnel.pump import Pump
from sm_proxy.tunnel.stream import Stream

if TYPE_CHECKING:
    from sm_proxy.housekeeping import BackgroundHousekeeping
    from sm_proxy.tunnel.host_key_check import HostKeyCheckedStream

RecordFields = dict[str, Any]
"""What the connection's record shall say: see `connection_log.ConnectionRecord`."""

FAREWELL_S: Final = 5.0
"""How long a connection may take to clean up, once its last line is said."""
SAY_S: Final = 2.5
"""How long its last line may take; a bug's report is written first."""
_HELD_S: Final = 2.0
"""So long stderr is held after a failure, unless ssh has gone: ssh itself waits for our end."""
_TICK_S: Final = 0.1
SSH_PORT = 22
"""ssh's default: it then stands for whatever port the container's marker names."""


def connect(host: str, port: int, user: str | None, settings: Settings) -> int:
    """Be the ProxyCommand of one ssh connection; returns the exit status.

    Args:
        host: as the user typed it (%n).
        port: as ssh knows it (%p); 22 stands for the marker's port.
        user: the user ssh will log in as (%r), None to skip the check.
        settings: of this run.

    Raises:
        SmProxyError: with the code that fits.
    """
    signals.raise_on_hangup()
    ssh = stdio.take_over()
    began = time.time()
    record: RecordFields = {"host": host}
    ended_by: BaseException | None = None
    left = _Left(ssh)
    try:
        aws = Aws(settings.profile, settings.region)
        with signals.Watch(ssh.gone):
            container, stream = _opened(port, user, settings, aws, record)
            left.stream = stream
        from sm_proxy.housekeeping import (  # noqa: PLC0415 - while the tunnel comes up
            BackgroundHousekeeping,
        )

        left.housekeeping = BackgroundHousekeeping(aws, stream, settings)
        _pumped(container, port, stream, ssh, record)
    except (signals.Hangup, KeyboardInterrupt) as error:
        ended_by = error  # ssh is gone, and nothing is printed
        return EXIT_INTERRUPTED
    except Exception as error:
        ended_by = error
        raise
    finally:
        signals.ignore()  # ssh sends its SIGHUP while our last line is being written
        if isinstance(ended_by, Exception):
            _say(ended_by)
        else:  # whoever reads stderr must not wait for what is left
            signals.detach_stderr()
        _finish(left, record, began, ended_by)
    return EXIT_OK


@dataclass
class _Left:
    """What a connection leaves to do at its end."""

    ssh: Stdio
    stream: Stream | None = None
    housekeeping: BackgroundHousekeeping | None = None


def _say(failure: Exception) -> None:
    """Say the last line, while ssh still waits for us; a reader that hangs does not keep us."""

    def work() -> None:
        if not isinstance(failure, SmProxyError):
            error_handler.report_bug_now("connect", failure)
        elif not failure.reported:
            error_handler.report_now(failure)

    Background(work).settled(SAY_S)


def _finish(
    left: _Left, record: RecordFields, began: float, ended_by: BaseException | None
) -> None:
    """Do what is left, in a thread: no disk or service that hangs keeps this process."""

    def work() -> None:
        with contextlib.ExitStack() as steps:  # from the last to the first, whatever one meets
            if left.housekeeping is not None and ended_by is None:
                steps.callback(left.housekeeping.finish)
            steps.callback(_note, record, began, ended_by)
            if isinstance(ended_by, SmProxyError):
                steps.callback(error_handler.keep_now, "connect", ended_by)
            steps.callback(sessions.SESSIONS.end_all)
            if left.stream is not None:
                steps.callback(debug_log.write, "closed")
                steps.callback(left.stream.close)

    farewell = Background(work)
    held = isinstance(ended_by, Exception)
    with signals.Deadline(FAREWELL_S) as deadline:
        while not farewell.done and (within := deadline.left()):
            farewell.settled(min(within, _TICK_S))
            if held and (left.ssh.gone() or within < FAREWELL_S - _HELD_S):
                held = False
                signals.detach_stderr()
    if farewell.done:
        farewell.result()


def _note(record: RecordFields, began: float, ended_by: BaseException | None) -> None:
    # Whatever it is, a new version that was installed meanwhile for instance: the connection
    # has done its work.
    with contextlib.suppress(Exception):
        from sm_proxy.state import connection_log  # noqa: PLC0415 - not before the first byte

        connection_log.append(record, began, ended_by)


def _opened(
    port: int, user: str | None, settings: Settings, aws: Aws, record: RecordFields
) -> tuple[Container, HostKeyCheckedStream]:
    target = hostname.parse(record["host"], settings.prefix)
    try:
        container = threads.run(_found, target, settings, aws)
    except SmProxyError as error:
        if error.code in {"job-ended", "job-failed"}:
            _forget_keys(target, settings, aws)
        raise
    record.update(job=container.job, node=container.node)
    record.update(address=container.address, port=_port(container, port))

    def look() -> Container:
        found = resolver.resolve(target, settings, aws, fresh=True)
        _refuse_wrong_user(found, user)
        return found

    keys = HostKeyPolicy(settings, container, look)

    def dialled(found: Container) -> Stream:
        return _dialled(found, port, settings, aws, keys)

    def forget() -> None:
        resolver.forget(target, aws)

    _refuse_wrong_user(container, user)
    stream = dialled(container)
    if container.cached:
        stream = _rechecked(stream, container, look, dialled, forget)
    from sm_proxy.tunnel.host_key_check import (  # noqa: PLC0415 - while the tunnel comes up
        HostKeyCheckedStream,
    )

    return container, HostKeyCheckedStream(stream, keys, error_handler.report_now)


def _found(target: Target, settings: Settings, aws: Aws) -> Container:
    found = resolver.resolve(target, settings, aws, wait=settings.wait, on_status=output.status)
    if found.cached and not found.host_keys and not _is_trusted(found, settings, aws):
        # It would be refused; and its marker may have come after the line it is remembered by.
        return resolver.resolve(target, settings, aws, fresh=True)
    return found


def _is_trusted(container: Container, settings: Settings, aws: Aws) -> bool:
    from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - without our marker

    with contextlib.suppress(SmProxyError):
        trust_on_first_use.pinned(container, settings, aws.scope)
        return True
    return False


def _forget_keys(target: Target, settings: Settings, aws: Aws) -> None:
    """Forget the host keys of a job that has ended: no server may be accepted by them any more."""
    from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - only for an ended job

    known_hosts.forget(settings, target.host)
    trust_on_first_use.forget(aws.scope, target.job, target.node)


def _rechecked(
    stream: Stream,
    container: Container,
    look: Callable[[], Container],
    dialled: Callable[[Container], Stream],
    forget: Callable[[], None],
) -> Stream:
    from sm_proxy.tunnel.stale_address import (  # noqa: PLC0415 - second connections
        StaleAddressStream,
    )

    def recheck() -> Stream | None:
        now = look()
        return None if now.same_place(container) else dialled(now)

    return StaleAddressStream(stream, recheck, forget, time.monotonic())


def _dialled(
    container: Container, port: int, settings: Settings, aws: Aws, keys: HostKeyPolicy
) -> Stream:
    """A stream to the container, after ssh has been told which host keys it may have."""

    def dial(found: Container) -> Stream:
        return routes.connect(found, _port(found, port), settings, aws)

    logged = bool(container.host_keys)
    if not logged:
        from sm_proxy.host_keys import (  # noqa: PLC0415 - containers without our marker
            trust_on_first_use,
        )

        container = trust_on_first_use.with_host_keys(container, settings, aws.scope, dial)
    keys.pin(container, _port(container, port), on_first_use=not logged)
    return dial(container)


def _port(container: Container, port: int) -> int:
    return container.port if port == SSH_PORT else port


def _pumped(
    container: Container, port: int, stream: HostKeyCheckedStream, ssh: Stdio, record: RecordFields
) -> None:
    def ungreeted(greeting: Greeting) -> SmProxyError:
        return greeting.failure(f"{container.address} port {_port(container, port)}")

    pump = Pump(stream, ssh, ungreeted)
    try:
        pump.run()
    finally:
        record.update(stream.record_fields(), up=pump.up, down=pump.down)
    if stream.refusal is not None:  # ssh may have left before the pump could say so
        raise stream.refusal


def _refuse_wrong_user(container: Container, user: str | None) -> None:
    if user is None or container.user is None or user == container.user:
        return
    raise SmProxyError(
        "wrong-user",
        f"the container of {container.host} lets {container.user} in, not {user}",
        f"Use: ssh {container.user}@{container.host}",
    )
