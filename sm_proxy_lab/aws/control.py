"""The control plane under /_lab/, for the supervisor and the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sm_proxy_lab.aws.ecr import images
from sm_proxy_lab.aws.gateway_client import GatewayError
from sm_proxy_lab.aws.http.call import DEFAULT_REGION
from sm_proxy_lab.aws.http.errors import Reply

if TYPE_CHECKING:
    from sm_proxy_lab.aws.app import AwsApp

PREFIX = "/_lab/"


class Control:
    """Answers the requests to the control plane."""

    def __init__(self, app: AwsApp) -> None:
        self._app = app
        # (method, first part of the path, whether more follows) -> what answers.
        self._routes: dict[tuple[str, str, bool], Callable[[str, dict[str, Any]], object]] = {
            ("GET", "jobs", False): self._list_jobs,
            ("PUT", "jobs", True): self._move,
            ("PUT", "plugged", False): self._plug,
            ("PUT", "processing", True): partial(self._move_batch, "Processing"),
            ("PUT", "transform", True): partial(self._move_batch, "Transform"),
            ("PUT", "clusters", True): self._move_node,
            ("DELETE", "clusters", True): self._remove_cluster,
            ("GET", "sessions", False): self._list_sessions,
            ("POST", "logs", False): partial(self._write, "logs"),
            ("POST", "filler", False): partial(self._write, "filler"),
            ("PUT", "images", False): self._put_image,
            ("POST", "images", False): self._find_image,
        }

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
        served = self._routes.get((method, kind, bool(name)))
        if served is None:
            raise LookupError(f"{method} {PREFIX}{path}")
        return served(name, params)

    def _list_jobs(self, _name: str, _params: dict[str, Any]) -> object:
        return [job.describe() for job in self._app.sagemaker.jobs()]

    def _list_sessions(self, _name: str, _params: dict[str, Any]) -> object:
        answer = self._app.gateway.ask("list")
        return [session["id"] for session in answer.get("sessions", [])]

    def _move_batch(self, kind: str, name: str, params: dict[str, Any]) -> object:
        ending = params.get("failure_reason"), params.get("exit_message")
        job = self._app.sagemaker.batch[kind].move(name, params["status"], *ending)
        if job.ended is not None:
            self._app.interfaces.remove(name)
        return job.describe()

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
        if job.ended is not None:
            self._app.interfaces.remove(name)
        return job.describe()

    def _move_node(self, name: str, params: dict[str, Any]) -> object:
        described = self._app.sagemaker.clusters.move(name, **params)
        self._app.ssm.end_sessions()
        return described

    def _remove_cluster(self, name: str, _params: dict[str, Any]) -> object:
        self._app.sagemaker.clusters.remove(name)
        return {}

    def _plug(self, _name: str, params: dict[str, Any]) -> object:
        addresses, groups = params["addresses"], params["groups"]
        self._app.enforcement.plug(addresses, groups)
        macs, owner = params.get("macs", []), params.get("owner", "")
        region = params.get("region") or DEFAULT_REGION
        self._app.interfaces.add(addresses, macs, groups, owner, region)
        return {}

    def _put_image(self, _name: str, params: dict[str, Any]) -> object:
        uri = str(params.pop("uri"))
        return {"digest": self._app.ecr.put(uri, images.push(**params))}

    def _find_image(self, _name: str, params: dict[str, Any]) -> object:
        found = self._app.ecr.find(str(params["uri"]))
        if found is None:
            raise LookupError(params["uri"])
        documents = [json.loads(config.content) for config in found.configs]
        fitting = (image for image in documents if image["architecture"] == "amd64")
        document = next(fitting, documents[0])
        built = self._app.codebuild.built(found.layers)
        return {**document, "lab": built} if built else document

    def _write(self, what: str, _name: str, params: dict[str, Any]) -> object:
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
