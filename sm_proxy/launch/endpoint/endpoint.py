"""Handle a request to the endpoint: check who signed it, add ssh to a job, pass it on."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from sm_proxy import error_handler
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import shapes
from sm_proxy.launch.endpoint import signatures, upstream
from sm_proxy.launch.endpoint.held_keys import Held, HeldKeys
from sm_proxy.launch.endpoint.http_server import Request, Response
from sm_proxy.launch.endpoint.lent_keys import LentKeys
from sm_proxy.launch.endpoint.signatures import Signature
from sm_proxy.launch.endpoint.upstream import Upstream, error_response
from sm_proxy.launch.shapes import Operation
from sm_proxy.local import debug_log
from sm_proxy.local.threads import Background

AddSsh = Callable[[Aws, Operation, dict[str, Any]], dict[str, Any]]
"""Makes a request one with ssh, and uploads what it needs; raises SmProxyError if it cannot."""
OnJob = Callable[[Operation, str, SmProxyError | None], None]
"""Called for each job that SageMaker accepted, with its name, and the reason if it has no ssh."""

_OK: Final = 200
_CLIENT_ERRORS: Final = range(400, 500)
_TARGET: Final = "SageMaker."
_INVOCATION: Final = "amz-sdk-invocation-id"
_REFUSALS: Final = frozenset({"AccessDeniedException", "ValidationException"})
"""Errors by which the service may refuse what we changed, such as a network."""
_INSIDE: Final = frozenset(
    {"CreateAutoMLJob", "CreateAutoMLJobV2", "CreateHyperParameterTuningJob", "CreateTransformJob"}
    | {"StartPipelineExecution"}
)
_FOREIGN: Final = (
    "sm-proxy launch cannot pass this request on: it is not signed with the credentials that the"
    " command inherits. If the program assumes a role or names a profile, start it with that role"
    " or profile (AWS_PROFILE), or call sm_proxy.sagemaker.enable_ssh in it instead."
)
_NOT_FOUND: Final = Response(404, (("content-length", "0"),), ())
_NO_SIGNATURE: Final = "The request has no signature of version 4 that sm-proxy launch can check."


class Endpoint:
    """Answers the requests of one command.

    Args:
        held: the keys that the command may use.
        add_ssh: called once for each job.
        on_job: shows the user a job.
        lent: the keys that the command asks us for, if it does.

    Attributes:
        path: the first part of every request's path: secret, so other users cannot use the port.
        came: how many requests came with that path.
        inside: operations that were accepted and whose jobs AWS creates itself, so without ssh.
    """

    def __init__(
        self, held: HeldKeys, add_ssh: AddSsh, on_job: OnJob, lent: LentKeys | None = None
    ) -> None:
        self.path = f"/{secrets.token_hex(24)}"
        self.came = 0
        self.inside: set[str] = set()
        self._held = held
        self._add_ssh = add_ssh
        self._on_job = on_job
        self._upstream = Upstream(held.sources[0])
        self._lent = lent
        self._creations: dict[tuple[str, ...], Background[Response]] = {}
        self._lock = threading.Lock()

    def admits(self, target: str) -> bool:
        """Whether a request's target begins with the secret path, or is that of the lent keys."""
        path, rest = target[: len(self.path)], target[len(self.path) :]
        return self._is_for_keys(target) or (_same(path, self.path) and rest[:1] in "/?")

    def handle(self, request: Request) -> Response:
        """Answer a request; it does not raise."""
        if not self.admits(request.target):
            return _NOT_FOUND
        if self._lent and self._is_for_keys(request.target):
            return _keys(self._lent, request.target[len(self._lent.path) :])
        rest = request.target[len(self.path) :]
        with self._lock:
            self.came += 1
        try:
            return self._answer(request, rest if rest.startswith("/") else f"/{rest}")
        except SmProxyError as error:
            return upstream.unreachable(error)
        except Exception:  # noqa: BLE001 - every bug ends here
            report = error_handler.report("launch")
            return error_response(500, "InternalFailure", f"sm-proxy: bug, please report {report}")

    def _is_for_keys(self, target: str) -> bool:
        lent = self._lent
        return lent is not None and _same(target[: len(lent.path)], lent.path)

    def _answer(self, request: Request, path: str) -> Response:
        signature = signatures.read(request)
        if signature is None:
            return error_response(403, "MissingAuthenticationTokenException", _NO_SIGNATURE)
        held = self._held.find(signature.access_key)
        if held is None or not signatures.is_genuine(request, signature, held.keys):
            return error_response(403, "AccessDeniedException", _FOREIGN)
        name = request.header("x-amz-target").removeprefix(_TARGET)
        debug_log.write("endpoint", operation=name, region=signature.region)
        call = _Call(request, path, signature, held)
        for operation in shapes.OPERATIONS:
            if operation == name:
                return self._create_once(operation, call)
        response = self._send(call)
        if name in _INSIDE and response.status == _OK:
            self.inside.add(name)
        return response

    def _send(self, call: _Call) -> Response:
        return self._upstream.send(call.request, call.path, call.signature, call.held)

    def _create_once(self, operation: Operation, call: _Call) -> Response:
        """Create a job. If the client gives up and tries again, it gets the first response.

        While we prepare a job, a client with a short timeout may do that. Its second request must
        not find the name taken. SDKs give all tries of one call the same id.
        """
        key = (operation, call.signature.region, call.request.header(_INVOCATION), call.digest)
        with self._lock:
            work = self._creations.get(key)
            if work is None or (work.done and not (key[2] and _created(work))):
                work = Background(lambda: self._create(operation, call))
                self._creations[key] = work
        return work.result()

    def _create(self, operation: Operation, call: _Call) -> Response:
        job, problem, changed = "", None, None
        try:
            wanted = _parse(call.request)
            job = str(wanted.get(shapes.of(operation).NAME, ""))
            aws = call.held.aws.in_region(call.signature.region)
            changed = call.with_parameters(wanted, self._add_ssh(aws, operation, wanted))
        except SmProxyError as error:
            problem = error
        except ServiceError as error:
            problem = error.as_failure()
        except Exception:  # noqa: BLE001 - a bug of ours must not stop the user's job
            problem = SmProxyError("bug", f"please report {error_handler.report('launch')}")
        if changed is not None:
            response = _whole(self._send(changed))
            problem = _refusal(response)
        if changed is None or problem is not None:
            # The job must not fail because of us: it runs as the program wants it.
            response = _whole(self._send(call))
        if response.status == _OK:
            self._on_job(operation, job, problem)
        return response


