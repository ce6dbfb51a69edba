"""Objects of the SageMaker SDKs: change the request that one of them sends.

While the method that submits a job runs, a botocore handler changes the request, after all that the
SDK does with it. So script mode, frameworks and Processors need no code of their own. The handler
stays on the client, but it acts only inside that method of that object: other jobs of the same
session are left as they are.

The SDKs take seconds to import and one process has only one of them. So nothing here imports them:
an object is known by the module and the name of its class, or of a class that this one extends.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import shapes
from sm_proxy.launch.shapes import Operation


class Switch(Protocol):
    """What happens to the requests of one object."""

    def explaining(self) -> AbstractContextManager[None]:
        """Around what raises our errors: it may change them for its users."""

    def change(self, operation: Operation, request: dict[str, Any], session: Any) -> dict[str, Any]:
        """The request to send instead; `session` is the boto3 session of the object."""

    def created(self, operation: Operation, name: str) -> None:
        """The service has accepted the job of this name."""

    def unseen(self, method: str) -> None:
        """This method has ended and has sent no request."""


@dataclass(frozen=True)
class _Kind:
    """A class of an SDK that submits jobs.

    Attributes:
        method: that submits a job.
        operation: that it calls.
        client: the botocore client that it calls, from the object and the class of the SDK.
    """

    method: str
    operation: Operation
    client: Callable[[Any, type], Any]


@dataclass
class _Submission:
    """A call of an object's method that submits a job, while it runs."""

    operation: Operation
    switch: Switch
    session: Any
    names: list[str] = field(default_factory=list)


_RUNNING: ContextVar[_Submission | None] = ContextVar("_RUNNING", default=None)
_MADE_BY_US: Final = "_sm_proxy_ssh"
_ACCEPTED: Final = 300


def _of_session(obj: Any, _: type) -> Any:
    return obj.sagemaker_session.sagemaker_client


def _of_resource(obj: Any, base: type) -> Any:
    """A ModelTrainer does not use its session's client, but one that the SDK keeps."""
    resource = getattr(sys.modules.get(base.__module__), "TrainingJob", None)
    if resource is None:
        raise _unsupported(
            obj,
            "we do not know this release of the SDK",
            "Use `sm-proxy launch -- python your_script.py`, and report it, please.",
        )
    return resource.get_sagemaker_client(session=obj.sagemaker_session.boto_session)


_ESTIMATOR: Final = _Kind("fit", "CreateTrainingJob", _of_session)
_PROCESSOR: Final = _Kind("run", "CreateProcessingJob", _of_session)
_TRAINER: Final = _Kind("train", "CreateTrainingJob", _of_resource)
_KINDS: Final = {
    "sagemaker.estimator.EstimatorBase": _ESTIMATOR,
    "sagemaker.processing.Processor": _PROCESSOR,
    "sagemaker.modules.train.model_trainer.ModelTrainer": _TRAINER,  # the later releases of SDK 2
    "sagemaker.core.processing.Processor": _PROCESSOR,
    "sagemaker.train.model_trainer.ModelTrainer": _TRAINER,
}
_TUNER: Final = (
    "a tuner creates no training job itself: the service creates them",
    "Train once without the tuner, with enable_ssh on its estimator or trainer.",
)
_CLARIFY: Final = (
    "its job has no program of yours: SageMaker runs its own analysis",
    "Use ScriptProcessor with your own script, and enable_ssh on that.",
)
_REFUSED: Final = {
    "sagemaker.clarify.SageMakerClarifyProcessor": _CLARIFY,
    "sagemaker.core.clarify.SageMakerClarifyProcessor": _CLARIFY,
    "sagemaker.tuner.HyperparameterTuner": _TUNER,
    "sagemaker.train.tuner.HyperparameterTuner": _TUNER,
    "sagemaker.train.base_trainer.BaseTrainer": (
        "its job has no container of yours: SageMaker runs its own recipe",
        "Use ModelTrainer with your own script, and enable_ssh on that.",
    ),
}
_PIPELINE: Final = (
    "its PipelineSession creates no job: the pipeline does, later",
    "Use a plain Session, or run `sm-proxy relaunch JOB` for a job of the pipeline.",
)
_LOCAL: Final = (
    "local mode runs the container on this machine",
    "Use `docker exec -it CONTAINER bash` to enter it.",
)


