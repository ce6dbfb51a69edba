"""The interface of a session: the API that its caller provides, options, and exceptions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from sm_proxy.ssm.dial import DIRECT, Network
from sm_proxy.ssm.dial_failure import DialKind
from sm_proxy.ssm.handshake import SessionType
from sm_proxy.ssm.outbox import LARGE_PAYLOAD
from sm_proxy.ssm.timing import MESSAGES_PER_S

TERMINATE_DEADLINE_S: Final = 2.0

Kind = DialKind | Literal["lost", "unopened", "unreachable", "closed", "large", "doubled"]


class SessionEndedError(Exception):
    """The session did not end cleanly.

    Attributes:
        kind: `lost` the connection could not be resumed, `unopened` there never was one,
            `unreachable` the agent did not answer, `closed` the service ended it with a text,
            `large` this target accepts messages of 1,024 bytes only, `doubled` the target may
            have got some bytes twice; or how the agent's dial failed: see `dial_failure`.
    """

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind: Kind = kind
        self.reason = reason


class FinalError(Exception):
    """A call failed, and no further attempt can succeed.

    Args:
        cause: the exception that the session will raise.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True)
class Grant:
    """The result of StartSession and ResumeSession. Never printed: the token opens the session."""

    session_id: str
    token: str
    stream_url: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Grant({self.session_id})"


class Api(Protocol):
    """The calls a session makes; each may block and raise what its library raises.

    A `FinalError` from `resume` or `data_key` carries the exception that the session will raise.
    """

    def start(self) -> Grant:
        """StartSession."""

    def resume(self, session_id: str) -> Grant | None:
        """ResumeSession; None when the session is over for good."""

    def terminate(self, session_id: str) -> None:
        """TerminateSession."""

    def data_key(self, key_id: str, session_id: str, challenge: str) -> tuple[bytes, bytes]:
        """KMS GenerateDataKey of 64 bytes: ciphertext and plaintext."""


@dataclass(frozen=True)
class Options:
    """How a session behaves.

    Attributes:
        payload_limit: largest message payload to try, in bytes.
        messages_per_s: largest number of data messages in a second.
        network: how the service is reached.
        on_status: takes a line for the user (the account's CustomerMessage).
        failure: makes the exception for a session that did not end cleanly.
        over: called with the session's id when both ends know that the session is over.
        target: the session's target, for people, such as `bastion i-0abc`: see `Session.through`.
        session_type: of the session's document.
    """

    payload_limit: int = LARGE_PAYLOAD
    messages_per_s: float = MESSAGES_PER_S
    network: Network = DIRECT
    on_status: Callable[[str], None] = lambda _: None
    failure: Callable[[Kind, str], Exception] = SessionEndedError
    over: Callable[[str], None] = lambda _: None
    target: str = ""
    session_type: SessionType = "Port"


def terminate_within_bound(api: Api, session_id: str) -> None:
    """Call TerminateSession, but wait for it at most two seconds."""
    thread = threading.Thread(target=_terminate, args=(api, session_id), daemon=True)
    try:
        thread.start()
    except RuntimeError:  # from Python 3.12 on, no thread starts while the interpreter exits
        _terminate(api, session_id)
    else:
        thread.join(TERMINATE_DEADLINE_S)


def _terminate(api: Api, session_id: str) -> None:
    # If this fails, the session ends by its idle timeout.
    with contextlib.suppress(Exception):
        api.terminate(session_id)
