"""The service: sessions, tokens, and the admission of each websocket."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import string
import tempfile
from collections import deque
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from sm_proxy_lab.gateway import SPACE, targets, wire
from sm_proxy_lab.gateway.agents import Agent, Agents
from sm_proxy_lab.gateway.faults import Faults
from sm_proxy_lab.gateway.session import Session
from sm_proxy_lab.gateway.tunnels import Tunnels
from sm_proxy_lab.gateway.websocket import Connection
from sm_proxy_lab.gateway.worker import WorkerRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sm_proxy_lab.gateway.instances import Instances

log = logging.getLogger("sm_proxy_lab.gateway")

DEFAULT_AGENT_VERSION = "3.3.1230.0"
OPEN_TIMEOUT = 15.0
REMEMBERED = 1000  # ended sessions
POLICY_VIOLATION = 1008
WITH_AGENT = ("sagemaker-training-job:", "sagemaker-cluster:", SPACE)
"""Targets whose machine runs an agent of its own."""
_PATH = re.compile(r"/v1/data-channel/([\w.@-]+)\?(?:.*&)?role=publish_subscribe\b")


class NoSuchSessionError(KeyError):
    """The session never was or has ended."""


class NotConnectedError(Exception):
    """The target's agent is not connected."""


class Service:
    """All sessions of one gateway."""

    def __init__(
        self, address: str, sessions_file: Path, instances: Instances, latency: float = 0.0
    ) -> None:
        self.faults = Faults()
        self.instances = instances
        self.latency = latency
        self._address = address
        self._file = sessions_file
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, Session] = {}
        self._cells: dict[str, str] = {}
        self.issued: deque[str] = deque(maxlen=1000)
        self.agents = Agents(self._end_sessions_to)
        self.tunnels = Tunnels(lambda: self.faults, latency)
        self._write_file()

    def start(
        self,
        target: str,
        document: str,
        parameters: Mapping[str, list[str]],
        agent_version: str = DEFAULT_AGENT_VERSION,
        *,
        dropped: bool = False,
    ) -> Session:
        """Begin a session.

        Args:
            target: the instance, or `sagemaker-...:...`, which has an agent of its own.
            document: the name of the Session document.
            parameters: the document's parameters.
            agent_version: the version of the instance's agent.
            dropped: a security group drops what the agent sends to the container.

        Raises:
            NotConnectedError: no agent of the container or node is connected.
        """
        alphabet = string.ascii_lowercase + string.digits
        suffix = "".join(secrets.choice(alphabet) for _ in range(25))
        is_shell = document == targets.SHELL_DOCUMENT
        properties = None if is_shell else targets.properties(document, parameters)
        sshd = partial(self.instances.sshd, target) if target.startswith("i-") else None
        request = WorkerRequest(
            f"lab-{suffix}", properties, agent_version, dropped, sshd, self._agent(target, document)
        )
        session = Session(request, target, lambda: self.faults, self._changed)
        self._sessions[session.id] = session
        self._forget_old()
        self._write_file()
        return session

    def credentials(self, session: Session) -> dict[str, str]:
        """Answer StartSession or ResumeSession; the new token replaces the earlier one."""
        self._tokens = {token: of for token, of in self._tokens.items() if of is not session}
        token = secrets.token_urlsafe(192)
        self._tokens[token] = session
        self.issued.append(token)
        url = f"ws://{self._address}/v1/data-channel/{session.id}?role=publish_subscribe"
        cell = f"cell-number={secrets.token_urlsafe(16)}"
        if session.target.startswith(SPACE):
            self._cells[session.id] = cell
        return {
            "SessionId": session.id,
            "TokenValue": token,
            "StreamUrl": f"{url}&{cell}",
        }

    def find(self, session_id: str) -> Session:
        """Return an open session.

        Raises:
            NoSuchSessionError: There is none.
        """
        session = self._sessions.get(session_id)
        if session is None or session.ended:
            raise NoSuchSessionError(session_id)
        return session

    def open_sessions(self) -> list[Session]:
        """Return the sessions that have not ended."""
        return [session for session in self._sessions.values() if not session.ended]

    def set_faults(self, faults: Faults) -> None:
        """Use these faults from now on."""
        self.faults = faults
        for session in self.open_sessions():
            session.arm()

    def connection(self) -> Connection:
        """Make the protocol of a new websocket connection."""
        owner = _ClientSide(self)
        connection = Connection(owner, self.latency)
        owner.wait_for_token(connection)
        return connection

    def close(self) -> None:
        """End all sessions."""
        for session in self.open_sessions():
            session.end()
        self.instances.close()
        self.agents.close()
        self.tunnels.close()

    def knows(self, session_id: str) -> bool:
        """Whether there is or was such a session."""
        return session_id in self._sessions

    def leads_here(self, session_id: str, path: str) -> bool:
        """Whether a stream URL is whole: a space's cell is found by its number (assumed)."""
        cell = self._cells.get(session_id)
        return cell is None or cell in path.partition("?")[2].split("&")

    def redeem(self, session_id: str, token: str) -> Session | None:
        """Return the session that a token opens; each token works once."""
        session = self._tokens.get(token)
        if session is None or session.id != session_id:
            return None
        del self._tokens[token]
        return session

    def _agent(self, target: str, document: str) -> Agent | None:
        """Return the agent that makes a session's sockets or shell; None if we do it ourselves."""
        if target.startswith(WITH_AGENT):
            agent = self.agents.find(target, age_s=self.faults.agent_connect_s)
            if agent is None:
                raise NotConnectedError(target)
            return agent
        return self.agents.local(self._file.parent) if document == targets.SHELL_DOCUMENT else None

    def _end_sessions_to(self, target: str) -> None:
        for session in self.open_sessions():
            if session.target == target:
                session.end()

    def _changed(self, session: Session) -> None:
        if session.ended:
            self._write_file()

    def _forget_old(self) -> None:
        ended = [key for key, session in self._sessions.items() if session.ended]
        for key in ended[:-REMEMBERED]:
            del self._sessions[key]
            self._cells.pop(key, None)
        self._tokens = {token: of for token, of in self._tokens.items() if of.id in self._sessions}

    def _write_file(self) -> None:
        text = "".join(f"{session.id}\n" for session in self.open_sessions())
        with tempfile.NamedTemporaryFile(
            "w", dir=self._file.parent, prefix=f".{self._file.name}-", delete=False
        ) as new:
            new.write(text)
        # A temporary file is private; here the folder's permissions decide who may read it.
        Path(new.name).chmod(0o644)
        Path(new.name).replace(self._file)