@dataclass(frozen=True)
class _Call:
    """A request that may be passed on.

    Attributes:
        request: as it came.
        path: its target at the service, with the query.
        signature: that it came with.
        held: the keys to sign with.
    """

    request: Request
    path: str
    signature: Signature
    held: Held

    @property
    def digest(self) -> str:
        """Of the body."""
        return hashlib.sha256(self.request.body).hexdigest()

    def with_parameters(self, old: dict[str, Any], new: dict[str, Any]) -> _Call:
        """The same call with other parameters; the very same bytes if they are equal."""
        if new == old:
            return self
        headers = tuple(pair for pair in self.request.headers if not _is_of_body(pair[0]))
        body = json.dumps(new).encode()
        return replace(self, request=replace(self.request, body=body, headers=headers))


def _created(work: Background[Response]) -> bool:
    return work.error is None and work.result().status == _OK


def _same(given: str, expected: str) -> bool:
    """Compare with a secret, in a time that does not depend on the matching part."""
    return hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode("latin-1"))


def _keys(lent: LentKeys, below: str) -> Response:
    try:
        body = lent.document(below)
    except SmProxyError as error:
        return upstream.unreachable(error)
    if body is None:
        return _NOT_FOUND
    return Response(_OK, (("content-length", str(len(body))),), (body,))


def _parse(request: Request) -> dict[str, Any]:
    """The parameters in a request's body.

    Raises:
        SmProxyError: `unsupported`, we cannot read it.
    """
    try:
        found = json.loads(request.body)
    except ValueError:
        found = None
    if isinstance(found, dict) and not request.header("content-encoding"):
        return found
    raise SmProxyError(
        "unsupported",
        "the request is not plain JSON",
        "Call sm_proxy.sagemaker.enable_ssh in the program instead.",
    )


def _is_of_body(name: str) -> bool:
    """Whether a header describes the body: it is wrong for another body."""
    return name == "content-md5" or name.startswith("x-amz-checksum-")


def _whole(response: Response) -> Response:
    """The response, with its body read."""
    return replace(response, chunks=(b"".join(response.chunks),))


def _refusal(response: Response) -> SmProxyError | None:
    """Why the service refuses the job; None if it does not, or if ssh cannot be the reason."""
    if response.status not in _CLIENT_ERRORS:
        return None
    try:
        told = json.loads(b"".join(response.chunks))
        code, message = str(told["__type"]).rpartition("#")[2], told.get("message", "")
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    if code not in _REFUSALS:
        return None
    what = f"SageMaker refuses the request with ssh: {code}: {message}"
    return SmProxyError("aws-error", what, "See what ssh changes: sm-proxy launch FILE --dry-run")
