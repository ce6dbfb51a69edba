"""The faults of the gateway, with the constants of the real service as defaults."""

from __future__ import annotations

import dataclasses
from typing import Any


class UnknownFaultError(ValueError):
    """A fault that the gateway does not know, or a value of the wrong kind."""


@dataclasses.dataclass
class Faults:
    """Settings of the gateway; the defaults behave as the live service and a healthy agent.

    They hold for every session and may change while one runs. `None` switches a fault off.
    Times end in `_ms` or `_s`; chances lie between 0 and 1.
    """

    # The agent's worker.
    worker_start_ms: float = 0  # from StartSession; 0: it waits for the client (an ideal start)
    pause_ms: float = 1  # sleep after each 1,024 bytes read; 0: none
    dial_ms: float = 0  # each dial takes so much longer; data is rejected meanwhile
    complete_first: float = 3 / 46  # chance of HandshakeComplete before the ack it comes after
    complete_ms: float = 0  # HandshakeComplete is out, data still acked and thrown away
    handshake_timeout_s: float = 15
    customer_message: str = ""
    encrypt: bool = False
    silent: bool = False  # the agent never sends anything
    vpc_cidr: str | None = None  # its first four and its last address are forbidden
    deliver_dial_error: bool = False  # some agents report why a basic session cannot dial
    crash_notice_s: float = 60  # until a crashed worker is noticed and the session closed
    smux_ping_s: float = 10  # smux keep-alive for old clients
    smux_timeout_s: float = 30
    agent_reconnect_ms: float = 200
    agent_returns: bool = True

    # The service.
    message_rate_limit: int | None = 1000  # data messages a second from the client
    rate_grace_s: float = 2
    max_payload: int | None = None  # longer payloads cut the connection, or
    max_payload_drop: bool = False  # ... are lost without a word
    verify_digest: bool = False  # messages with a wrong digest are lost
    idle_timeout_s: float = 1200
    bye_after_s: float | None = None  # the hourly close with 1000 "Bye"
    close_with_text: str | None = None  # channel_closed with it once the client is there
    refuse_upgrade: int | None = None  # this HTTP status instead of 101
    forward_state: bool = False  # agent_session_state leaks through to the client
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
        """Whether messages get lost, doubled or swapped."""
        return bool(self.drop or self.ack_loss or self.duplicate or self.reorder)


def from_json(document: dict[str, Any]) -> Faults:
    """Make the settings from a control request, defaults for what it leaves out.

    Raises:
        UnknownFaultError: A key is unknown or its value of the wrong kind.
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
