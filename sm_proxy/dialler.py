"""Finds the container of a host name, and dials it with its host keys checked.

What is cached may be wrong: a job ends, or its container moves. Then the container is looked up
again, and dialled where it is now.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sm_proxy import error_handler, resolver
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.host_keys.policy import HostKeyPolicy
from sm_proxy.jobs.hostname import Target
from sm_proxy.local import debug_log, output, threads, waits
from sm_proxy.local.fd_passing import PassingStdio
from sm_proxy.local.stdio import Stdio
from sm_proxy.resolver import Container
from sm_proxy.routes import memory
from sm_proxy.routes import table as routes
from sm_proxy.settings import Settings
from sm_proxy.tunnel.stream import Stream

if TYPE_CHECKING:
    from sm_proxy.tunnel.host_key_check import HostKeyCheckedStream

_NOT_WAITED_FOR: Final = frozenset({"remote-debug-off", "space-not-ready"})
"""Errors of a container whose agent may still be starting; it is waited for if it is not cached."""
_MAYBE_STALE: Final = _NOT_WAITED_FOR | {
    *("bastion-offline", "connect-refused", "no-bastion", "route-unusable", "space-stopped"),
    "session-lost",  # the agent of a node is away: it may have been replaced
}
"""Errors of a cached container: its job may have ended or moved, or may have RemoteDebug by now."""
SSH_PORT = 22
"""ssh's default port; it means the port that the container's marker names."""


class Dialler:
    """Finds the container of one host name and dials it; again if the cache was wrong.

    Args:
        target: the host name, parsed.
        port: as ssh knows it; 22 means the marker's port.
        user: the user ssh will log in as, None to skip the check.
        settings: of this run.
        aws: for the calls.
        on_status: takes a line for the user while a starting job is waited for.
        on_refusal: takes the error for a host key that is refused, before ssh gets the key.

    Attributes:
        container: found or dialled last, with the port that is dialled; None at first.
    """

    def __init__(
        self,
        target: Target,
        port: int,
        user: str | None,
        settings: Settings,
        aws: Aws,
        *,
        on_status: Callable[[str], None] = output.status,
        on_refusal: Callable[[SmProxyError], None] = error_handler.report_now,
    ) -> None:
        self.container: Container | None = None
        self._keys: HostKeyPolicy | None = None
        self._target = target
        self._port = port
        self._user = user
        self._settings = settings
        self._aws = aws
        self._on_status = on_status
        self._on_refusal = on_refusal

    def find(self) -> Container:
        """The container from the cache or from AWS; waits for a starting job.

        Raises:
            SmProxyError: as `resolver.resolve`.
        """
        try:
            with waits.waiting(f"looking for the container of {self._target.host}"):
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
        keys = self._policy(container)
        with waits.waiting(f"looking for a route to the container of {container.host}"):
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

    def _policy(self, container: Container) -> HostKeyPolicy:
        """Which host keys it may have: those of its log, or of its app's first connection."""
        if not container.accepts_first_key:
            return HostKeyPolicy(self._settings, container, self._resolve_afresh)
        from sm_proxy.host_keys.accept_new import AcceptNewPolicy  # noqa: PLC0415 - for spaces

        return AcceptNewPolicy(self._settings, container, self._resolve_afresh)

    def _refused(self, error: SmProxyError) -> None:
        """Tell that a host key is refused; the route that leads to it is not to be preferred."""
        self._on_refusal(error)
        if self.container is not None:
            memory.forget(self.container, self._aws)

    def accepts(self, blob: bytes) -> bool:
        """Whether the container that was dialled may have this host key, in wire form."""
        return self._keys is not None and self._keys.accepts(blob)

    @property
    def host_keys(self) -> tuple[str, ...]:
        """Those that the dialled container may have; empty if its first one will be accepted."""
        return () if self._keys is None else self._keys.expected

    def passes_socket(self, stream: Stream, ssh: Stdio) -> bool:
        """Pass ssh the TCP connection itself if that is possible, and return whether it is done.

        Raises:
            Hangup: ssh has gone.
        """
        if not isinstance(ssh, PassingStdio):
            return False
        found = self.socket_for_ssh(stream)
        return found is not None and ssh.pass_socket(found)

    def socket_for_ssh(self, stream: Stream) -> socket.socket | None:
        """The TCP connection to the container itself; None if the bytes must go through us.

        It stays the stream's: close the stream once ssh has it. Blocks for two seconds.

        Args:
            stream: from `open_stream`; nothing has been read from it.
        """
        container, keys = self.container, self._keys
        if container is None or keys is None:
            return None
        from sm_proxy.tunnel.checked_socket import (  # noqa: PLC0415 - without a session
            checked_socket,
        )

        types = [key.split()[0] for key in container.host_keys]
        place = (container.address or "", container.port)
        return threads.run(checked_socket, stream, *place, types, keys.accepts)

    def learn(self, stream: Stream) -> None:
        """Find out whether the next connection from this network can go directly."""
        from sm_proxy.routes import direct  # noqa: PLC0415 - once the connection is up
        from sm_proxy.tunnel.socket_stream import socket_inside  # noqa: PLC0415 - as above

        if self.container is not None and socket_inside(stream) is None:
            direct.learn(self.container, self._settings, self._aws)

    def _resolve(self) -> Container:
        settings, aws = self._settings, self._aws
        found = resolver.resolve(
            self._target, settings, aws, wait=settings.wait, on_status=self._on_status
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
        if failure.code not in _NOT_WAITED_FOR and now == replace(container, cached=False):
            raise failure
        return now

    def _with_port(self, container: Container) -> Container:
        return container if self._port == SSH_PORT else replace(container, port=self._port)

    def _refuse_wrong_user(self, container: Container) -> None:
        if container.source is None:  # no log names the only user that its server accepts
            return
        if self._user is None or container.user is None or self._user == container.user:
            return
        raise SmProxyError(
            "wrong-user",
            f"the container of {container.host} accepts {container.user}, not {self._user}",
            f"Use: ssh {container.user}@{container.host}",
        )

    def _is_trusted(self, container: Container) -> bool:
        """Whether the user has opted in to trust on first use, or a key is pinned already."""
        if container.accepts_first_key:
            return True
        from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - without our marker

        with contextlib.suppress(SmProxyError):
            trust_on_first_use.pinned(container, self._settings, self._aws.scope)
            return True
        return False

    def _forget_host_keys(self) -> None:
        """Forget the keys of a job that has ended: no server may be accepted by them.

        Not those of a node of a cluster: it may work again after a failure, and no other node ever
        gets its id.
        """
        if self._target.kind in SESSION_KINDS:
            return
        from sm_proxy.host_keys import trust_on_first_use  # noqa: PLC0415 - only for an ended job

        known_hosts.forget(self._settings, self._target.host)
        trust_on_first_use.forget(self._aws.scope, self._target.job, self._target.node)

    def _dial(self, container: Container, keys: HostKeyPolicy) -> Stream:
        """Write the accepted host keys for ssh, then dial the container."""
        self.container = container
        logged = bool(container.host_keys)
        if not (logged or container.accepts_first_key):
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
