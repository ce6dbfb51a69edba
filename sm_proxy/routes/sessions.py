"""The SSM sessions of this process: none is left open when it ends, whatever it was doing.

A signal may strike between any two steps, and a session may be granted to a thread nobody waits for
any more. So whoever gets one enters it here, in the thread that asked for it, which no signal
interrupts; and `end_all` waits for what was asked for, and ends what nobody has ended.
"""

from __future__ import annotations

import threading
from typing import Final

from sm_proxy.local.signals import Hangup
from sm_proxy.ssm.api import TERMINATE_DEADLINE_S, Api, Grant, terminate_within_bound
from sm_proxy.state import open_sessions

_END_S: Final = TERMINATE_DEADLINE_S


class Sessions:
    """Those that were granted and nobody has tried to end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[str, Api] = {}
        self._asked_for = 0
        self._at_end = False

    def start(self, api: Api, scope: str) -> Grant:
        """A new session; call it in a thread that no signal interrupts.

        Args:
            api: what starts it, and would end it.
            scope: what tells one account and region from another.

        Raises:
            Hangup: the process is at its end.
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
        """It is over, or somebody is ending it."""
        with self._changed:
            self._open.pop(session_id, None)

    def over(self, session_id: str) -> None:
        """It is over for good."""
        self.leave(session_id)
        open_sessions.remove(session_id)

    def end_all(self) -> None:
        """End what is open; from now on none is started. Takes some four seconds at the most."""
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
"""Those of this process."""