class _ClientSide:
    """Checks a connection's path and token, then hands its events to the session."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._wanted = ""
        self._session: Session | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wait_for_token(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(OPEN_TIMEOUT, connection.abort)

    def upgrade_status(self, path: str) -> int:
        match = _PATH.match(path)
        refused = self._service.faults.refuse_upgrade
        if refused is not None:
            return refused
        if match is None:
            return HTTPStatus.BAD_REQUEST
        if not self._service.knows(match[1]) or not self._service.leads_here(match[1], path):
            return HTTPStatus.NOT_FOUND
        self._wanted = match[1]
        return HTTPStatus.SWITCHING_PROTOCOLS

    def on_message(self, connection: Connection, data: bytes, *, text: bool) -> None:
        if self._session:
            self._session.from_client(data, text=text)
        elif not text or not self._open(connection, data):
            log.warning("service: a connection to %s without a valid token", self._wanted)
            connection.close(POLICY_VIOLATION, "Invalid token")

    def on_lost(self, connection: Connection) -> None:
        self._cancel_timer()
        if self._session:
            self._session.client_lost(connection)

    def on_writable(self, _connection: Connection) -> None:
        if self._session:
            self._session.client_writable()

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _open(self, connection: Connection, data: bytes) -> bool:
        try:
            request = wire.json_object(data)
        except wire.MalformedError:
            return False
        session = self._service.redeem(self._wanted, str(request.get("TokenValue")))
        if session is None or request.get("MessageSchemaVersion") != "1.0":
            return False
        self._cancel_timer()
        self._session = session
        session.attach(connection)
        return True
