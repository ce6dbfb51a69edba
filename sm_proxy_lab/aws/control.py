"""The control plane under /_lab/, for the supervisor and the tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sm_proxy_lab.aws.http.call import DEFAULT_REGION
from sm_proxy_lab.aws.http.errors import Reply
from sm_proxy_lab.aws.ssm.gateway_client import GatewayError

if TYPE_CHECKING:
    from sm_proxy_lab.aws.app import AwsApp

PREFIX = "/_lab/"


class Control:
    """Answers the requests to the control plane."""

    def __init__(self, app: AwsApp) -> None:
        self._app = app

    def answer(self, method: str, path: str, body: bytes) -> Reply:
        """Answer one request. Both bodies are JSON; an error is `{"error": reason}`."""
        try:
            params = json.loads(body or b"{}")
            return _reply(200, self._serve(method, unquote(path.removeprefix(PREFIX)), params))
        except LookupError as error:
            return _reply(404, {"error": f"not found: {error}"})
        except (ValueError, TypeError) as error:
            return _reply(400, {"error": str(error)})
        except GatewayError as error:
            return _reply(502, {"error": str(error)})

    def _serve(self, method: str, path: str, params: dict[str, Any]) -> object:
        kind, _, name = path.partition("/")
        if kind == "faults" and not name:
            return self._faults(method, params)
        if method == "PUT" and kind in {"jobs", "plugged"} and name:
            return (self._move if kind == "jobs" else self._plug)(name, params)
        if method == "PUT" and kind in {"processing", "transform"} and name:
            jobs = self._app.sagemaker.batch[kind.capitalize()]
            return jobs.move(name, params["status"], params.get("failure_reason")).describe()
        if (method, path) == ("GET", "jobs"):
            return [job.describe() for job in self._app.sagemaker.jobs()]
        if (method, path) == ("GET", "sessions"):
            answer = self._app.gateway.ask("list")
            return [session["id"] for session in answer.get("sessions", [])]
        if (method, path) in {("POST", "logs"), ("POST", "filler")}:
            return self._write(path, params)
        raise LookupError(f"{method} {PREFIX}{path}")

    def _faults(self, method: str, params: dict[str, Any]) -> object:
        faults = self._app.faults
        if method in {"PUT", "PATCH", "DELETE"}:
            params = {} if method == "DELETE" else params
            replace = method != "PATCH"
            faults.validate(params)
            before = faults["gateway"]
            after = params.get("gateway", {} if replace else before)
            # Ask the gateway only for its own faults: a test may run without a gateway.
            if after != before or "gateway" in params:
                answer = self._app.gateway.ask("faults", faults=after)
                if "error" in answer:
                    raise ValueError(f"the gateway: {answer['error']}")
            faults.merge(params, replace=replace)
        elif method != "GET":
            raise LookupError(f"{method} {PREFIX}faults")
        return faults.document()

    def _move(self, name: str, params: dict[str, Any]) -> object:
        secondary = params.get("secondary")
        if not isinstance(secondary, str):
            raise ValueError('the body must be {"secondary": SecondaryStatus}')  # noqa: TRY004 - one kind of refusal
        move = self._app.sagemaker.move
        job = move(name, secondary, params.get("message"), params.get("failure_reason"))
        self._app.ssm.end_sessions()
        return job.describe()

    def _plug(self, name: str, params: dict[str, Any]) -> object:
        request = self._app.sagemaker.find(name).request
        groups = request.get("VpcConfig", {}).get("SecurityGroupIds", [])
        self._app.enforcement.plug(params["addresses"], groups)
        return {}

    def _write(self, what: str, params: dict[str, Any]) -> object:
        missing = {"group", "stream"} - set(params)
        if missing:
            raise ValueError(f"missing: {', '.join(sorted(missing))}")
        job = str(params["stream"]).partition("/")[0]
        region = params.get("region") or self._app.sagemaker.region_of(job) or DEFAULT_REGION
        if what == "filler":
            self._app.logs.fill(region, params["group"], params["stream"], int(params["count"]))
        else:
            self._app.logs.put(region, params["group"], params["stream"], params["events"])
        return {}


def _reply(status: int, result: object) -> Reply:
    return Reply(status, json.dumps(result).encode(), {"Content-Type": "application/json"})
