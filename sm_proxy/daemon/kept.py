"""A connection's side of a kept session: ask the daemon for a stream, or start a session for it.

Whatever is wrong with the daemon or a keeper before the session is there, the connection starts a
session of its own. Whatever happens later is told in the words of its route.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sm_proxy.aws import handed_keys, principal
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.daemon import endings
from sm_proxy.daemon.handover import Handover, folder
from sm_proxy.daemon.keepers import Question
from sm_proxy.daemon.kept_stream import JoinedStream, KeptStream, LeadingStream
from sm_proxy.daemon.lines import Lines
from sm_proxy.errors import SmProxyError
from sm_proxy.local import debug_log, threads
from sm_proxy.routes import sessions, ssm_session
from sm_proxy.routes.session_api import SessionRequest, SsmApi
from sm_proxy.routes.ssm_session import Words
from sm_proxy.settings import Settings
from sm_proxy.ssm import api as ssm
from sm_proxy.ssm.api import Grant
from sm_proxy.tunnel.stream import Stream

ANSWER_S: Final = 2.0
"""How long a keeper may take to answer; a new one has to be forked first."""
OPEN_S: Final = 60.0
"""How long to wait for a session that another connection is starting, or that a keeper opens."""
_TRIES: Final = 4
"""After this many busy or ending keepers, the connection starts a session of its own."""
_TRY_AGAIN: Final[dict[str, Any]] = {"state": "again"}

Tell = Callable[[dict[str, Any], Sequence[socket.socket]], None]
"""Sends the daemon a message: `inbox.Sender.send`."""


def source(tell: Tell) -> ssm_session.KeptSource:
    """What `ssm_session.kept_source` is in a fork of the daemon. Call it before AWS is asked."""
    began = principal.surroundings()

    def kept(aws: Aws, request: SessionRequest, words: Words, settings: Settings) -> Stream | None:
        aws.network  # noqa: B018 - a bad setting is an error before StartSession, as without us
        if principal.surroundings() != began:  # it waited for its job, and may have the old keys
            debug_log.write("the AWS configuration has changed, so no kept session is used")
            return None
        asked = _Asked(tell, aws, request, words, settings)
        stream = asked.stream()
        if stream is not None and settings.session_ahead:
            return LeadingStream(stream, asked.start_ahead)
        return stream

    return kept


@dataclass
class _Ends:
    """This connection's ends of its two sockets to a keeper."""

    lines: Lines
    data: socket.socket

    def close(self) -> None:
        self.lines.close()
        self.data.close()


