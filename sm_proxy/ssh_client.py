"""A paramiko.SSHClient that is connected to a container: `sm_proxy.open("sm-myjob")`.

Nothing is printed, and no signal is touched: status lines go to the log `sm_proxy`. The session of
a client ends when it is closed or dropped, and at the interpreter's exit.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sm_proxy import settings as settings_of
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.dialler import SSH_PORT, Dialler
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import login_keys
from sm_proxy.jobs import hostname
from sm_proxy.jobs.container import Container
from sm_proxy.local import output
from sm_proxy.local.threads import Background
from sm_proxy.public_key import describe_blob
from sm_proxy.routes import sessions
from sm_proxy.settings import Settings
from sm_proxy.tunnel import login_transport
from sm_proxy.tunnel.blocking_socket import BlockingSocket, import_paramiko, prefer_kinds

__all__ = ["Client", "connect", "open"]

_LOG: Final = "sm_proxy.paramiko"
TIMEOUT_S: Final = 60.0
KEEPALIVE_S: Final = 30
"""As `ServerAliveInterval` of our Host block."""
_paramiko: Final = import_paramiko(_LOG)
_tunnels: set[BlockingSocket] = set()
"""Those that may be open, for `_end_all`.

A garbage collection may call us at any point, so there is no lock: each operation of a set is
atomic.
"""


class Client(_paramiko.SSHClient):  # type: ignore[misc, name-defined]
    """An SSHClient of paramiko that owns the connection below it.

    Attributes:
        container: which it is connected to.
    """

    def __init__(self, container: Container, tunnel: BlockingSocket, transport: Any) -> None:
        super().__init__()
        self.container = container
        self._transport = transport
        self._tunnel = tunnel
        weakref.finalize(self, tunnel.let_go).atexit = False  # there, `_end_all` waits for it

    @property
    def failure(self) -> SmProxyError | None:
        """Why the connection was lost; None while it is there, and after `close`."""
        if self._transport is None or (self._transport.is_active() and not self._tunnel.over):
            return None
        return self._tunnel.failure or SmProxyError(
            "session-lost", f"{self.container.host} has ended the connection", "Connect again."
        )

    def close(self) -> None:
        """Close the connection and end its session. Takes about two seconds at most."""
        super().close()
        self._tunnel.close()


def open(  # noqa: A001 - as `gzip.open`
    host: str,
    *,
    user: str | None = None,
    profile: str | None = None,
    region: str | None = None,
    wait: int | str = 0,
    timeout: float = TIMEOUT_S,
    **settings: str | bool,
) -> Client:
    """Connect to a container, by any route, with its host key checked against the job's log.

    It logs in with the keys that ssh would use; a passphrase comes from the keyring or the key from
    an ssh-agent. It never prompts.

    Args:
        host: a host name, such as `sm-myjob`.
        user: to log in as; None for the user that the container accepts.
        profile: AWS profile.
        region: AWS region.
        wait: how long to wait for a job that is starting: seconds, or a duration such as `10m`.
        timeout: how long each step of the login may take, in seconds.
        settings: further settings by their names in config.toml, such as `route="direct"`. What is
            not given comes from the SM_PROXY_* variables and the files, as for ssh.

    Returns:
        A `paramiko.SSHClient`, which is connected. It is a context manager. Several threads may
        use it, and several may be open.

    Raises:
        SmProxyError: its `code` tells what happened: see docs/errors.md.
    """
    given = {**settings, "user": user, "profile": profile, "region": region, "wait": wait}
    loaded = settings_of.load_given(given, host)
    aws = Aws(loaded.profile, loaded.region, terminal=False)
    with output.status_to_log():
        return connect(host, loaded, aws, user, timeout)


def connect(
    host: str, settings: Settings, aws: Aws, user: str | None = None, timeout: float = TIMEOUT_S
) -> Client:
    """As `open`, with settings that are loaded; status lines are printed.

    Raises:
        SmProxyError: as `open`.
    """
    target = hostname.parse(host, settings.prefix)
    dialler = Dialler(target, SSH_PORT, user, settings, aws, on_refusal=lambda _: None)
    container = dialler.find()
    tunnel = BlockingSocket(dialler.open_stream(container))
    _tunnels.difference_update([known for known in list(_tunnels) if known.closed])
    _tunnels.add(tunnel)
    try:
        container = dialler.container or container
        tunnel.wait_open()
        tunnel.await_greeting(container.place, container.look)
        transport = _handshake(dialler, container, tunnel, timeout)
        _login(transport, container, user or container.user or settings.user, settings)
    except BaseException:
        tunnel.close()
        raise
    # Such as of a notebook that was killed: no other process ends them before the next `ssh`.
    Background(lambda: sessions.end_orphans(aws), or_here=True)
    return Client(container, tunnel, transport)


def _handshake(
    dialler: Dialler, container: Container, tunnel: BlockingSocket, timeout: float
) -> Any:
    """A transport whose server has shown an expected key."""
    transport = login_transport.make(_paramiko, tunnel.socket)
    transport.set_log_channel(_LOG)
    transport.auth_timeout = transport.banner_timeout = timeout
    prefer_kinds(transport, dialler.host_keys)
    try:
        transport.start_client(timeout=timeout)
    except (_paramiko.SSHException, EOFError, OSError) as error:
        raise _why(tunnel, container, error) from None
    blob = transport.get_remote_server_key().asbytes()
    if not dialler.accepts(blob):
        raise tunnel.failure or SmProxyError(
            "host-key-changed",
            f"{container.place} has the host key {describe_blob(blob)}, which the job's log does "
            "not name",
            f"Find out why with: sm-proxy doctor {container.host}",
        )
    transport.set_keepalive(KEEPALIVE_S)
    return transport


def _login(transport: Any, container: Container, user: str, settings: Settings) -> None:
    # As ssh, which always tries `none` first: a space asks for no key, so none need exist.
    if container.kind in SESSION_KINDS and _accepts(
        transport, container, partial(transport.auth_none, user)
    ):
        return
    with login_keys.opened(settings, _paramiko) as keys:
        for key in keys:
            if _accepts(transport, container, partial(transport.auth_publickey, user, key)):
                return
    raise SmProxyError(
        "login-refused", f"{container.host} refuses your key for {user}", container.key_advice
    )


def _accepts(transport: Any, container: Container, attempt: Callable[[], object]) -> bool:
    """Whether the server accepts an attempt to log in.

    Raises:
        SmProxyError: `session-lost`, it has gone.
    """
    try:
        attempt()
    except _paramiko.AuthenticationException:
        return False
    except (_paramiko.SSHException, EOFError, OSError) as error:
        raise SmProxyError(
            "session-lost", f"{container.host} was lost during login: {error}", "Try again."
        ) from None
    return bool(transport.is_authenticated())


def _why(tunnel: BlockingSocket, container: Container, error: Exception) -> SmProxyError:
    """The error for a key exchange that failed."""
    return tunnel.failure or SmProxyError(
        "session-lost",
        f"the SSH handshake with {container.host} failed: {error}",
        f"Try: ssh -v {container.host}",
    )


@atexit.register
def _end_all() -> None:
    """End all sessions, side by side, in the threads that carry them."""
    left = list(_tunnels)
    for tunnel in left:
        tunnel.let_go()
    for tunnel in left:
        tunnel.close()
