"""The faults of the gateway; their defaults are the constants of the real service."""

from __future__ import annotations

import dataclasses
from typing import Any


class UnknownFaultError(ValueError):
    """The gateway does not know a fault, or its value has the wrong type."""


@dataclasses.dataclass
class Faults:
    """Settings of the gateway; with the defaults it behaves like the service and a healthy agent.

    They apply to every session, and may change while a session runs. `None` switches a fault off.
    Times end in `_ms` or `_s`; chances lie between 0 and 1.
    """

    # The agent's worker.
    worker_start_ms: float = 0  # from StartSession; 0: start when the client connects (ideal)
    pause_ms: float = 1  # sleep after each 1,024 bytes read; 0: none
    agent_connect_s: float = 0  # until the agent of a training container is connected
    shell_wait_s: float = 1  # before the first output of a shell is read
    dial_ms: float = 0  # each dial takes this much longer; data is rejected meanwhile
    complete_first: float = 3 / 46  # chance that HandshakeComplete overtakes the response's ack
    complete_ms: float = 0  # time after HandshakeComplete in which data is acked but discarded
    handshake_timeout_s: float = 15
    customer_message: str = ""
    encrypt: bool = False
    silent: bool = False  # the agent never sends anything
    vpc_cidr: str | None = None  # its first four and its last address are forbidden
    deliver_dial_error: bool = False  # report why a basic session cannot dial, as some agents do
    crash_notice_s: float = 60  # from a worker's crash until the session is closed
    smux_ping_s: float = 10  # smux keep-alive for old clients
    smux_timeout_s: float = 30
    agent_reconnect_ms: float = 200
    agent_returns: bool = True

    # The bastion's own sshd.
    bastion_sshd: bool = True  # it runs
    bastion_forwarding: bool = True  # it lets clients forward ports
    bastion_rekey_kib: int | None = None  # KiB after which sshd exchanges new keys
    bastion_host_keys: int = 0  # another number: other host keys than at the first boot
    instance_connect: bool = True  # it asks EC2 Instance Connect for pushed keys

    # The service.
    message_rate_limit: int | None = 1000  # data messages a second from the client
    rate_grace_s: float = 2
    max_payload: int | None = None  # a longer payload cuts the connection
    max_payload_drop: bool = False  # instead of the cut, the message is silently lost
    verify_digest: bool = False  # messages with a wrong digest are lost
    idle_timeout_s: float = 1200
    tunnel_limit_s: float = 3600  # of an Instance Connect Endpoint
    bye_after_s: float | None = None  # the hourly close with 1000 "Bye"
    close_with_text: str | None = None  # a client that connects gets channel_closed with this text
    refuse_upgrade: int | None = None  # answer with this HTTP status instead of 101
    forward_state: bool = False  # agent_session_state is relayed to the client
    resume_broken: bool = False  # ResumeSession answers with an error
    pause_client: bool = True  # tell the client when the agent is away
    fragment: int | None = None  # split messages to the client into frames of this size

    # The network.
    cut_client_after_bytes: int | None = None
    cut_client_after_s: float | None = None
    cut_agent_after_bytes: int | None = None
    cut_agent_after_s: float | None = None
    reset_agent_after_bytes: int | None = None  # between the agent's write of a message and its ack
    cut_repeat: bool = False  # cut every connection, not only the session's first
    freeze_client_after_bytes: int | None = None  # the connection goes dead without a close
    freeze_client_after_s: float | None = None
    drop: float = 0.0
    ack_loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    seed: int | None = None

    @property
    def noisy(self) -> bool:
        """Whether messages get lost, duplicated or reordered."""
        return bool(self.drop or self.ack_loss or self.duplicate or self.reorder)


def from_json(document: dict[str, Any]) -> Faults:
    """Make the settings from a control request; a missing key gets its default.

    Raises:
        UnknownFaultError: A key is unknown, or its value has the wrong type.
    """
    faults = Faults()
    for key, value in document.items():
        if key not in Faults.__dataclass_fields__:
            raise UnknownFaultError(f"unknown gateway fault {key!r}")
        default = getattr(faults, key)
        if default is not None and not _fits(value, default):
            raise UnknownFaultError(f"gateway fault {key!r} cannot be {value!r}")
        setattr(faults, key, value)
    return faults


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, (bool, str)):
        return isinstance(value, type(default))
    if value is None:
        return isinstance(default, int)
    return isinstance(value, (int, float))
