"""The route through the bastion's own sshd, for accounts that forbid the remote-host document.

EC2 Instance Connect pushes a key that we make for this connection and that counts for a minute. An
SSM session leads to the bastion's sshd, which connects to the container (`direct-tcpip`). ssh
checks the container's host key as on any route: see `bastion_host_key` for the bastion's.
"""

from __future__ import annotations

import io
import logging
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, threads
from sm_proxy.local.threads import Background
from sm_proxy.routes import bastion, bastion_host_key, bastion_lookup
from sm_proxy.routes.session_api import SessionRequest
from sm_proxy.routes.ssm_session import Words, open_session
from sm_proxy.routes.verdict import NO_ADDRESS, Verdict
from sm_proxy.settings import Settings
from sm_proxy.ssm.dial_failure import dial_failure
from sm_proxy.ssm.session import Session
from sm_proxy.tunnel.blocking_socket import BlockingSocket, import_paramiko, prefer_kinds
from sm_proxy.tunnel.channel_stream import WINDOW, ChannelStream

DIALS_FROM: Final = "bastion"
MENDABLE: Final[frozenset[Code]] = frozenset(
    {"access-denied", "bastion-offline", "key-refused", "no-bastion"}
)
_DOCUMENT: Final = "AWS-StartSSHSession"
_PORT: Final = "22"
_PUSH: Final = "SendSSHPublicKey"
_HANDSHAKE_S: Final = 30.0
_DIAL_S: Final = 10.0
"""How long the bastion's sshd may take to connect to the container."""
_PROHIBITED: Final = 1
"""A reason of SSH_MSG_CHANNEL_OPEN_FAILURE (RFC 4254, section 5.1)."""
_SSHD_HINT: Final = "Is sshd running on the bastion? Look at its log: journalctl -u sshd"


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """Whether there is a bastion to which EC2 Instance Connect can push a key.

    Raises:
        SmProxyError: as `bastion_lookup.choose`, if no other route could do better.
    """
    if not container.address:
        return NO_ADDRESS

    def judged(target: str) -> Verdict:
        if not target.startswith("i-"):
            return Verdict(usable=False, reason=f"{target} is not an EC2 instance")
        return Verdict(usable=True, reason=f"the bastion {target} may have an sshd of its own")

    vpc_id, named = str(container.vpc_id), settings.bastion
    return bastion_lookup.verdict(
        aws, vpc_id, named, _choose, judged, mendable=MENDABLE, forwards=False
    )


def connect(container: Container, settings: Settings, aws: Aws) -> ChannelStream:
    """Open a stream to the container's port through the bastion's sshd.

    Raises:
        SmProxyError: no bastion, offline, denied, its sshd refuses us, or it cannot connect.
    """

    def through(target: str) -> ChannelStream:
        return _Hop(target, container, settings, aws).connect()

    if settings.bastion:
        return through(settings.bastion)
    return bastion_lookup.reached(aws, str(container.vpc_id), _choose, through)


def _choose(aws: Aws, vpc_id: str) -> tuple[str, bool]:
    """The bastion of a VPC. Its agent may be too old to forward: a session to sshd is enough."""
    try:
        return bastion_lookup.choose(aws, vpc_id)
    except bastion_lookup.AgentTooOldError as error:
        return error.target, False


