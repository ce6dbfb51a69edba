"""The agent's session worker: handshake, then the port or shell session, then its result."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.gateway import handshake, targets, wire
from sm_proxy_lab.gateway.channel import AgentChannel, Link, Outcome
from sm_proxy_lab.gateway.instances import SSH_PORT
from sm_proxy_lab.gateway.port_basic import BasicPort
from sm_proxy_lab.gateway.port_mux import MuxPort
from sm_proxy_lab.gateway.shell import Shell
from sm_proxy_lab.gateway.versions import compare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sm_proxy_lab.gateway.agents import Agent
    from sm_proxy_lab.gateway.faults import Faults
    from sm_proxy_lab.gateway.port import Port

log = logging.getLogger("sm_proxy_lab.gateway")

CRASHED = (
    "document process failed unexpectedly: ipc messaging received timeout signal , check "
    "[ssm-document-worker]/[ssm-session-worker] log for crash reason"
)
LINGER = 2.0  # seconds that an ending worker waits for outstanding acks


class WorkerRequest(NamedTuple):
    """What the service tells the agent about a session.

    Attributes:
        session: its id.
        properties: of a port session; None for a shell.
        agent_version: the version of the agent.
        dropped: a security group drops what the agent sends to the container.
        sshd: starts the target's own sshd and returns its port; None if it has none.
        agent: makes sockets and shells; None if this process makes the sockets itself.
    """

    session: str
    properties: dict[str, str] | None
    agent_version: str
    dropped: bool = False
    sshd: Callable[[Faults], Awaitable[int]] | None = None
    agent: Agent | None = None


class CrashError(Exception):
    """The agent's worker process dies without a message."""


