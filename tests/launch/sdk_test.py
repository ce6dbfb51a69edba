"""Objects like those of the SageMaker SDKs, known by module and name, with a real botocore client.

`tests/sdk` has the SDKs themselves.
"""

from __future__ import annotations

import contextlib
import copy
import re
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar

import boto3
import pytest
from botocore.client import BaseClient
from botocore.stub import Stubber

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import sdk

ROLE = "arn:aws:iam::123456789012:role/r"


class Session:
    """The SDK's session: one client for all who use it."""

    def __init__(self) -> None:
        self.boto_session = boto3.Session("AKIA", "secret", region_name="eu-west-1")
        self.sagemaker_client = self.boto_session.client("sagemaker")
        events = self.sagemaker_client.meta.events
        events.register("before-call.sagemaker", self._answer)

    def _answer(self, model: Any, **_: Any) -> tuple[Any, dict[str, Any]]:
        return type("Http", (), {"status_code": 200, "headers": {}})(), {"of": model.name}


class PipelineSession(Session):
    pass


class LocalSession(Session):
    pass


class Estimator:
    __module__ = "sagemaker.estimator"
    __qualname__ = "EstimatorBase"

    def __init__(self, session: Session | None = None) -> None:
        self.sagemaker_session = session or Session()

    def fit(self, name: str = "bert", *, dry_run: bool = False) -> str:
        """Train."""
        if not dry_run:
            self.sagemaker_session.sagemaker_client.create_training_job(**request(name))
        return f"trained {name}"


class PyTorch(Estimator):
    __module__ = "sagemaker.pytorch"


class Processor:
    __module__ = "sagemaker.core.processing"
    __qualname__ = "Processor"

    def __init__(self) -> None:
        self.sagemaker_session = Session()

    def run(self, name: str = "split") -> None:
        self.sagemaker_session.sagemaker_client.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            AppSpecification={"ImageUri": "image"},
            ProcessingResources={
                "ClusterConfig": {
                    "InstanceCount": 1,
                    "InstanceType": "ml.m5.large",
                    "VolumeSizeInGB": 30,
                }
            },
        )


class TrainingJob:
    """SDK 3's resource: it keeps one client for each session, apart from the session's own."""

    clients: ClassVar[dict[int, Any]] = {}

    @classmethod
    def get_sagemaker_client(cls, session: Any) -> Any:
        if id(session) not in cls.clients:
            cls.clients[id(session)] = client = session.client("sagemaker")
            client.meta.events.register("before-call.sagemaker", Session._answer.__get__(session))
        return cls.clients[id(session)]


class ModelTrainer:
    """A pydantic model: its attributes cannot be set in the plain way."""

    __module__ = "sagemaker.train.model_trainer"
    __qualname__ = "ModelTrainer"

    def __init__(self, session: Session | None = None) -> None:
        object.__setattr__(self, "sagemaker_session", session or Session())

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"pydantic forbids {name}")

    def train(self, name: str = "bert") -> None:
        session: Any = self.__dict__["sagemaker_session"].boto_session
        TrainingJob.get_sagemaker_client(session).create_training_job(**request(name))


def request(name: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
    }


