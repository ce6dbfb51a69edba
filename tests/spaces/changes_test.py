"""Each step of a start is waited for, and each failure is explained."""

from __future__ import annotations

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.kinds import _described_space
from sm_proxy.settings import deadline
from sm_proxy.settings.deadline import Deadline
from sm_proxy.spaces import changes, plan, waiting
from sm_proxy.spaces.waiting import Waiter
from tests.fakes import Answer, Clock, FakeAws
from tests.spaces.fake_studio import DOMAIN, NAME, SPEC, FakeStudio, changing, given, refused

AGAIN = "sm-proxy start sm-Lab.space"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    for module in (changes, deadline, waiting):
        monkeypatch.setattr(module, "time", fake)
    return fake


class Run:
    """One start."""

    def __init__(self, studio: FakeStudio, seconds: float = 900, instance_type: str = "") -> None:
        self.studio = studio
        self.aws: FakeAws = studio.aws()
        self.said: list[str] = []
        self.waiter = Waiter(Deadline(seconds), self.said.append, AGAIN)
        self._instance_type = instance_type

    def start(self) -> None:
        found = _described_space.describe(self.aws, DOMAIN, NAME)
        found = changes.settled(self.aws, found, self.waiter)
        changes.carry_out(self.aws, plan.make(found, self._instance_type), self.waiter)

    def failure(self) -> SmProxyError:
        with pytest.raises(SmProxyError) as caught:
            self.start()
        return caught.value


def test_a_stopped_space_is_started() -> None:
    run = Run(FakeStudio())
    run.start()
    assert changing(run.aws) == ["CreateApp"]
    assert given(run.aws, "CreateApp") == {
        "DomainId": DOMAIN,
        "SpaceName": NAME,
        "AppType": "JupyterLab",
        "AppName": "default",
        "ResourceSpec": SPEC,
    }
    assert run.said == ["Lab: its app is Pending"]


def test_a_restart_goes_step_by_step() -> None:
    run = Run(FakeStudio("InService", remote=False), instance_type="ml.g5.xlarge")
    run.start()
    assert changing(run.aws) == ["DeleteApp", "UpdateSpace", "CreateApp"]
    told = given(run.aws, "UpdateSpace")["SpaceSettings"]
    bigger = {**SPEC, "InstanceType": "ml.g5.xlarge"}
    assert told == {
        "RemoteAccess": "ENABLED",
        "JupyterLabAppSettings": {"DefaultResourceSpec": bigger},
    }
    assert given(run.aws, "CreateApp")["ResourceSpec"] == bigger
    assert run.said == [
        "Lab: its app is Deleting",
        "Lab: its app has ended",
        "Lab: the space is Updating",
        "Lab: its app is Pending",
    ]


def test_an_app_that_cannot_be_deleted_while_it_starts_is_waited_for() -> None:
    studio = FakeStudio("Pending", "Pending", "Pending", "InService", remote=False)
    run = Run(studio)
    run.start()
    assert changing(run.aws) == ["DeleteApp", "DeleteApp", "UpdateSpace", "CreateApp"]
    assert run.said[0] == "Lab: its app, which cannot be ended while it starts, is Pending"


def test_an_app_that_is_deleted_elsewhere_is_no_failure() -> None:
    studio = FakeStudio("InService", remote=False)
    run = Run(studio)

    def delete(**_: object) -> dict[str, object]:
        studio.app = ["Deleting", "Deleted"]
        raise refused("ResourceInUse", "it is Deleting", "DeleteApp")

    run.aws = studio.aws(DeleteApp=delete)
    run.start()
    assert studio.app == ["InService"]


@pytest.mark.parametrize("state", ["Deleting", "Deleted", "Pending"])
def test_a_run_that_was_interrupted_is_gone_on_with(state: str) -> None:
    last = {"Deleting": "Deleted", "Deleted": "Deleted", "Pending": "InService"}[state]
    run = Run(FakeStudio(state, state, last))
    run.start()
    assert changing(run.aws) == (["CreateApp"] if last == "Deleted" else [])
    assert run.studio.app == ["InService"]


def test_a_space_that_changes_just_now_is_waited_for() -> None:
    studio = FakeStudio()
    studio.space = ["Updating", "Updating", "InService"]
    run = Run(studio)
    run.start()
    assert run.said[0] == "Lab: the space is Updating"
    assert changing(run.aws) == ["CreateApp"]