def attach(obj: Any, switch: Switch) -> None:
    """Let `switch` change the request of each job that this object submits from now on.

    The object gets a class of its own that extends its class, so a copy of it acts alike. Attached
    again, the new switch takes the place of the former one.

    Args:
        obj: an Estimator, a ModelTrainer or a Processor of SDK 2 or 3.
        switch: see there. What it raises ends the SDK's call before anything is sent.

    Raises:
        SmProxyError: `unsupported`, the object submits no job that ssh could enter.
    """
    kind, base = _kind_of(obj)
    _refuse_session(obj)
    cls: Any = type(obj)
    if _MADE_BY_US in cls.__dict__:
        cls = cls.__base__
    submit = getattr(cls, kind.method)

    @functools.wraps(submit)
    def submit_with_ssh(self: Any, *args: Any, **kwargs: Any) -> Any:
        with switch.explaining():
            _refuse_session(self)  # it may have been given another one since
            listen(kind.client(self, base))
        submission = _Submission(kind.operation, switch, self.sagemaker_session.boto_session)
        token = _RUNNING.set(submission)
        try:
            result = submit(self, *args, **kwargs)
        finally:
            _RUNNING.reset(token)
        if not submission.names and not kwargs.get("dry_run"):
            switch.unseen(f"{cls.__name__}.{kind.method}")
        return result

    listen(kind.client(obj, base))
    names = ("__module__", "__qualname__", "__doc__")
    looks = {name: getattr(cls, name) for name in names}
    made = type(cls)(cls.__name__, (cls,), {**looks, kind.method: submit_with_ssh})
    setattr(made, _MADE_BY_US, True)
    object.__setattr__(obj, "__class__", made)  # pydantic forbids the plain way


def listen(client: Any) -> None:
    """Put our handlers on a botocore client, once.

    They stay: while a thread adds a handler, botocore may forget it for a call of another thread.
    """
    for operation in shapes.OPERATIONS:
        for event, handler in (("before-parameter-build", _before), ("after-call", _after)):
            name = f"{event}.sagemaker.{operation}"
            client.meta.events.register_last(name, handler, unique_id=f"sm-proxy-{name}")


def _before(params: dict[str, Any], model: Any, **_: Any) -> None:
    running = _RUNNING.get()
    if running is None or model.name != running.operation:
        return
    changed = running.switch.change(running.operation, dict(params), running.session)
    params.clear()
    params.update(changed)
    running.names.append(changed[shapes.of(running.operation).NAME])


def _after(http_response: Any, model: Any, **_: Any) -> None:
    running = _RUNNING.get()
    if running and model.name == running.operation and http_response.status_code < _ACCEPTED:
        running.switch.created(running.operation, running.names[-1])


def _kind_of(obj: Any) -> tuple[_Kind, type]:
    """The kind of an object, and the class of the SDK that tells it."""
    for base in type(obj).__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name in _REFUSED:
            raise _unsupported(obj, *_REFUSED[name])
        if name in _KINDS:
            return _KINDS[name], base
    raise _unsupported(
        obj,
        "it is not an Estimator, a ModelTrainer or a Processor of the `sagemaker` package",
        "For any other program, use `sm-proxy launch -- python your_script.py`.",
    )


def _refuse_session(obj: Any) -> None:
    names = {base.__name__ for base in type(obj.sagemaker_session).__mro__}
    if "PipelineSession" in names:
        raise _unsupported(obj, *_PIPELINE)
    mode = getattr(getattr(obj, "training_mode", None), "value", "")
    if "LocalSession" in names or mode == "LOCAL_CONTAINER":
        raise _unsupported(obj, *_LOCAL)


def _unsupported(obj: Any, why: str, hint: str) -> SmProxyError:
    return SmProxyError("unsupported", f"{type(obj).__name__} cannot get ssh: {why}", hint)
