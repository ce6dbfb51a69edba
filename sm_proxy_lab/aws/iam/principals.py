"""Who holds which access key: the sessions of the account's roles."""

from __future__ import annotations

import secrets
import string
import threading
from dataclasses import dataclass
from typing import Final

_LETTERS: Final = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Keys:
    """The credentials of a role's session."""

    access_key: str
    secret_key: str
    token: str


@dataclass(frozen=True)
class RoleSession:
    """A session of a role.

    Attributes:
        role: the role's ARN.
        name: of the session.
    """

    role: str
    name: str


class Principals:
    """The sessions that were begun in this lab."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, RoleSession] = {}

    def assume(self, role: str, name: str) -> Keys:
        """Begin a session of a role, for a service that the role trusts."""
        key = "ASIA" + "".join(secrets.choice(_LETTERS) for _ in range(16))
        with self._lock:
            self._sessions[key] = RoleSession(role, name)
        return Keys(key, secrets.token_urlsafe(30), secrets.token_urlsafe(60))

    def session(self, access_key: str | None) -> RoleSession | None:
        """The session that a key belongs to; None for a key that is no session's."""
        with self._lock:
            return self._sessions.get(access_key or "")
