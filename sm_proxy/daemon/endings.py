"""How a keeper tells a connection why its stream has ended: users see the usual message."""

from __future__ import annotations

from typing import Any

from sm_proxy.errors import SmProxyError
from sm_proxy.routes import ssm_session
from sm_proxy.routes.ssm_session import Words
from sm_proxy.ssm.api import SessionEndedError

Ending = dict[str, Any] | None


def to_message(error: Exception | None) -> Ending:
    """A failure as a message; None for a clean end."""
    if error is None:
        return None
    if isinstance(error, SessionEndedError):
        return {"kind": error.kind, "reason": error.reason}
    if isinstance(error, SmProxyError):
        return {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "mendable": error.mendable,
        }
    return {"kind": "lost", "reason": str(error)}


def understood(ending: Ending, words: Words, target: str = "") -> SmProxyError | None:
    """The failure in the words of the connection's route.

    Args:
        ending: as `to_message` made it.
        words: of the route.
        target: of the session, once it has one; notes if that takes small messages only.
    """
    if ending is None:
        return None
    if ending.get("kind") == "large" and target:
        return ssm_session.noting_small_messages(target, words)("large", ending["reason"])
    if "kind" in ending:
        return words.failure(ending["kind"], ending["reason"])
    return SmProxyError(
        ending["code"], ending["message"], ending["hint"], mendable=ending["mendable"]
    )
