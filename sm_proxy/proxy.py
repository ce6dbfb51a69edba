"""The ProxyCommand: name -> container -> route -> bytes, until either side is done.

stdin and stdout belong to ssh. They are watched from the first moment, so that nothing is left
running when ssh gives up while a job is still starting.
"""

from __future__ import annotations

import time

from sm_proxy import background, output, resolver, signals, stdio, trace
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import EXIT_INTERRUPTED, EXIT_OK, SmProxyError
from sm_proxy.keys import known_hosts
from sm_proxy.pump import Pump
from sm_proxy.resolver import Container
from sm_proxy.routes import Stream, bastion
from sm_proxy.settings import Settings
from sm_proxy.stdio import Stdio

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
    try:
        with signals.Watch(ssh.gone):
            container, stream = _opened(host, port, user, settings)
        try:
            _pumped(container, port, stream, ssh)
        finally:
            signals.ignore()
            stream.close()
            trace.step("closed")
    except (signals.Hangup, KeyboardInterrupt):
        # ssh is gone: whoever reads its stderr must not wait for us, and nothing is printed.
        signals.detach_stderr()
        return EXIT_INTERRUPTED
    finally:
        # What is left is bounded, and ssh sends its SIGHUP while our last line is being written.
        signals.ignore()
    return EXIT_OK


def _opened(host: str, port: int, user: str | None, settings: Settings) -> tuple[Container, Stream]:
    aws = Aws(settings.profile, settings.region)
    container = background.run(
        resolver.resolve, host, settings, aws, wait=settings.wait, tell=output.status
    )
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


def _pumped(container: Container, port: int, stream: Stream, ssh: Stdio) -> None:
    def silent() -> SmProxyError:
        where = f"{container.address} port {_port(container, port)}"
        return SmProxyError(
            "sshd-silent",
            f"the tunnel is up, nothing answers at {where}: is sshd running?",
            "Look at the job's log, and let the bastion in through the job's security group.",
        )

    Pump(stream, ssh, silent).run()


def _refuse_wrong_user(container: Container, user: str | None) -> None:
    if user is None or container.user is None or user == container.user:
        return
    raise SmProxyError(
        "wrong-user",
        f"the container of {container.host} lets {container.user} in, not {user}",
        f"Use: ssh {container.user}@{container.host}",
    )