def test_a_start_by_another_run_is_accepted() -> None:
    studio = FakeStudio("Deleted")
    run = Run(studio)

    def create(**_: object) -> dict[str, object]:
        studio.app = ["Pending", "InService"]
        raise refused("ResourceInUse")

    run.aws = studio.aws(CreateApp=create)
    run.start()
    assert studio.app == ["InService"]


@pytest.mark.parametrize(
    ("error", "space", "app", "said"),
    [
        ("ResourceInUse", "Updating Updating InService", "Deleted", "the space is Updating"),
        ("ValidationException", "InService", f"{'Pending ' * 9}InService", "its app is Pending"),
    ],
)
def test_an_update_by_another_run_is_accepted(error: str, space: str, app: str, said: str) -> None:
    studio = FakeStudio(remote=False)
    run = Run(studio)

    def update(**_: object) -> dict[str, object]:
        studio.settings["RemoteAccess"] = "ENABLED"
        studio.space, studio.app = space.split(), app.split()
        raise refused(error, "no", "UpdateSpace")

    run.aws = studio.aws(UpdateSpace=update)
    run.start()
    assert run.said[0] == f"Lab: {said}"
    assert studio.app == ["InService"]


def test_a_description_may_lag_behind_the_change() -> None:
    studio = FakeStudio(remote=False)
    studio.starts = ["Deleted", "Deleted", "Pending", "InService"]
    run = Run(studio)
    run.start()
    assert studio.app == ["InService"]


@pytest.mark.parametrize(
    ("operation", "error", "code", "words"),
    [
        ("CreateApp", "ResourceLimitExceeded", "request-limit", "Service Quotas"),
        ("CreateApp", "ValidationException", "aws-error", AGAIN),
        ("UpdateSpace", "ResourceInUse", "busy", AGAIN),
        ("DeleteApp", "ResourceInUse", "busy", AGAIN),
    ],
)
def test_a_refusal_says_what_to_do(operation: str, error: str, code: str, words: str) -> None:
    studio = FakeStudio("InService", remote=False)
    studio.refusals[operation] = refused(error, "because", operation)
    failure = Run(studio).failure()
    assert failure.code == code
    assert f"sagemaker:{operation} for the space Lab was refused: because" in failure.message
    assert words in failure.hint


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Unable to provision: InsufficientInstanceCapacity", "no free instance"),
        ("LifecycleConfig execution failed with non zero exit code 1", "lifecycle configuration"),
        ("odd\x1b[31m", "odd"),
    ],
)
def test_an_app_that_fails_says_why(reason: str, words: str) -> None:
    studio = FakeStudio()
    studio.starts, studio.reason = ["Pending", "Failed"], reason
    failure = Run(studio).failure()
    assert failure.code == "job-failed"
    assert words in failure.text
    assert failure.text.isprintable()
    assert AGAIN in failure.hint


@pytest.mark.parametrize(
    ("status", "code"), [("Failed", "job-failed"), ("Deleting", "job-ended"), ("?", "job-failed")]
)
def test_a_space_that_cannot_be_used_is_left_alone(status: str, code: str) -> None:
    studio = FakeStudio()
    studio.space = [status]
    run = Run(studio)
    assert run.failure().code == code
    assert not changing(run.aws)


def test_an_update_that_fails_starts_nothing() -> None:
    studio = FakeStudio(remote=False)
    studio.updates, studio.reason = ["Updating", "Update_Failed"], "no such instance"
    run = Run(studio)
    failure = run.failure()
    assert "Update_Failed: no such instance" in failure.message
    assert changing(run.aws) == ["UpdateSpace"]


def test_an_app_that_is_deleted_meanwhile_is_no_endless_wait() -> None:
    studio = FakeStudio()
    studio.starts = ["Pending"] * 20 + ["Deleted"]
    assert Run(studio).failure().code == "job-ended"


def test_every_wait_is_bounded_and_shown_once(clock: Clock) -> None:
    studio = FakeStudio()
    studio.starts = ["Pending"]
    run = Run(studio, seconds=120)
    failure = run.failure()
    assert failure.code == "wait-timeout"
    assert AGAIN in failure.hint
    assert clock.now == 1000 + 120
    assert run.said[0] == "Lab: its app is Pending"
    assert run.said[1:] == []  # the status line tells how long it takes


def test_a_moment_without_network_ends_no_wait() -> None:
    studio = FakeStudio()
    run = Run(studio)
    answers: list[Answer] = [
        refused("ResourceNotFound"),
        SmProxyError("network", "no route"),
        {"Status": "InService"},
    ]
    run.aws = studio.aws(DescribeApp=answers)
    run.start()
    assert "unknown: no route" in run.said[0]
