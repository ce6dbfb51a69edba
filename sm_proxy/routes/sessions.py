"""The SSM sessions of this process, of all routes; none stays open when the process ends.

A signal may arrive between any two steps, and a session may be granted after its caller has given
up waiting. So the thread that asks for a session enters it here, and no signal interrupts
that thread. `end_all` waits for the sessions that were asked for, and ends those still open.
"""

from __future__ import annotations

import threading
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.local.signals import Hangup
from sm_proxy.ssm.api import TERMINATE_DEADLINE_S, Api, Grant, terminate_within_bound
from sm_proxy.state import open_sessions

_END_S: Final = TERMINATE_DEADLINE_S


class Sessions:
    """The sessions that were granted and not yet terminated."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[str, Api] = {}
        self._kept: set[str] = set()
        self._asked_for = 0
        self._at_end = False

    def start(self, api: Api, scope: str) -> Grant:
        """Start a session; call this in a thread that no signal interrupts.

        Args:
            api: starts the session, and ends it later.
            scope: distinguishes accounts and regions.

        Raises:
            Hangup: the process is ending.
        """
        with self._changed:
            if self._at_end:
                raise Hangup
            self._asked_for += 1
        try:
            grant = api.start()
            with self._changed:
                self._open[grant.session_id] = api
            open_sessions.add(grant.session_id, scope)
        finally:
            with self._changed:
                self._asked_for -= 1
                self._changed.notify_all()
        return grant

    def leave(self, session_id: str) -> None:
        """Forget a session that is over or that the caller is ending."""
        with self._changed:
            self._open.pop(session_id, None)

    def keep(self, session_id: str) -> None:
        """Leave a session to the process that keeps it for further connections."""
        self.leave(session_id)
        self._kept.add(session_id)

    def is_kept(self, session_id: str) -> bool:
        """Whether another process keeps the session."""
        return session_id in self._kept

    def over(self, session_id: str) -> None:
        """Forget a session that is over, on disk too."""
        self.leave(session_id)
        open_sessions.remove(session_id)

    def end_all(self) -> None:
        """End all open sessions and start no more. Takes about four seconds at most."""
        with self._changed:
            self._at_end = True
            self._changed.wait_for(lambda: not self._asked_for, _END_S)
            left = dict(self._open)
        enders = [
            threading.Thread(target=terminate_within_bound, args=(api, session_id), daemon=True)
            for session_id, api in left.items()
        ]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()


SESSIONS: Final = Sessions()
"""The sessions of this process."""


def terminate(aws: Aws, session_id: str) -> None:
    """TerminateSession; also succeeds if the service no longer knows the session.

    Raises:
        SmProxyError: the session may still be open.
        ServiceError: the same.
    """
    try:
        aws.call("ssm", "TerminateSession", SessionId=session_id)
    except ServiceError as error:
        if error.error != "DoesNotExistException":
            raise


def end_orphans(aws: Aws) -> None:
    """End the sessions that killed processes of this account and region left open."""

    def ended(session_id: str) -> bool:
        try:
            terminate(aws, session_id)
        except SmProxyError as error:
            return error.code == "access-denied"  # its idle timeout will end it
        except Exception:  # noqa: BLE001 - whatever it is, a later run tries again
            return False
        return True

    open_sessions.end_orphans(aws.scope, ended)
