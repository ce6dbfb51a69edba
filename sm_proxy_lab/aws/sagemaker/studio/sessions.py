"""sagemaker:StartSession: the data channel to a space."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.gateway_client import GatewayClient, GatewayError
from sm_proxy_lab.aws.http.call import ACCOUNT
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.sagemaker.studio.records import (
    IN_SERVICE,
    App,
    Key,
    Records,
    invalid,
)
from sm_proxy_lab.gateway import SPACE_PORT

if TYPE_CHECKING:
    from sm_proxy_lab.aws.faults import Faults
    from sm_proxy_lab.aws.http.call import Call

_ARN: Final = re.compile(r"arn:([\w-]+):sagemaker:([\w-]+):(\d{12}):space/(d-[^/]+)/([^/]+)")
_CONNECTIONS: Final = 10
"""Live connections to a space. Source: Developer Guide, "Connect your Remote IDE"."""
_ANSWER: Final = ("SessionId", "StreamUrl", "TokenValue")


class SpaceSessions:
    """Sessions to spaces. They belong to the service: no caller may resume or terminate one."""

    def __init__(self, records: Records, gateway: GatewayClient, faults: Faults) -> None:
        self._records = records
        self._gateway = gateway
        self._faults = faults
        self._started: set[str] = set()
        self._starting = threading.Lock()
        self.operations = {"StartSession": self._start}

    def has(self, session: str) -> bool:
        """Whether a session leads to a space."""
        return session in self._started

    def up_since(self, target: str) -> float | None:
        """Since when an app's container is up, in seconds since 1970; None if it is not."""
        try:
            answer = self._gateway.ask("agent", target=target)
        except GatewayError:
            return None
        return time.time() - float(answer.get("age_s", 0)) if answer.get("connected") else None

    def _start(self, call: Call) -> dict[str, Any]:
        app = self._app(call)
        lag_s = self._faults.studio_s("registration_ms")()
        if app.in_service is None or time.time() < app.in_service + lag_s:
            raise _internal()
        with self._starting:  # two at once must not both take the last place
            return self._start_at(app.target)

    def _start_at(self, target: str) -> dict[str, Any]:
        if self._count(target) >= _CONNECTIONS:
            message = f"The space has {_CONNECTIONS} connections, which is the limit."
            raise AwsError("ResourceLimitExceeded", message)
        # The document is assumed to be like AWS's for HyperPod's spaces.
        port = {"portNumber": [SPACE_PORT]}
        told = {"target": target, "document": "AWS-StartSSHSession", "parameters": port}
        try:
            answer = self._gateway.ask("start", **told)
        except GatewayError:
            raise _internal() from None
        if "error" in answer:
            raise _internal()
        self._started.add(answer["SessionId"])
        return {name: answer[name] for name in _ANSWER}

    def _app(self, call: Call) -> App:
        key = _key_of(call)
        with self._records.lock:
            space = self._records.spaces.get(key)
            if space is None:
                raise AwsError("ResourceNotFound", f"Space [{key[2]}] does not exist.")
            if space.request.get("SpaceSettings", {}).get("RemoteAccess") != "ENABLED":
                raise invalid(f"RemoteAccess is not enabled for the space [{key[2]}].")
            app = self._records.app_of(key)
            if app is None or app.status != IN_SERVICE:
                raise AwsError("ResourceNotFound", f"The space [{key[2]}] has no running app.")
            return app

    def _count(self, target: str) -> int:
        """How many sessions to a target are open, with those that wait for their client."""
        try:
            open_now = self._gateway.ask("list").get("sessions", [])
        except GatewayError:
            raise _internal() from None
        return sum(session["target"] == target for session in open_now)


def _key_of(call: Call) -> Key:
    found = _ARN.fullmatch(call.params["ResourceIdentifier"])
    if found is None:
        raise invalid("ResourceIdentifier is not the ARN of a space.")
    if (found[1], found[2], found[3]) != (call.partition, call.region, ACCOUNT):
        raise AwsError("ResourceNotFound", f"Space [{found[5]}] does not exist.")
    return call.region, found[4], found[5]


def _internal() -> AwsError:
    """What the service says while the space is not yet registered with Systems Manager."""
    message = "The request processing has failed because of an unknown error, exception or failure."
    return AwsError("InternalFailure", message, 500)
