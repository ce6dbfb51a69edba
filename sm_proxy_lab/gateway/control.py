"""The control socket: one JSON line in, one JSON line out, per connection."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from sm_proxy_lab.gateway import wire
from sm_proxy_lab.gateway.faults import UnknownFaultError, from_json
from sm_proxy_lab.gateway.service import (
    DEFAULT_AGENT_VERSION,
    NoSuchSessionError,
    NotConnectedError,
    Service,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sm_proxy_lab.gateway.session import Session

log = logging.getLogger("sm_proxy_lab.gateway")

Answer = dict[str, Any]


class Control:
    """Answers the requests of the AWS endpoint and of the tests."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._operations: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "start": self._start,
            "agent": self._agent,
            "resume": self._resume,
            "terminate": self._terminate,
            "list": self._list,
            "faults": self._faults,
            "close": self._close,
            "cut": self._cut,
            "freeze": self._freeze,
            "bye": self._bye,
            "tokens": self._tokens,
            "cut-tunnels": self._cut_tunnels,
            "push-key": self._push_key,
            "host-keys": self._host_keys,
            "forget-instances": self._forget_instances,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            line = await reader.readline()
            if line:
                writer.write(json.dumps(self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("control: %s", error)
        finally:
            writer.close()

    def answer(self, line: bytes | str) -> Answer:
        """Carry out one request."""
        try:
            request = wire.json_object(line)
            operation = self._operations.get(str(request.get("op")))
            if operation is None:
                return {"error": f"unknown op {request.get('op')!r}"}
            return operation(request)
        except NoSuchSessionError:
            return {"error": "DoesNotExistException"}
        except NotConnectedError as error:
            return {"error": "TargetNotConnected", "message": f"{error} is not connected."}
        except KeyError as error:
            return {"error": f"{error} is missing"}
        except (UnknownFaultError, wire.MalformedError, TypeError, AttributeError) as error:
            return {"error": str(error)}

    def _start(self, request: dict[str, Any]) -> Answer:
        version = str(request.get("agent_version") or DEFAULT_AGENT_VERSION)
        session = self._service.start(
            str(request["target"]),
            str(request["document"]),
            request.get("parameters") or {},
            version,
            dropped=bool(request.get("dropped")),
        )
        return self._service.credentials(session)

    def _agent(self, request: dict[str, Any]) -> Answer:
        """Tell whether the agent of a container is connected, and for how long."""
        age_s = self._service.faults.agent_connect_s
        agent = self._service.agents.find(str(request["target"]), age_s=age_s)
        return {"connected": agent is not None, **({"age_s": agent.age_s} if agent else {})}

    def _resume(self, request: dict[str, Any]) -> Answer:
        if self._service.faults.resume_broken:
            return {"error": "InternalServerError"}
        return self._service.credentials(self._find(request))

    def _terminate(self, request: dict[str, Any]) -> Answer:
        # It is not an error to terminate a session that has ended.
        session_id = str(request["session"])
        if not self._service.knows(session_id):
            raise NoSuchSessionError(session_id)
        for session in self._service.open_sessions():
            if session.id == session_id:
                session.end()
        return {"SessionId": session_id}

    def _list(self, _request: dict[str, Any]) -> Answer:
        return {
            "sessions": [
                {"id": session.id, "target": session.target, "state": session.state}
                for session in self._service.open_sessions()
            ]
        }

    def _tokens(self, _request: dict[str, Any]) -> Answer:
        """Return the tokens issued so far: a test searches all files for them."""
        return {"tokens": list(self._service.issued)}

    def _push_key(self, request: dict[str, Any]) -> Answer:
        """Let a user log in to an instance with a key for 60 seconds."""
        if self._service.faults.instance_connect:
            instance = self._service.instances.find(str(request["target"]))
            instance.push(str(request["user"]), str(request["key"]))
        return {}

    def _host_keys(self, request: dict[str, Any]) -> Answer:
        """Return the host keys that an instance has made at its first boot."""
        return {"keys": self._service.instances.find(str(request["target"])).host_keys()}

    def _forget_instances(self, request: dict[str, Any]) -> Answer:
        """End what runs for instances that were terminated."""
        for target in request.get("targets") or []:
            self._service.instances.forget(str(target))
        return {}

    def _faults(self, request: dict[str, Any]) -> Answer:
        self._service.set_faults(from_json(request.get("faults") or {}))
        return {}

    def _close(self, request: dict[str, Any]) -> Answer:
        self._find(request).end(str(request.get("text") or ""))
        return {}

    def _cut(self, request: dict[str, Any]) -> Answer:
        session = self._find(request)
        if request.get("side") == "agent":
            session.cut_agent(reset=bool(request.get("reset")))
        else:
            session.outages.cut()
        return {}

    def _cut_tunnels(self, _request: dict[str, Any]) -> Answer:
        return {"cut": self._service.tunnels.cut()}

    def _freeze(self, request: dict[str, Any]) -> Answer:
        self._find(request).outages.freeze()
        return {}

    def _bye(self, request: dict[str, Any]) -> Answer:
        self._find(request).outages.bye()
        return {}

    def _find(self, request: dict[str, Any]) -> Session:
        return self._service.find(str(request["session"]))