class Worker:
    """Runs the agent's side of one session; calls `report` once, with the session's Output."""

    def __init__(
        self,
        request: WorkerRequest,
        link: Link,
        faults: Callable[[], Faults],
        report: Callable[[str], None],
    ) -> None:
        self.faults = faults
        self.channel = AgentChannel(link, self._process)
        self.channel.on_active = self.wake
        self._request = request
        self._report = report
        self._port: Port | None = None
        self._client_version = ""
        self._race = random.Random(faults().seed)  # noqa: S311 - no secret depends on it
        # The agent shakes hands for a shell only if it encrypts.
        self._skips_handshake = request.properties is None and not faults().encrypt
        self._complete = self._skips_handshake
        loop = asyncio.get_running_loop()
        self._response: asyncio.Future[None] = loop.create_future()
        self._done: asyncio.Future[None] = loop.create_future()
        self._timers: list[asyncio.Handle] = []
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(_log_failure)
        self._begin = time.monotonic_ns()

    def finish(self) -> None:
        """End the session from within: the target is gone."""
        if not self._done.done():
            self._done.set_result(None)

    def terminate(self) -> None:
        """End the session because the client asked for it; old agents ignore that."""
        if compare(self._request.agent_version, "2.3.722.0") > 0:
            self.finish()

    def kill(self) -> None:
        """Stop at once; nothing is reported."""
        self._task.cancel()
        self._close()

    def wake(self) -> None:
        """Read the target again, if a pause had stopped it."""
        if self._port:
            self._port.wake()

    async def _run(self) -> None:
        try:
            output = await self._session()
        except CrashError:
            self._close()
            await asyncio.sleep(self.faults().crash_notice_s)
            output = CRASHED
        except targets.SessionError as error:
            log.info("agent: session %s: %s", self._request.session, error)
            output = str(error)
            await self.channel.outgoing.wait_empty(LINGER)
        self._close()
        self._report(output)

    async def _session(self) -> str:
        self.channel.send_state("Connected", self._request.session)
        self._begin = time.monotonic_ns()
        if not self._skips_handshake:
            await self._shake_hands()
        port = await self._make_port()
        try:
            await port.start()
        except OSError as error:
            # This version of the agent crashes on the missing connection, and reports nothing.
            if self.faults().deliver_dial_error:
                text = f"Unable to connect to specified port: {error}"
                raise targets.SessionError(text) from error
            log.warning("agent: worker crashes: %s", error)
            raise CrashError from error
        self._port = port
        await self._done
        # Let the ack of a TerminateSession go out first.
        await asyncio.sleep(0)
        port.stop()
        await self.channel.outgoing.wait_empty(LINGER)
        return ""

    async def _shake_hands(self) -> None:
        properties = self._request.properties
        kind = "Port" if properties is not None else "Standard_Stream"
        version, encrypt = self._request.agent_version, self.faults().encrypt
        request = handshake.request(version, kind, properties, encrypt=encrypt)
        self.channel.send(wire.HANDSHAKE_REQUEST, request)
        timeout = self.faults().handshake_timeout_s
        try:
            await asyncio.wait_for(asyncio.shield(self._response), timeout)
        except asyncio.TimeoutError as error:
            raise targets.SessionError(handshake.TIMED_OUT) from error

    async def _make_port(self) -> Port:
        given, agent = self._request.properties, self._request.agent_version
        if given is None:
            assert self._request.agent  # noqa: S101 - the service found it
            return Shell(self, self._request.agent)
        kind = given.get("type", "")
        host = given.get("host", "") if compare(agent, "3.1.1188.0") >= 0 else ""
        port = given.get("portNumber", "")
        if port == SSH_PORT and not host and self._request.sshd:
            port = await self._own_sshd(self._request.sshd)
        where = await targets.destination(port, host, self.faults().vpc_cidr, self._request.agent)
        where = where._replace(dropped=self._request.dropped)
        forwarding = kind == targets.LOCAL_PORT_FORWARDING
        speaks_mux = compare(agent, "3.0.196.0") > 0
        if forwarding and speaks_mux and compare(self._client_version, "1.1.70") >= 0:
            keep_alive = compare(self._client_version, "1.2.331.0") <= 0
            return MuxPort(self, where, keep_alive=keep_alive)
        return BasicPort(self, where, reconnecting=forwarding)

    async def _own_sshd(self, find: Callable[[Faults], Awaitable[int]]) -> str:
        try:
            return str(await find(self.faults()))
        except LabError as error:
            log.warning("agent: %s", error)
            raise targets.SessionError(str(error)) from error

    def _process(self, message: wire.Message) -> Outcome:
        if message.payload_type == wire.HANDSHAKE_RESPONSE:
            self._handshake_response(wire.json_object(message.payload))
            return Outcome.DONE
        if message.payload_type == wire.ENC_CHALLENGE_RESPONSE:
            return Outcome.DONE
        if not self._complete:
            log.info("agent: handshake in progress, message %d discarded", message.sequence)
            return Outcome.DONE
        if self._port is None or not self._port.ready:
            return Outcome.REJECTED
        return self._port.handle(message)

    def _handshake_response(self, response: dict[str, Any]) -> None:
        if self._response.done():
            return
        self._client_version = str(response.get("ClientVersion") or "")
        refusal = handshake.refusal(response)
        if refusal:
            self._response.set_exception(targets.SessionError(refusal))
            return
        # In the real agent another thread sends HandshakeComplete. Usually the ack goes out first.
        if self._race.random() < self.faults().complete_first:
            self._send_complete()
        else:
            self._timers.append(asyncio.get_running_loop().call_soon(self._send_complete))

    def _send_complete(self) -> None:
        complete = handshake.complete(
            time.monotonic_ns() - self._begin, self.faults().customer_message
        )
        self.channel.send(wire.HANDSHAKE_COMPLETE, complete)
        delay = self.faults().complete_ms / 1000
        if delay:
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(delay, self._completed))
        else:
            self._completed()

    def _completed(self) -> None:
        self._complete = True
        if not self._response.done():
            self._response.set_result(None)

    def _close(self) -> None:
        if self._port:
            self._port.stop()
        self.channel.close()
        for timer in self._timers:
            timer.cancel()
        if self._response.done() and not self._response.cancelled():
            self._response.exception()  # retrieve it: otherwise asyncio logs it


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        log.error("agent: worker failed", exc_info=task.exception())
