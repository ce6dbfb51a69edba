"""The apps of spaces."""

from __future__ import annotations

import pytest

from tests.lab.aws.harness import Lab, refusal
from tests.lab.aws.sagemaker.studio.conftest import HELD, QUICK, SPEC, NewSpace, app


def test_an_app_is_pending_in_service_deleting_and_deleted(lab: Lab, new_space: NewSpace) -> None:
    lab.control.faults(studio={**QUICK, "app_ms": HELD})
    sagemaker, space = lab.client("sagemaker"), new_space()

    def status() -> str:
        return str(sagemaker.describe_app(**app(space))["Status"])

    made = sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    assert made["AppArn"].endswith(f":app/{space['DomainId']}/My-Space/jupyterlab/default")
    assert status() == "Pending"
    lab.control.faults(studio=QUICK)
    assert status() == "InService"
    sagemaker.delete_app(**app(space))
    lab.control.faults(studio={**QUICK, "app_ms": HELD})
    assert status() == "Deleting"
    assert refusal(sagemaker.delete_app, **app(space))[0] == "ResourceInUse"
    assert refusal(sagemaker.create_app, **app(space, ResourceSpec=SPEC))[0] == "ResourceInUse"
    lab.control.faults(studio=QUICK)
    assert status() == "Deleted"


def test_the_supervisor_hears_of_each_app(lab: Lab, new_space: NewSpace) -> None:
    sagemaker, space = lab.client("sagemaker"), new_space()
    sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    while (event := lab.events.get(timeout=60)).get("domain") != space["DomainId"]:
        pass
    assert event["event"] == "app-created"
    assert (event["space"], event["app_type"]) == ("My-Space", "JupyterLab")
    sagemaker.delete_app(**app(space))
    assert lab.event(event["job"], "app-deleted")


def test_an_app_is_in_service_only_when_its_container_is_up(lab: Lab, new_space: NewSpace) -> None:
    sagemaker, space = lab.client("sagemaker"), new_space()
    lab.gateway.without_agent = _Everybody()
    sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    assert sagemaker.describe_app(**app(space))["Status"] == "Pending"
    lab.gateway.without_agent = set()
    assert sagemaker.describe_app(**app(space))["Status"] == "InService"


class _Everybody(set[str]):
    def __contains__(self, _: object) -> bool:
        return True


def test_a_second_app_gets_a_new_time_of_creation(lab: Lab, new_space: NewSpace) -> None:
    sagemaker, space = lab.client("sagemaker"), new_space()
    times = []
    for _ in range(2):
        sagemaker.create_app(**app(space, ResourceSpec=SPEC))
        times.append(sagemaker.describe_app(**app(space))["CreationTime"])
        sagemaker.delete_app(**app(space))
    assert times[0] < times[1]


def test_a_space_has_one_app(lab: Lab, domain: str, new_space: NewSpace) -> None:
    sagemaker, space = lab.client("sagemaker"), new_space()
    sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    assert refusal(sagemaker.create_app, **app(space, ResourceSpec=SPEC))[0] == "ResourceInUse"
    (listed,) = sagemaker.list_apps(DomainIdEquals=domain, SpaceNameEquals="My-Space")["Apps"]
    assert (listed["Status"], listed["ResourceSpec"]) == ("InService", SPEC)
    assert sagemaker.list_apps(SpaceNameEquals="My-Space", UserProfileNameEquals="me")["Apps"] == []


@pytest.mark.parametrize("size", ["ml.t3.medium", "ml.c7i.large", None])
def test_remote_access_needs_a_larger_instance(
    lab: Lab, new_space: NewSpace, size: str | None
) -> None:
    sagemaker, space = lab.client("sagemaker"), new_space()
    spec = {"ResourceSpec": {"InstanceType": size}} if size else {}
    code, message, _ = refusal(sagemaker.create_app, **app(space, **spec))
    assert code == "ValidationException"
    assert f"[{size or 'ml.t3.medium'}] is not supported" in message
    closed = new_space("closed", "DISABLED")
    sagemaker.create_app(**app(closed, **spec))
    assert sagemaker.describe_app(**app(closed))["ResourceSpec"]["InstanceType"] == (
        size or "ml.t3.medium"
    )


def test_the_quota_of_an_instance_type_limits_its_apps(lab: Lab, new_space: NewSpace) -> None:
    sagemaker, spaces = lab.client("sagemaker"), [new_space("one"), new_space("two")]
    size = {"ResourceSpec": {"InstanceType": "ml.g5.48xlarge"}}
    lab.control.faults(quotas={"ml.g5.48xlarge": 1})
    sagemaker.create_app(**app(spaces[0], **size))
    code, message, _ = refusal(sagemaker.create_app, **app(spaces[1], **size))
    assert code == "ResourceLimitExceeded"
    assert "'Studio JupyterLab Apps running on ml.g5.48xlarge instance' is 1 Apps" in message
    sagemaker.delete_app(**app(spaces[0]))
    sagemaker.create_app(**app(spaces[1], **size))


def test_the_instance_type_is_the_requests_or_the_spaces(lab: Lab, domain: str) -> None:
    sagemaker = lab.client("sagemaker")
    named = {"DomainId": domain, "SpaceName": "own"}
    default = {"DefaultResourceSpec": {"InstanceType": "ml.m5.xlarge"}}
    settings = {"AppType": "CodeEditor", "CodeEditorAppSettings": default}
    sagemaker.create_space(**named, SpaceSettings=settings)
    request = {**named, "AppType": "CodeEditor", "AppName": "default"}
    for spec, expected in (({}, "ml.m5.xlarge"), ({"ResourceSpec": SPEC}, "ml.m5.large")):
        sagemaker.create_app(**request, **spec)
        found = sagemaker.describe_app(**request)
        assert found["ResourceSpec"]["InstanceType"] == expected
        sagemaker.delete_app(**request)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SpaceName": "none"}, "ResourceNotFound"),
        ({"AppType": "CodeEditor"}, "ValidationException"),
        ({"AppName": "other"}, "ValidationException"),
        ({"UserProfileName": "me"}, "ValidationException"),
    ],
)
def test_a_wrong_request_for_an_app_is_refused(
    lab: Lab, new_space: NewSpace, change: dict[str, str], code: str
) -> None:
    request = {**app(new_space(), ResourceSpec=SPEC), **change}
    assert refusal(lab.client("sagemaker").create_app, **request)[0] == code


def test_an_app_can_fail(lab: Lab, new_space: NewSpace) -> None:
    sagemaker, space = lab.client("sagemaker"), new_space()
    assert refusal(sagemaker.describe_app, **app(space))[0] == "ResourceNotFound"
    lab.control.faults(studio={**QUICK, "app_failure": "the image does not start"})
    sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    found = sagemaker.describe_app(**app(space))
    assert (found["Status"], found["FailureReason"]) == ("Failed", "the image does not start")
    lab.control.faults(studio=QUICK)
    sagemaker.create_app(**app(space, ResourceSpec=SPEC))
    assert sagemaker.describe_app(**app(space))["Status"] == "InService"
