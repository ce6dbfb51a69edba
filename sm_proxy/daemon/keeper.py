"""The process that holds one session open, for the connections that share it.

It begins with the connection that starts the session, and gets it from there. Further connections
get streams of it while it is quiet. After the last one it waits a while for the next, and then ends
the session. One thread does all that; others only make calls.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from sm_proxy.aws import handed_keys
from sm_proxy.daemon import endings, hardening, wire
from sm_proxy.daemon.guest import Guest
from sm_proxy.daemon.handover import Handover
from sm_proxy.daemon.keepers import ADD_SURE
from sm_proxy.daemon.lines import Lines
from sm_proxy.daemon.partings import Partings
from sm_proxy.local import debug_log, poll, secret_values, signals
from sm_proxy.local.poll import Ready
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.routes.session_api import SsmApi
from sm_proxy.ssm import api as ssm
from sm_proxy.ssm import shared
from sm_proxy.ssm.shared import SharedSession
from sm_proxy.state import open_sessions
from sm_proxy.tunnel.stream import FINISH_S

NAME: Final = "sm-proxy keeper"
QUIET_S: Final = 2.0
QUIET_BYTES: Final = 64 << 10
"""A session that has carried more in the last `QUIET_S` takes no further connection: beside bulk, a
keystroke's echo would take 300 ms."""
MOST: Final = 32
"""How many connections share a session at most: each may keep two megabytes waiting."""
_OWN_DESCRIPTORS: Final = 24
"""What a keeper opens besides those of its connections, with those of a resumed session."""
_DESCRIPTORS: Final = 3
"""Those of a connection; for a moment, one that is being left to the keeper has two more."""


class Traffic:
    """The bytes of the last two seconds, both ways."""

    def __init__(self) -> None:
        self._moved: deque[tuple[float, int]] = deque()
        self._total = 0

    def add(self, now: float, moved: int) -> None:
        """Count bytes that have passed."""
        if moved:
            self._moved.append((now, moved))
            self._total += moved
        while self._moved and self._moved[0][0] <= now - QUIET_S:
            self._total -= self._moved.popleft()[1]

    def is_quiet(self, now: float) -> bool:
        """Whether the session is quiet enough for a person who types."""
        self.add(now, 0)
        return self._total <= QUIET_BYTES


@dataclass(frozen=True)
class _Moment:
    """A time by both clocks, whichever comes first: one of them stands while a laptop sleeps.

    Attributes:
        steady: of `time.monotonic`.
        wall: Unix seconds.
    """

    steady: float = math.inf
    wall: float = math.inf

    @property
    def is_set(self) -> bool:
        """Whether it will ever come."""
        return self.steady < math.inf

    def is_past(self, now: float) -> bool:
        """Whether it has come, at `now` of `time.monotonic`."""
        return now >= self.steady or time.time() >= self.wall

    def deadline(self, now: float) -> float:
        """When it comes, in the time of `time.monotonic`."""
        return min(self.steady, now + max(0.0, self.wall - time.time()))