class _Hop:
    """One connection to the bastion's sshd, and from there to the container."""

    def __init__(self, target: str, container: Container, settings: Settings, aws: Aws) -> None:
        self._target = target
        self._container = container
        self._user = settings.bastion_user
        self._aws = aws
        self._paramiko = import_paramiko()

    def connect(self) -> ChannelStream:
        """Open the session, log in, and let sshd connect to the container."""
        debug_log.write("bastion's sshd", id=self._target, user=self._user)
        key = self._fresh_key()
        pushing = Background(lambda: self._push(key))
        knowing = Background(lambda: bastion_host_key.console_keys(self._aws, self._target))
        reason = f"sm-proxy {self._container.job}"
        request = SessionRequest(self._target, _DOCUMENT, {"portNumber": [_PORT]}, reason)
        words = Words(
            lambda error: bastion.explained(error, self._target, self._aws),
            {**bastion.FAILURES, "refused": ("sshd-silent", _SSHD_HINT)},
            "bastion-ssh",
        )
        session = open_session(self._aws, request, words)
        tunnel = BlockingSocket(session)
        try:
            return threads.run(self._log_in, session, tunnel, key, pushing, knowing)
        except Exception:  # a hang-up instead: the process ends all sessions
            tunnel.close(farewell=False)
            raise

    def _fresh_key(self) -> Any:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
        )

        text = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        return self._paramiko.Ed25519Key(file_obj=io.StringIO(text.decode()))

    def _push(self, key: Any) -> None:
        try:
            self._aws.call(
                "ec2-instance-connect",
                _PUSH,
                InstanceId=self._target,
                InstanceOSUser=self._user,
                SSHPublicKey=f"{key.get_name()} {key.get_base64()}",
            )
        except ServiceError as error:
            code = _PUSH_CODES.get(error.error)
            if code is None:
                raise error.as_failure() from None
            what = f"EC2 Instance Connect cannot push a key to {self._target}: {error.message}"
            raise SmProxyError(code, what, bastion_lookup.OFFLINE_HINT) from None
        debug_log.write("key pushed to the bastion")

    def _log_in(
        self,
        session: Session,
        tunnel: BlockingSocket,
        key: Any,
        pushing: Background[None],
        knowing: Background[tuple[str, ...]],
    ) -> ChannelStream:
        tunnel.wait_open()
        self._await_greeting(tunnel)
        expected = knowing.result()
        transport = self._paramiko.Transport(tunnel.socket, default_window_size=WINDOW)
        said = _Said(transport)
        try:
            prefer_kinds(transport, expected)
            transport.banner_timeout = transport.handshake_timeout = _HANDSHAKE_S
            transport.start_client(timeout=_HANDSHAKE_S)
            shown = transport.get_remote_server_key()
            bastion_host_key.accept(
                self._target, f"{shown.get_name()} {shown.get_base64()}", expected
            )
            pushing.result()
            self._authenticate(transport, key)
            where = (self._container.address, self._container.port)
            channel = transport.open_channel(
                "direct-tcpip", where, ("127.0.0.1", 0), timeout=_DIAL_S
            )
        except self._paramiko.ChannelException as error:
            transport.close()
            raise self._not_forwarded(error.code, said.last) from None
        except (self._paramiko.SSHException, EOFError, OSError) as error:
            transport.close()
            tunnel.raise_failure()
            raise self._broken(error) from None
        except BaseException:
            transport.close()
            raise
        debug_log.write("the bastion's sshd has connected to the container")
        return ChannelStream(channel, tunnel, session, self._container.place)

    def _await_greeting(self, tunnel: BlockingSocket) -> None:
        try:
            tunnel.await_greeting(f"the bastion {self._target} port {_PORT}")
        except SmProxyError as error:
            if error.code == "sshd-silent":
                raise SmProxyError(error.code, error.message, _SSHD_HINT, mendable=True) from None
            raise

    def _authenticate(self, transport: Any, key: Any) -> None:
        try:
            transport.auth_publickey(self._user, key)
        except self._paramiko.AuthenticationException:
            raise SmProxyError(
                "key-refused",
                f"the sshd of the bastion {self._target} does not accept the key that EC2 Instance "
                f"Connect has pushed for {self._user}",
                "It needs this user (if not, set SM_PROXY_BASTION_USER) and the package "
                "ec2-instance-connect. Amazon Linux has both.",
            ) from None

    def _not_forwarded(self, reason: int, said: str) -> SmProxyError:
        """The error for a channel that sshd did not open."""
        if reason == _PROHIBITED:
            return SmProxyError(
                "unsupported",
                f"the sshd of the bastion {self._target} refuses to forward: {said}",
                "Set `AllowTcpForwarding yes` in its sshd_config, and look at its PermitOpen.",
                mendable=True,
            )
        kind = dial_failure(f"connect: {said}") or "refused"
        what = f"the bastion {self._target} cannot connect to {self._container.place}: {said}"
        return Words(failures=bastion.FAILURES).failure(kind, what)

    def _broken(self, error: Exception) -> SmProxyError:
        """The error for a connection to sshd that ended, or hangs."""
        if "Timeout opening channel" in str(error):
            place = self._container.place
            what = f"the bastion {self._target} got no answer from {place} in {_DIAL_S:.0f} s"
            return Words(failures=bastion.FAILURES).failure("unanswered", what)
        what = f"the connection to the sshd of the bastion {self._target} failed: {error}"
        return SmProxyError("session-lost", what, _SSHD_HINT, mendable=True)


_PUSH_CODES: Final[dict[str, Code]] = {
    "EC2InstanceNotFoundException": "no-bastion",
    "EC2InstanceStateInvalidException": "bastion-offline",
    "EC2InstanceTypeInvalidException": "no-bastion",
    "EC2InstanceUnavailableException": "bastion-offline",
}


class _Said(logging.Handler):
    """Keeps the server's message about a channel: paramiko writes it only to its log."""

    def __init__(self, transport: Any) -> None:
        super().__init__()
        self.last = ""
        name = f"paramiko.bastion.{id(self)}"
        transport.set_log_channel(name)
        log = logging.getLogger(name)
        log.setLevel(logging.INFO)
        log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the log."""
        before, found, words = record.getMessage().partition(" open FAILED: ")
        if found and before:
            self.last = words.rpartition(": ")[0]  # paramiko adds the name of the reason
