"""The ProxyCommand: name -> container -> route -> bytes, until either side is done.

stdin and stdout belong to ssh. They are watched from the first moment, so that nothing is left
running when ssh gives up while a job is still starting.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from sm_proxy import background, output, resolver, signals, stdio, trace
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import EXIT_INTERRUPTED, EXIT_OK, SmProxyError
from sm_proxy.keys import known_hosts
from sm_proxy.pump import Pump
from sm_proxy.resolver import Container
from sm_proxy.routes import Stream, bastion
from sm_proxy.settings import Settings
from sm_proxy.stdio import Stdio

if TYPE_CHECKING:
    from sm_proxy.chores import Beside

Facts = dict[str, Any]
"""What the connection's record shall say: see `connections.Record`."""

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
    ssh = stdio.take()
    began = time.time()
    facts: Facts = {"host": host}
    ended_by: BaseException | None = None
    try:
        chores = _connected(port, user, settings, ssh, facts)
    except (signals.Hangup, KeyboardInterrupt) as error:
        # ssh is gone: whoever reads its stderr must not wait for us, and nothing is printed.
        signals.detach_stderr()
        ended_by = error
        return EXIT_INTERRUPTED
    except Exception as error:
        ended_by = error
        raise
    finally:
        # What is left is bounded, and ssh sends its SIGHUP while our last line is being written.
        signals.ignore()
        bastion.SESSIONS.end_all()
        _note(facts, began, ended_by)
    signals.detach_stderr()
    chores.finish()
    return EXIT_OK


def _connected(port: int, user: str | None, settings: Settings, ssh: Stdio, facts: Facts) -> Beside:
    """Connect and carry bytes until either side is done; gives what is left to do afterwards."""
    aws = Aws(settings.profile, settings.region)
    with signals.Watch(ssh.gone):
        container, stream = _opened(port, user, settings, aws, facts)
    try:
        from sm_proxy.chores import Beside  # noqa: PLC0415 - while the tunnel comes up

        chores = Beside(aws, stream, settings)
        _pumped(container, port, stream, ssh, facts)
    finally:
        signals.ignore()
        stream.close()
        trace.step("closed")
    return chores


def _note(facts: Facts, began: float, ended_by: BaseException | None) -> None:
    # Whatever it is, a new version that was installed meanwhile for instance: the connection
    # has done its work.
    with contextlib.suppress(Exception):
        from sm_proxy import connections  # noqa: PLC0415 - not before the first byte

        connections.note(facts, began, ended_by)


def _opened(
    port: int, user: str | None, settings: Settings, aws: Aws, facts: Facts
) -> tuple[Container, Stream]:
    host = facts["host"]
    try:
        container = background.run(
            resolver.resolve, host, settings, aws, wait=settings.wait, tell=output.status
        )
    except SmProxyError as error:
        if error.code in {"job-ended", "job-failed"}:
            known_hosts.forget(settings, host)
        raise
    facts.update(job=container.job, node=container.node)
    facts.update(address=container.address, port=_port(container, port))
    stream = _dialled(container, port, user, settings, aws)
    if not container.cached:
        return container, stream
    from sm_proxy.routes.rechecked import RecheckedStream  # noqa: PLC0415 - second connections

    def recheck() -> Stream | None:
        now = resolver.resolve(host, settings, aws, fresh=True)
        return None if now.same_place(container) else _dialled(now, port, user, settings, aws)

    def forget() -> None:
        resolver.forget(host, settings, aws)

    return container, RecheckedStream(stream, recheck, forget, time.monotonic())


def _dialled(
    container: Container, port: int, user: str | None, settings: Settings, aws: Aws
) -> Stream:
    """A stream to the container, after ssh has been told which host keys it may have."""
    _refuse_wrong_user(container, user)

    def dial(found: Container) -> Stream:
        return bastion.connect(found, _port(found, port), settings, aws)

    if not container.host_keys:
        from sm_proxy.keys import first_use  # noqa: PLC0415 - containers without our marker

        container = first_use.with_host_keys(container, settings, aws.context, dial)
    known_hosts.pin(settings, container.host, container.host_keys)
    return dial(container)


def _port(container: Container, port: int) -> int:
    return container.port if port == SSH_PORT else port


def _pumped(container: Container, port: int, stream: Stream, ssh: Stdio, facts: Facts) -> None:
    def silent() -> SmProxyError:
        where = f"{container.address} port {_port(container, port)}"
        return SmProxyError(
            "sshd-silent",
            f"the tunnel is up, nothing answers at {where}: is sshd running?",
            "Look at the job's log, and let the bastion in through the job's security group.",
        )

    pump = Pump(stream, ssh, silent)
    try:
        pump.run()
    finally:
        facts.update(stream.facts(), up=pump.up, down=pump.down)


def _refuse_wrong_user(container: Container, user: str | None) -> None:
    if user is None or container.user is None or user == container.user:
        return
    raise SmProxyError(
        "wrong-user",
        f"the container of {container.host} lets {container.user} in, not {user}",
        f"Use: ssh {container.user}@{container.host}",
    )