def most_connections() -> int:
    """How many connections may share a session, with the descriptors that this process may have."""
    import resource  # noqa: PLC0415 - there is none on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST
    return max(1, min(MOST, (limit - _OWN_DESCRIPTORS) // _DESCRIPTORS))


def run(daemon: socket.socket, messages: socket.socket, data: socket.socket) -> None:
    """Run a keeper; returns when its session is over.

    Args:
        daemon: to the daemon: it sends connections, and gets the data for `daemon status`.
        messages: of the connection that starts the session.
        data: the same, for its bytes.
    """
    hardening.name_process(NAME)
    with signals.Wakeup() as wakeup:
        keeper = Keeper(daemon, Guest(messages, data))
        try:
            while not keeper.is_over(time.monotonic()) and not wakeup.hung_up:
                keeper.step(wakeup.fileno())
        finally:
            keeper.end()


class Keeper:
    """A session, and the connections that share it.

    Args:
        daemon: as for `run`.
        first: the connection that starts the session.
    """

    def __init__(self, daemon: socket.socket, first: Guest) -> None:
        self._daemon = Lines(daemon)
        self._daemon_gone = False
        self._first = first
        self._guests = [first]
        self._session: SharedSession | None = None
        self._opening: Background[SharedSession] | None = None
        self._woken, self._wake = socket.socketpair()
        self._handover: Handover | None = None
        self._api: SsmApi | None = None
        self._traffic = Traffic()
        self._partings = Partings()
        self._keep_until = _Moment()
        self._keys_until = math.inf
        self._most = most_connections()
        self._taken = 0
        self._state: dict[str, object] = {"taken": 0}
        self._status_lines: list[str] = []
        self._is_last = False
        first.send(state="start")
        self._let_go(time.monotonic())  # it may have gone while this process was started

    def is_over(self, now: float) -> bool:
        """Whether nothing is left to be done but to end the session."""
        session = self._session
        if any(guest.stream or guest.needs_stream for guest in self._guests):
            return False
        if session is None:
            # If the connection that began it has gone, the session is there soon.
            return self._opening is None
        if self._daemon_gone or not self._serves_more(session):
            return True
        return not self._guests and self._keep_until.is_past(now)

    def step(self, wakeup: int) -> None:
        """Wait until something can be done, and do it."""
        now = time.monotonic()
        readers, writers, hangups, due = self._wanted(now)
        ready = poll.wait([wakeup, *readers], writers, hangups, due - now)
        now = time.monotonic()
        if self._daemon.fileno() in ready.readable:
            self._take_guests()
        if self._woken.fileno() in ready.readable:
            self._woken.recv(1)
            self._take_session()
        moved = sum(guest.moved for guest in self._guests)
        for guest in self._guests:
            self._hear(guest, ready)
        if (session := self._session) is not None:
            session.advance(now, readable=session.fileno() in ready.readable)
        for guest in self._guests:
            # The session may have just opened or ended, and nothing else may wake us for a guest.
            if guest.needs_stream and not guest.over:
                self._admit(guest, now)
            guest.give()
        self._traffic.add(now, sum(guest.moved for guest in self._guests) - moved)
        self._let_go(now)
        self._tell_daemon(now)

    def end(self) -> None:
        """End the session at the agent and at the service."""
        self._daemon.close()  # it sends no connection any more
        for guest in self._guests:
            guest.end(ssm.SessionEndedError("lost", "the process that holds the session was ended"))
        self._let_go(time.monotonic())
        self._partings.start()
        if (session := self._session) is not None:
            _finish(session)
            session.close()
        elif self._opening is not None and self._api is not None and self._handover is not None:
            ssm.terminate_within_bound(self._api, self._handover.grant.session_id)
        self._woken.close()
        self._wake.close()

    def _let_go(self, now: float) -> None:
        """Forget the connections that are over."""
        self._is_last = self._is_last or any(guest.is_last for guest in self._guests)
        for guest in self._guests:
            if guest.transfer is not None:
                self._partings.add(guest.transfer, now)
                guest.transfer = None
            if guest.parting is not None:
                self._partings.add(guest.parting, now)
        self._guests = [guest for guest in self._guests if not guest.over]
        self._partings.advance(now)

    def _wanted(self, now: float) -> tuple[list[int], list[int], list[int], float]:
        """The descriptors to wait for, readable, writable and hung up, and until when."""
        readers, writers, hangups = [self._woken.fileno()], [], []
        if not self._daemon_gone:
            readers.append(self._daemon.fileno())
        due = min(self._keep_until.deadline(now), self._partings.deadline(now))
        if (session := self._session) is not None and not session.ended:
            due = min(due, session.deadline(now))
            readers += [session.fileno()] if session.wants_read else []
            writers += [session.fileno()] if session.wants_write else []
        for guest in self._guests:
            of_guest = guest.wanted()
            readers += of_guest[0]
            writers += of_guest[1]
            hangups += of_guest[2]
        return readers, writers, hangups, due

    def _take_guests(self) -> None:
        """Take the connections that the daemon sends."""
        try:
            data, fds, _ = wire.receive_with(self._daemon.socket, 1, 2)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self._daemon_gone = not data
        self._taken += len(data)
        ends = [socket.socket(fileno=fd) for fd in fds]
        if len(ends) == 2:  # else this process is out of descriptors
            guest = Guest(*ends, sure=data == ADD_SURE)
            guest.send(state="wait")
            self._guests.append(guest)
            return
        for end in ends:
            end.close()

    def _hear(self, guest: Guest, ready: Ready) -> None:
        for message in guest.hear(ready):
            self._on_message(guest, message)
        if self._session is None and self._opening is None and self._first.over:
            guest.leave()  # the session will not come

    def _on_message(self, guest: Guest, message: dict[str, object]) -> None:
        if guest is self._first and "handover" in message and self._handover is None:
            self._handover = Handover.of(message)
            self._open(self._handover)

    def _open(self, handover: Handover) -> None:
        """Take the session over, and begin to open its websocket."""
        self._first.needs_stream = not handover.ahead
        handover.take_up()
        debug_log.restart()
        grant = handover.grant
        open_sessions.adopt(grant.session_id, handover.scope)
        secret_values.keep(grant.token)
        debug_log.write("keeping a session", id=grant.session_id)
        self._keys_until = handed_keys.ends_at(handover.keys) or math.inf
        aws = handed_keys.take(handover.keys, handover.profile, handover.region)
        api = self._api = SsmApi(aws, handover.request)
        options = ssm.Options(
            payload_limit=handover.payload_limit,
            network=aws.network,
            on_status=self._on_status,
            over=sessions.SESSIONS.over,
            target=handover.through,
        )

        def work() -> SharedSession:
            try:
                return shared.share(api, options, grant)
            finally:
                with contextlib.suppress(OSError):
                    self._wake.send(b".")

        self._opening = Background(work)

    def _take_session(self) -> None:
        """The session is open, or cannot be."""
        opening = self._opening
        if opening is None:
            return
        try:
            self._session = session = opening.result()
        except Exception as error:  # noqa: BLE001 - told to those who wait for it
            self._opening = None
            for guest in self._guests:
                guest.send(state="failed", failure=endings.to_message(error))
                guest.leave()
            return
        if self._first.needs_stream and not self._first.over:
            self._first.begin(session.open_stream())
        self._first.send(state="open", session=session.session_id)

    def _admit(self, guest: Guest, now: float) -> None:
        """Give a connection a stream, or refuse it, once the session is open."""
        session = self._session
        if session is None or not (session.opened or session.ended):
            return
        if self._handover is not None and self._handover.key and not guest.sure:
            # It may have other keys than the connection that began the session.
            guest.send(state="resolve")
            guest.leave()
            return
        if not self._serves_more(session) or not self._has_room(now):
            guest.send(state="refused", session=session.session_id)
            guest.leave()
            return
        guest.begin(session.open_stream())
        guest.send(state="open", session=session.session_id)
        for line in self._status_lines:
            guest.send(status=line)

    def _serves_more(self, session: SharedSession) -> bool:
        usable = not session.ended and (session.multiplexed or not session.opened)
        # A connection may have found that the session leads nowhere.
        return usable and not (self._is_last or any(guest.is_last for guest in self._guests))

    def _has_room(self, now: float) -> bool:
        served = sum(guest.stream is not None for guest in self._guests)
        expired = self._keep_until.is_past(now) or time.time() >= self._keys_until
        return not expired and served < self._most and self._traffic.is_quiet(now)

    def _on_status(self, line: str) -> None:
        """Show the account's message to each connection, as its own session would."""
        self._status_lines.append(line)
        for guest in self._guests:
            if guest.stream is not None:
                guest.send(status=line)

    def _tell_daemon(self, now: float) -> None:
        """Update how long to keep the session, and report changes to the daemon."""
        if (handover := self._handover) is None:
            self._send_state({"taken": self._taken}, {})
            return
        if self._guests:
            self._keep_until = _Moment()
        elif not self._keep_until.is_set:
            left = min(handover.keep_s, self._keys_until - time.time())
            self._keep_until = _Moment(now + left, time.time() + left)
        state = {
            "session": handover.grant.session_id,
            "target": _place(handover),
            "taken": self._taken,
            "streams": sum(
                guest.needs_stream or guest.stream is not None for guest in self._guests
            ),
            "ends": self._keep_until.wall if self._keep_until.is_set else None,
            "settled": [
                (settled.record.host, settled.began)
                for settled in (guest.settled for guest in self._guests)
                if settled is not None
            ],
        }
        self._send_state(state, {"key": handover.key} if handover.key else {})

    def _send_state(self, state: dict[str, object], key: dict[str, object]) -> None:
        if state != self._state:
            self._state = state
            with contextlib.suppress(OSError):
                self._daemon.send({**state, **key})


def _place(handover: Handover) -> str:
    """Where the session leads to, for people: `i-0abc to 10.0.1.5:22`."""
    parameters = handover.request.parameters
    port = ":".join(
        str(parameters[name][0]) for name in ("host", "portNumber") if name in parameters
    )
    return f"{handover.request.target} to {port}"


def _finish(session: SharedSession) -> None:
    """Tell the agent that the session is over, and give it a moment to confirm that."""
    session.finish()
    until = time.monotonic() + FINISH_S
    readable = False
    while not session.finished and session.failure is None and (now := time.monotonic()) < until:
        session.advance(now, readable=readable)
        readers = [session.fileno()] if session.wants_read else []
        writers = [session.fileno()] if session.wants_write else []
        due = min(until, session.deadline(now)) - now
        readable = bool(poll.wait(readers, writers, [], due).readable)