class _Asked:
    """One connection that asks for a stream of a kept session."""

    def __init__(
        self, tell: Tell, aws: Aws, request: SessionRequest, words: Words, settings: Settings
    ) -> None:
        self._tell = tell
        self._aws = aws
        self._request = request
        self._words = words
        self._settings = settings
        self._known = principal.fingerprint(aws)
        self._sure = False
        self._without: list[str] = []

    def stream(self) -> Stream | None:
        """A stream of a kept session, or of a new one that will be kept; None if there is none.

        Raises:
            SmProxyError: as `open_session`.
        """
        for _ in range(_TRIES):
            ends = self._ends()
            if ends is None:
                return None
            with contextlib.ExitStack() as undo:
                undo.callback(ends.close)
                answer = self._answer(ends.lines)
                stream: Stream | None = None
                if answer == _TRY_AGAIN:
                    continue
                if answer.get("state") == "start":
                    stream = self._started(ends)
                elif answer.get("state") == "open":
                    debug_log.write("using a kept session", id=answer["session"])
                    stream = self._joined(ends, answer["session"])
                if stream is not None:
                    undo.pop_all()
                return stream
        return None

    def _answer(self, lines: Lines) -> dict[str, Any]:
        """What the daemon or a keeper says: `start`, `open`, or `_TRY_AGAIN`; else nothing."""
        answer = _first(lines, ANSWER_S)
        if answer.get("state") == "wait":
            answer = _first(lines, OPEN_S)
        state = answer.get("state")
        if state == "resolve":
            self._resolve()
        elif state == "refused":
            self._without.append(answer["session"])
        elif answer or not lines.ended:  # without an answer: a keeper was about to end
            return answer
        return _TRY_AGAIN

    def anew(self) -> Stream | None:
        """A stream of another session, kept or not, because the first one says nothing.

        Raises:
            SmProxyError: as `open_session`.
        """
        try:
            stream = self.stream()
            if stream is None:
                return ssm_session.open_session(self._aws, self._request, self._words)
        except SmProxyError as failure:
            if self._words.instead is None:
                raise
            return self._words.instead(failure)
        return stream

    def start_ahead(self) -> Stream | None:
        """Start a session for the next connection, unless an unused one is there.

        Returns:
            What keeps that session, until it is closed.
        """
        ends = self._ends(ahead=True)
        if ends is None:
            return None
        with contextlib.ExitStack() as undo:
            undo.callback(ends.close)
            try:
                if self._answer(ends.lines).get("state") != "start":
                    return None
                stream = self._started(ends, ahead=True)
            except (ServiceError, SmProxyError) as error:
                debug_log.write("no session was started ahead", why=error)
                return None
            if stream is not None:
                undo.pop_all()
            return stream

    def _key(self) -> str:
        parts = [self._known, self._request.target, self._request.document, self._request.reason]
        parameters = {name: list(value) for name, value in self._request.parameters.items()}
        whole = json.dumps([*parts, parameters], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

    def _resolve(self) -> None:
        """Find out whose keys these are: the environment alone does not show it."""
        self._known, self._sure = threads.run(principal.of_keys, self._known, self._aws), True

    def _ends(self, *, ahead: bool = False) -> _Ends | None:
        """Ask the daemon; None if it does not serve."""
        opened: list[socket.socket] = []
        try:
            opened += (*socket.socketpair(),)
            opened += (*socket.socketpair(),)
            messages, theirs, data, far = opened
            question = Question(self._key(), self._without, self._sure, ahead)
            with theirs, far:
                self._tell({"question": asdict(question)}, (theirs, far))
        except OSError as error:
            debug_log.write("the daemon keeps no session", why=error)
            for each in opened:
                each.close()
            return None
        return _Ends(Lines(messages), data)

    def _started(self, ends: _Ends, *, ahead: bool = False) -> Stream | None:
        """Start a session, and hand it over to the keeper; None if that has failed.

        Raises:
            SmProxyError: as `open_session`.
        """
        api = SsmApi(self._aws, self._request, self._words.explain)
        with ssm_session.started(api, self._aws) as grant:
            answer: dict[str, Any] = {}
            with contextlib.suppress(OSError):
                ends.lines.send(self._handover(grant, ahead=ahead).message(), ANSWER_S)
                answer = _first(ends.lines, OPEN_S)
            if answer.get("state") == "open":
                return self._kept(ends, grant.session_id)
            if "failure" in answer and (
                error := endings.understood(answer["failure"], self._words)
            ):
                sessions.SESSIONS.leave(grant.session_id)
                raise error
            debug_log.write("the keeper has not taken the session", id=grant.session_id)
            ssm.terminate_within_bound(api, grant.session_id)
        return None

    def _handover(self, grant: Grant, *, ahead: bool) -> Handover:
        keys, sure_key = handed_keys.give(self._aws), ""
        if not self._sure and not principal.is_certain(self._aws):
            self._resolve()
            sure_key = self._key()
        settings = self._settings
        return Handover(
            grant,
            self._request,
            keys,
            settings.profile,
            settings.region,
            self._aws.scope,
            dict(os.environ),
            folder(),
            self._through,
            ssm_session.payload_limit(self._request.target),
            settings.keep_session,
            ahead,
            sure_key,
        )

    @property
    def _through(self) -> str:
        return f"{self._words.route} {self._request.target}".strip()

    def _kept(self, ends: _Ends, session_id: str) -> KeptStream:
        sessions.SESSIONS.keep(session_id)
        told = None
        if not self._settings.session_ahead:  # else this connection holds the next one's session
            words = self._words
            told = {"target": self._request.target, "failures": dict(words.failures or {})}
        return KeptStream(
            ends.lines, ends.data, self._through, session_id, self._failure, told=told
        )

    def _joined(self, ends: _Ends, session_id: str) -> Stream:
        self._without.append(session_id)  # for another attempt
        return JoinedStream(self._kept(ends, session_id), self.anew, time.monotonic())

    def _failure(self, ending: endings.Ending) -> Exception | None:
        return endings.understood(ending, self._words, self._request.target)


def _first(lines: Lines, within: float) -> dict[str, Any]:
    """The next message of a keeper; empty at the end, or if none comes in time."""
    return threads.run(lines.next, time.monotonic() + within) or {}