class Switch:
    """Adds a variable to each request."""

    def __init__(self, value: str = "yes") -> None:
        self.value = value
        self.seen: list[str] = []
        self.told: list[str] = []

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        try:
            yield
        except SmProxyError as error:
            raise SmProxyError(error.code, f"explained: {error.message}") from None

    def change(self, operation: str, request: dict[str, Any], session: Any) -> dict[str, Any]:
        assert session.region_name == "eu-west-1"
        self.seen.append(operation)
        return {**request, "Environment": {"SSH": self.value}}

    def created(self, operation: str, name: str) -> None:
        assert self.seen[-1] == operation
        self.told.append(f"created {name}")

    def unseen(self, method: str) -> None:
        self.told.append(f"unseen {method}")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What reaches the service: the parameters that botocore serializes."""
    found: list[dict[str, Any]] = []
    convert = BaseClient.__dict__["_convert_to_request_dict"]

    def spy(self: Any, api_params: dict[str, Any], *words: Any, **named: Any) -> Any:
        found.append(api_params)
        return convert(self, api_params, *words, **named)

    monkeypatch.setattr(BaseClient, "_convert_to_request_dict", spy)
    module = ModuleType("sagemaker.train.model_trainer")
    module.__dict__["TrainingJob"] = TrainingJob
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return found


def environments(sent: list[dict[str, Any]]) -> list[str | None]:
    return [item.get("Environment", {}).get("SSH") for item in sent]


@pytest.mark.parametrize("make", [Estimator, PyTorch, Processor, ModelTrainer])
def test_the_request_is_changed(make: Any, sent: list[dict[str, Any]]) -> None:
    obj, switch = make(), Switch()
    sdk.attach(obj, switch)
    method = next(name for name in ("fit", "run", "train") if hasattr(obj, name))
    getattr(obj, method)("one")
    getattr(obj, method)("two")
    assert environments(sent) == ["yes", "yes"]
    assert switch.told == ["created one", "created two"]
    operation = "CreateProcessingJob" if make is Processor else "CreateTrainingJob"
    assert switch.seen == [operation] * 2


@pytest.mark.parametrize("make", [Estimator, ModelTrainer])
def test_other_objects_of_the_session_are_left_alone(make: Any, sent: list[dict[str, Any]]) -> None:
    session = Session()
    obj, other = make(session), make(session)
    sdk.attach(obj, Switch())
    later = make(session)
    for one in (other, obj, later):
        (one.fit if make is Estimator else one.train)()
    session.sagemaker_client.create_training_job(**request("by-hand"))
    assert environments(sent) == [None, "yes", None, None]


def test_jobs_of_other_threads_are_left_alone(sent: list[dict[str, Any]]) -> None:
    session = Session()
    obj = Estimator(session)
    inside, done = threading.Event(), threading.Event()

    class Slow(Switch):
        def change(self, operation: str, request: dict[str, Any], session: Any) -> dict[str, Any]:
            inside.set()
            assert done.wait(60)
            return super().change(operation, request, session)

    sdk.attach(obj, Slow())
    thread = threading.Thread(target=obj.fit)
    thread.start()
    assert inside.wait(60)
    Estimator(session).fit("other")
    done.set()
    thread.join(60)
    assert environments(sent) == [None, "yes"]


def test_many_threads_keep_their_own_options(sent: list[dict[str, Any]]) -> None:
    session = Session()
    objects = [Estimator(session) for _ in range(8)]
    for number, obj in enumerate(objects):
        sdk.attach(obj, Switch(str(number)))
    threads = [
        threading.Thread(target=obj.fit, args=(f"job-{number}",))
        for number, obj in enumerate(objects)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = {item["TrainingJobName"]: item["Environment"]["SSH"] for item in sent}
    assert found == {f"job-{number}": str(number) for number in range(8)}


def test_a_second_switch_takes_the_place_of_the_first(sent: list[dict[str, Any]]) -> None:
    obj = PyTorch()
    sdk.attach(obj, Switch("first"))
    depth = len(type(obj).__mro__)
    sdk.attach(obj, Switch("second"))
    obj.fit()
    assert environments(sent) == ["second"]
    assert len(type(obj).__mro__) == depth


def test_the_object_looks_as_before() -> None:
    obj = PyTorch()
    sdk.attach(obj, Switch())
    assert isinstance(obj, PyTorch)
    assert type(obj).__name__ == "PyTorch"
    assert type(obj).__module__ == "sagemaker.pytorch"
    assert obj.fit.__doc__ == "Train."


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_submits_itself(copied: Any, sent: list[dict[str, Any]]) -> None:
    obj = Estimator()
    sdk.attach(obj, Switch())
    session, obj.sagemaker_session = obj.sagemaker_session, None  # type: ignore[assignment]
    other = copied(obj)
    other.sagemaker_session = session
    other.fit()
    assert environments(sent) == ["yes"]


def test_a_session_given_later_is_used(sent: list[dict[str, Any]]) -> None:
    obj = Estimator()
    sdk.attach(obj, Switch())
    obj.sagemaker_session = Session()
    obj.fit()
    assert environments(sent) == ["yes"]
    obj.sagemaker_session = PipelineSession()
    with pytest.raises(SmProxyError, match=r"explained: .* PipelineSession"):
        obj.fit()
    assert len(sent) == 1


def test_a_handler_of_the_user_is_kept(sent: list[dict[str, Any]]) -> None:
    obj = Estimator()

    def rename(params: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {**params, "TrainingJobName": "renamed"}

    events = obj.sagemaker_session.sagemaker_client.meta.events
    events.register("provide-client-params.sagemaker.CreateTrainingJob", rename)
    switch = Switch()
    sdk.attach(obj, switch)
    obj.fit()
    assert sent[0]["TrainingJobName"] == "renamed"
    assert environments(sent) == ["yes"]
    assert switch.told == ["created renamed"]


def test_an_error_ends_the_call_before_anything_is_sent(sent: list[dict[str, Any]]) -> None:
    class Refusing(Switch):
        def change(self, *_: object) -> dict[str, Any]:
            raise SmProxyError("no-vpc", "no")

    obj, refusing = Estimator(), Refusing()
    sdk.attach(obj, refusing)
    with pytest.raises(SmProxyError, match="no"):
        obj.fit()
    assert sent == []
    assert refusing.told == []
    Estimator(obj.sagemaker_session).fit()
    assert environments(sent) == [None]


def test_a_refused_job_is_not_announced() -> None:
    obj, switch = Estimator(), Switch()
    client = obj.sagemaker_session.boto_session.client("sagemaker")
    obj.sagemaker_session.sagemaker_client = client
    sdk.attach(obj, switch)
    with Stubber(client) as stub:
        stub.add_client_error("create_training_job", "ResourceInUse", http_status_code=400)
        with pytest.raises(client.exceptions.ResourceInUse):
            obj.fit()
    assert switch.seen == ["CreateTrainingJob"]
    assert switch.told == []


def test_a_call_that_sends_nothing_is_reported(sent: list[dict[str, Any]]) -> None:
    obj, switch = Estimator(), Switch()
    sdk.attach(obj, switch)
    obj.fit(dry_run=True)
    assert switch.told == []
    other = Session().sagemaker_client
    obj.sagemaker_session = Quiet(obj.sagemaker_session, other)  # type: ignore[assignment]
    obj.fit()
    assert environments(sent) == [None]
    assert switch.told == ["unseen Estimator.fit"]


class Quiet:
    """A session that calls another client than it shows at first."""

    def __init__(self, session: Session, other: Any) -> None:
        self.boto_session = session.boto_session
        self._clients = iter([session.sagemaker_client, other])

    @property
    def sagemaker_client(self) -> Any:
        return next(self._clients)


class Tuner:
    __module__ = "sagemaker.tuner"
    __qualname__ = "HyperparameterTuner"


class BaseTrainer:
    __module__ = "sagemaker.train.base_trainer"
    __qualname__ = "BaseTrainer"


class SFTTrainer(BaseTrainer):
    __module__ = "sagemaker.train.sft_trainer"


class Clarify(Processor):
    """Its own methods call `run` of Processor, past the one that an object of ours has."""

    __module__ = "sagemaker.clarify"
    __qualname__ = "SageMakerClarifyProcessor"


def local_trainer() -> Any:
    found = ModelTrainer()
    found.__dict__["training_mode"] = type("Mode", (), {"value": "LOCAL_CONTAINER"})
    return found


def test_an_unknown_release_of_an_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "sagemaker.train.model_trainer"
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(SmProxyError, match="this release of the SDK"):
        sdk.attach(ModelTrainer(), Switch())


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (Tuner(), "the service creates them.*without the tuner"),
        (SFTTrainer(), "no container of yours.*ModelTrainer"),
        (Clarify(), "its own analysis.*ScriptProcessor"),
        (Estimator(PipelineSession()), "the pipeline does, later.*relaunch"),
        (Estimator(LocalSession()), "this machine.*docker exec"),
        (local_trainer(), "this machine.*docker exec"),
        (object(), "not an Estimator.*sm-proxy launch -- python"),
        (None, "NoneType cannot get ssh"),
        (Estimator, "type cannot get ssh"),
    ],
    ids=[
        "tuner",
        "recipe",
        "clarify",
        "pipeline",
        "local",
        "local-trainer",
        "other",
        "none",
        "class",
    ],
)
def test_an_unsupported_object_is_refused(obj: Any, words: str) -> None:
    before = type(obj)
    with pytest.raises(SmProxyError) as caught:
        sdk.attach(obj, Switch())
    assert re.search(words, caught.value.text)
    assert caught.value.code == "unsupported"
    assert type(obj) is before
