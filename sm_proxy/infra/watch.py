"""Show a stack's events as they come, until CloudFormation has finished.

A second run continues from CloudFormation's state: everything is read from the stack, nothing from
this machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Protocol

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.infra import events as stack_events
from sm_proxy.infra import stack as stacks
from sm_proxy.infra.events import Event
from sm_proxy.infra.stack import Stack
from sm_proxy.jobs import times
from sm_proxy.local import waits
from sm_proxy.local.waits import Wait
from sm_proxy.settings.deadline import Deadline

_POLL_S: Final = (1.0, 2.0)
"""Seconds between two looks: random within these bounds."""
_QUIET_POLL_S: Final = (3.0, 5.0)
"""As above, after `_QUIET_S` seconds without an event."""
_QUIET_S: Final = 20.0
_LAG: Final = 5
"""After this many looks, we no longer expect an event that the stack's status implies."""
_SHOWN: Final = 4
DELETED: Final = "DELETE_COMPLETE"


class Say(Protocol):
    """Takes a line for people; a dim one adds nothing new."""

    def __call__(self, message: str, /, *, dim: bool = False) -> None:
        """Show it."""


class Watch:
    """Follows one operation of a stack.

    Args:
        aws: for the calls.
        stack: the stack as it was described last.
        say: takes a line for each event.
        after: the id of the last event before the operation; empty for the operation that is
            going on.
    """

    def __init__(self, aws: Aws, stack: Stack, say: Say, after: str = "") -> None:
        self._aws = aws
        self._stack = stack
        self._say = say
        self._after = after
        self._shown_at = time.monotonic()
        self._trouble = ""
        self._gone = False
        self.events: list[Event] = []

    def until_settled(self, deadline: Deadline, again: str) -> Stack:
        """Wait until CloudFormation is done.

        Args:
            deadline: when to give up.
            again: the command that goes on with it, for the error's hint.

        Returns:
            The stack, as it is then; with the status DELETE_COMPLETE if it is gone.

        Raises:
            SmProxyError: `wait-timeout`; as `Aws.call`, but for errors that pass.
        """
        with waits.waiting(self._words(), deadline.left) as wait:
            return self._until_settled(deadline, again, wait)

    def _until_settled(self, deadline: Deadline, again: str, wait: Wait) -> Stack:
        late = 0
        while True:
            if self._look() and not self._stack.busy:
                if self._gone or self._told_all or late == _LAG:
                    return self._stack
                late += 1
            if deadline.left <= 0:
                raise deadline.passed(
                    f"the stack {self._stack.name} is still {self._stack.status}"
                    f"{self._pending_words()}",
                    f"CloudFormation continues; to watch it again: `{again}`.",
                )
            wait.what = self._words()
            deadline.sleep(_QUIET_POLL_S if self._silent_s > _QUIET_S else _POLL_S)

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._shown_at

    @property
    def _told_all(self) -> bool:
        """Whether the events go as far as the stack's status: they may lag behind it."""
        return bool(self.events) and self.events[-1].of_stack and self.events[-1].settled

    def _look(self) -> bool:
        """Describe the stack, then show what is new; False if AWS cannot be asked just now."""
        last = self.events[-1].id if self.events else self._after
        try:
            found = stacks.find(self._aws, self._stack.id)
            new = stack_events.of_operation(self._aws, self._stack.id, last) if found else []
        except SmProxyError as error:
            if not error.passing:
                raise
            if error.message != self._trouble:
                self._trouble = error.message
                self._say(f"{error.message}; trying again")
            return False
        self._gone, self._trouble = found is None, ""
        self._stack = found or replace(self._stack, status=DELETED)
        self._show(new)
        return True

    def _show(self, new: Iterable[Event]) -> None:
        for event in new:
            known = {(item.logical_id, item.status) for item in self.events}
            repeats = (event.logical_id, event.status) in known
            self.events.append(event)
            self._say(line(event), dim=repeats)
            self._shown_at = time.monotonic()

    def _words(self) -> str:
        return f"{self._stack.name} is {self._stack.status}{self._pending_words()}"

    def _pending_words(self) -> str:
        """What is being waited for: `; waiting for NatGateway (2 min), ...`."""
        last: dict[str, Event] = {}
        for event in self.events:
            if not event.of_stack:
                first = last.get(event.logical_id)
                same = first is not None and first.status == event.status
                last[event.logical_id] = first if first is not None and same else event
        pending = [event for event in last.values() if not event.settled]
        if not pending:
            return ""
        now = self._aws.now()
        words = [
            f"{event.logical_id} ({times.in_words((now - event.at).total_seconds())})"
            for event in pending[:_SHOWN]
        ]
        more = f" and {len(pending) - _SHOWN} more" if len(pending) > _SHOWN else ""
        return f"; waiting for {', '.join(words)}{more}"


def line(event: Event) -> str:
    """One event in one line: local time, resource, status, reason."""
    shown = f"{event.at.astimezone():%H:%M:%S} {event.logical_id} {event.status}"
    return f"{shown}: {event.reason}" if event.reason else shown
