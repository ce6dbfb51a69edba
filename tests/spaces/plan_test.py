"""What `start` would do with a space in each of its states."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.kinds import _described_space
from sm_proxy.spaces import plan
from sm_proxy.spaces.plan import Plan
from tests.spaces.fake_studio import DOMAIN, NAME, SPEC, FakeStudio


def made(studio: FakeStudio, instance_type: str = "") -> Plan:
    return plan.make(_described_space.describe(studio.aws(), DOMAIN, NAME), instance_type)


def verbs(found: Plan) -> list[str]:
    return [line.rpartition("(")[2].rstrip(")") for line in found.steps]


def test_a_running_space_with_remote_access_needs_nothing() -> None:
    found = made(FakeStudio("InService"))
    assert found.is_done
    assert not found.steps


def test_a_running_space_with_an_unknown_instance_is_left_alone() -> None:
    studio = FakeStudio("InService", SageMakerImageArn="arn")
    assert made(studio).is_done
    assert made(studio, "ml.m5.large").restarts


def test_a_starting_space_is_only_waited_for() -> None:
    found = made(FakeStudio("Pending"))
    assert not found.is_done
    assert not found.steps


@pytest.mark.parametrize("app", [(), ("Deleted",), ("Deleting",)])
def test_a_stopped_space_gets_an_app_with_its_old_settings(app: tuple[str, ...]) -> None:
    found = made(FakeStudio(*app))
    assert verbs(found) == ["CreateApp"]
    assert found.spec == SPEC


def test_a_running_space_without_remote_access_is_restarted() -> None:
    found = made(FakeStudio("InService", remote=False))
    assert verbs(found) == ["DeleteApp", "UpdateSpace", "CreateApp"]
    assert found.restarts
    assert found.settings == {"RemoteAccess": "ENABLED"}
    assert found.spec == SPEC


def test_a_failed_app_is_removed_which_is_no_restart() -> None:
    found = made(FakeStudio("Failed"))
    assert verbs(found) == ["DeleteApp", "CreateApp"]
    assert not found.restarts


@pytest.mark.parametrize(
    ("has", "wanted"), [("ml.t3.medium", "ml.t3.large"), ("ml.c7i.large", "ml.c7i.xlarge")]
)
def test_too_small_an_instance_is_replaced_by_the_next_size(has: str, wanted: str) -> None:
    studio = FakeStudio(InstanceType=has, LifecycleConfigArn=SPEC["LifecycleConfigArn"])
    found = made(studio)
    kept = {"InstanceType": wanted, "LifecycleConfigArn": SPEC["LifecycleConfigArn"]}
    assert found.settings == {"JupyterLabAppSettings": {"DefaultResourceSpec": kept}}
    assert found.spec == kept
    assert f"{wanted} in place of {has}" in found.steps[0]


def test_a_space_without_an_instance_gets_the_smallest_that_serves() -> None:
    found = made(FakeStudio(SageMakerImageArn="arn"))
    assert found.instance_type == "ml.t3.large"


def test_another_instance_restarts_a_running_app() -> None:
    found = made(FakeStudio("InService"), "ml.g5.xlarge")
    assert found.restarts
    assert found.spec == {**SPEC, "InstanceType": "ml.g5.xlarge"}
    assert made(FakeStudio("InService"), "ml.m5.large").is_done


def test_a_training_plan_is_not_taken_to_another_instance() -> None:
    plan_arn = "arn:aws:sagemaker:eu-west-1:111122223333:training-plan/own"
    studio = FakeStudio(InstanceType="ml.p4d.24xlarge", TrainingPlanArn=plan_arn)
    assert made(studio).spec["TrainingPlanArn"] == plan_arn
    found = made(studio, "ml.g5.xlarge")
    assert found.spec == {"InstanceType": "ml.g5.xlarge"}
    assert "training plan" in found.steps[1]


def test_the_other_settings_of_the_app_stay() -> None:
    studio = FakeStudio()
    idle = {"AppLifecycleManagement": {"IdleSettings": {"IdleTimeoutInMinutes": 120}}}
    studio.app_settings = dict(idle)
    settings = made(studio, "ml.g5.xlarge").settings["JupyterLabAppSettings"]
    assert settings == {**idle, "DefaultResourceSpec": {**SPEC, "InstanceType": "ml.g5.xlarge"}}


def test_the_instance_that_the_app_runs_on_is_kept() -> None:
    studio = FakeStudio("InService", remote=False, SageMakerImageArn="arn")
    studio.app_spec = {"InstanceType": "ml.g5.xlarge"}
    assert made(studio).spec == {"SageMakerImageArn": "arn", "InstanceType": "ml.g5.xlarge"}


def test_too_small_an_instance_is_refused() -> None:
    with pytest.raises(SmProxyError) as caught:
        made(FakeStudio(), "ml.t3.medium")
    assert caught.value.code == "unsupported"
    assert "ml.t3.large" in caught.value.hint


@pytest.mark.parametrize(("app_type", "words"), [("", "Studio Classic"), ("Canvas", "Canvas")])
def test_a_space_for_other_apps_is_not_started(app_type: str, words: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        made(FakeStudio(app_type=app_type))
    assert caught.value.code == "unsupported"
    assert words in caught.value.message


def test_code_editor_has_settings_of_its_own() -> None:
    found = made(FakeStudio(app_type="CodeEditor"), "ml.g5.xlarge")
    assert list(found.settings) == ["CodeEditorAppSettings"]


def test_a_failed_update_is_made_again() -> None:
    studio: Any = FakeStudio()
    studio.space = ["Update_Failed"]
    assert verbs(made(studio)) == ["UpdateSpace", "CreateApp"]
