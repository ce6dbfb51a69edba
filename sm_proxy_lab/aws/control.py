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
            asked = json.loads(body or b"{}")
            return _reply(200, self._serve(method, unquote(path.removeprefix(PREFIX)), asked))
        except LookupError as error:
            return _reply(404, {"error": f"not found: {error}"})
        except (ValueError, TypeError) as error:
            return _reply(400, {"error": str(error)})
        except GatewayError as error:
            return _reply(502, {"error": str(error)})

    def _serve(self, method: str, path: str, asked: dict[str, Any]) -> object:
        kind, _, name = path.partition("/")
        if kind == "faults" and not name:
            return self._faults(method, asked)
        if method == "PUT" and kind in {"jobs", "plugged"} and name:
            return (self._move if kind == "jobs" else self._plug)(name, asked)
        if method == "PUT" and kind in {"processing", "transform"} and name:
            jobs = self._app.sagemaker.batch[kind.capitalize()]
            return jobs.move(name, asked["status"], asked.get("failure_reason")).describe()
        if (method, path) == ("GET", "jobs"):
            return [job.describe() for job in self._app.sagemaker.jobs()]
        if (method, path) == ("GET", "sessions"):
            answer = self._app.gateway.ask("list")
            return [session["id"] for session in answer.get("sessions", [])]
        if (method, path) in {("POST", "logs"), ("POST", "filler")}:
            return self._write(path, asked)
        raise LookupError(f"{method} {PREFIX}{path}")

    def _faults(self, method: str, asked: dict[str, Any]) -> object:
        faults = self._app.faults
        if method in {"PUT", "PATCH", "DELETE"}:
            asked = {} if method == "DELETE" else asked
            replace = method != "PATCH"
            faults.validate(asked)
            before = faults["gateway"]
            after = asked.get("gateway", {} if replace else before)
            # Ask the gateway only for its own faults: a test may run without a gateway.
            if after != before or "gateway" in asked:
                answer = self._app.gateway.ask("faults", faults=after)
                if "error" in answer:
                    raise ValueError(f"the gateway: {answer['error']}")
            faults.merge(asked, replace=replace)
        elif method != "GET":
            raise LookupError(f"{method} {PREFIX}faults")
        return faults.document()

    def _move(self, name: str, asked: dict[str, Any]) -> object:
        secondary = asked.get("secondary")
        if not isinstance(secondary, str):
            raise ValueError('the body must be {"secondary": SecondaryStatus}')  # noqa: TRY004 - one kind of refusal
        move = self._app.sagemaker.move
        job = move(name, secondary, asked.get("message"), asked.get("failure_reason"))
        self._app.ssm.end_sessions()
        return job.describe()

    def _plug(self, name: str, asked: dict[str, Any]) -> object:
        request = self._app.sagemaker.find(name).request
        groups = request.get("VpcConfig", {}).get("SecurityGroupIds", [])
        self._app.enforcement.plug(asked["addresses"], groups)
        return {}

    def _write(self, what: str, asked: dict[str, Any]) -> object:
        missing = {"group", "stream"} - set(asked)
        if missing:
            raise ValueError(f"missing: {', '.join(sorted(missing))}")
        job = str(asked["stream"]).partition("/")[0]
        region = asked.get("region") or self._app.sagemaker.region_of(job) or DEFAULT_REGION
        if what == "filler":
            self._app.logs.fill(region, asked["group"], asked["stream"], int(asked["count"]))
        else:
            self._app.logs.put(region, asked["group"], asked["stream"], asked["events"])
        return {}


def _reply(status: int, result: object) -> Reply:
    return Reply(status, json.dumps(result).encode(), {"Content-Type": "application/json"})
