"""A space and its app become one job, and a job that no session reaches says why."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws import job_kinds
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import kinds
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import parse
from sm_proxy.jobs.job import Job, Phase
from sm_proxy.jobs.kinds import space
from sm_proxy.jobs.log_following import JobLog
from sm_proxy.state import json_records
from tests.fakes import FakeAws
from tests.jobs.studio_account import BEGAN, DENIED, GONE, IMAGE, Space, Studio

TWO = ["DescribeSpace", "DescribeApp"]


def described(aws: FakeAws, host: str = "sm-x.d-one.space") -> Job:
    return space.find(aws, parse(host, "sm-"), lambda _: None)


def served(given: Space, host: str = "sm-x.d-one.space") -> Container | None:
    aws = Studio(given)
    return space.container(aws, described(aws), parse(host, "sm-"))


def refused(given: Space) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        served(given)
    assert caught.value.line.isprintable()
    return caught.value


def test_the_module_has_its_row() -> None:
    assert kinds.of("space") is space
    assert set(job_kinds.SESSION_KINDS["space"].operations) >= {*TWO, "ListSpaces", "ListApps"}


def test_space_and_app_are_read() -> None:
    given = Space("x", resources={"InstanceType": "ml.m5.large", "SageMakerImageArn": IMAGE})
    aws = Studio(given)
    began = BEGAN.replace(hour=8, minute=30)
    assert described(aws) == Job(
        name="x",
        kind="space",
        status="InService",
        phase="running",
        created=given.created,
        place="d-one",
        noun="Studio space",
        log_group="/aws/sagemaker/studio",
        status_since=began,
        progress="InService",
        instance_type="ml.m5.large",
        console="https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1"
        "#/studio/d-one",
        arn=given.arn,
        app_type="JupyterLab",
        life=began.isoformat(),
        remote_access=True,
        image="sagemaker-distribution-cpu",
    )
    assert aws.asked == TWO


def test_job_and_container_survive_the_cache() -> None:
    job = described(Studio(Space("x")))
    assert json_records.from_record(Job, json_records.to_record(job)) == job
    found = served(Space("x"))
    assert json_records.from_record(Container, json_records.to_record(found)) == found


def test_the_container_is_what_a_session_reaches() -> None:
    given = Space("x")
    found = served(given, "sm-x.space")
    assert found == Container(
        host="sm-x.space",
        job="x",
        kind="space",
        node="d-one",
        address=None,
        port=22,
        user="sagemaker-user",
        host_keys=(),
        status="InService",
        source=None,
        vpc_id=None,
        session_target=given.arn,
        life="2026-11-23T08:30:00+00:00",
    )


def test_an_app_that_is_created_again_is_another_life() -> None:
    first, second = served(Space("x")), served(Space("x", age_h=2))
    assert first is not None
    assert second is not None
    assert not first.same_place(second)


@pytest.mark.parametrize(
    ("status", "app", "shown", "phase"),
    [
        ("InService", "InService", "InService", "running"),
        ("Updating", "InService", "InService", "running"),
        ("InService", "Pending", "Pending", "starting"),
        ("Updating", "", "Updating", "starting"),
        ("Pending", "", "Pending", "starting"),
        ("InService", "", "Stopped", "ended"),
        ("InService", "Deleted", "Stopped", "ended"),
        ("Update_Failed", "", "Stopped", "ended"),
        ("InService", "Deleting", "Stopping", "ended"),
        ("InService", "Failed", "Failed", "failed"),
        ("Failed", "", "Failed", "failed"),
        ("Deleting", "InService", "Deleting", "ended"),
    ],
)
def test_both_statuses_decide_the_phase(status: str, app: str, shown: str, phase: Phase) -> None:
    given = Space("x", status=status, app=app, reason="no capacity")
    job = described(Studio(given))
    assert (job.status, job.phase) == (shown, phase)
    assert job.failure_reason == ("no capacity" if job.over else "")
    assert bool(job.life) is (phase == "running" or app == "Pending")
    if phase == "starting":
        assert served(given) is None
        given.remote = "DISABLED"
        if not app:  # this may be what is being updated
            assert served(given) is None
    (line,) = space.recent(Studio(given))
    assert (line.status, line.phase, line.place) == (shown, phase, "d-one")


def test_a_stopped_space_names_the_command_that_starts_it() -> None:
    error = refused(Space("x", app=""))
    assert error.code == "space-stopped"
    assert "sm-proxy start sm-x.d-one.space (creates its app on ml.t3.large" in error.hint
    assert "ml.t3.medium is too small" in error.hint


def test_the_command_has_the_whole_name_where_its_beginning_was_typed() -> None:
    aws = Studio(Space("long-name", app=""))
    target = parse("sm-long.space", "sm-")
    with pytest.raises(SmProxyError) as caught:
        space.container(aws, described(aws, target.host), target)
    assert "sm-proxy start sm-long-name.d-one.space" in caught.value.hint


def test_a_stopped_space_without_remote_access_is_only_stopped() -> None:
    error = refused(Space("x", app="", remote="DISABLED"))
    assert error.code == "space-stopped"
    assert "turns remote access on and creates its app" in error.hint


def test_a_failed_app_says_why() -> None:
    error = refused(Space("x", app="Failed", reason="Insufficient\x1b[2J capacity"))
    assert error.code == "space-stopped"
    assert "Insufficient\N{REPLACEMENT CHARACTER}[2J capacity" in error.message


def test_a_space_that_is_being_deleted_is_not_to_be_started() -> None:
    error = refused(Space("x", status="Deleting", app=""))
    assert error.code == "space-stopped"
    assert "sm-proxy start" not in error.line


@pytest.mark.parametrize("app", ["InService", "Pending"])
def test_an_app_without_remote_access_must_be_restarted(app: str) -> None:
    error = refused(Space("x", app=app, remote="", resources={"InstanceType": "ml.c5.large"}))
    assert error.code == "remote-access-off"
    assert "sm-proxy start sm-x.d-one.space" in error.hint
    assert "unsaved work is lost" in error.hint
    assert "It then runs on ml.c5.xlarge: ml.c5.large is too small" in error.hint


def test_an_instance_that_is_too_small_is_named() -> None:
    error = refused(Space("x", resources={"InstanceType": "ml.t3.medium"}))
    assert (error.code, "ml.t3.medium has less than 8 GiB" in error.message) == (
        "unsupported",
        True,
    )
    assert "sm-proxy start sm-x.d-one.space --instance-type ml.t3.large" in error.hint


@pytest.mark.parametrize("alias", ["2.6", "2.6.1", "1.6.0", "1", "0.9"])
def test_an_image_that_is_too_old_is_named(alias: str) -> None:
    error = refused(Space("x", resources=_image(alias)))
    assert error.code == "unsupported"
    assert f"sagemaker-distribution-cpu:{alias}" in error.message


@pytest.mark.parametrize("alias", ["2.7", "2.10.0", "2", "3.0", "4", ""])
def test_other_images_may_serve(alias: str) -> None:
    assert served(Space("x", resources=_image(alias))) is not None
    own = {"SageMakerImageArn": "arn:aws:sagemaker:eu-west-1:123456789012:image/mine"}
    resources = {**_image("1.0.0"), **own}
    assert served(Space("x", resources=resources)) is not None


def _image(alias: str) -> dict[str, str]:
    version = {"SageMakerImageVersionAlias": alias} if alias else {}
    return {"InstanceType": "ml.m5.large", "SageMakerImageArn": IMAGE, **version}


@pytest.mark.parametrize("app_type", ["", "JupyterServer", "RStudioServerPro"])
def test_apps_without_remote_access_are_named(app_type: str) -> None:
    error = refused(Space("x", app_type=app_type))
    assert error.code == "unsupported"
    assert (app_type or "Studio Classic") in error.message


def test_an_old_botocore_is_named_and_not_taken_for_remote_access_that_is_off() -> None:
    class Old(Studio):
        def refuse_unknown(self, service: str, operation: str) -> None:
            raise SmProxyError("unsupported", f"{service}:{operation}", "update")

    aws = Old(Space("x", remote=""))
    with pytest.raises(SmProxyError) as caught:
        space.container(aws, described(aws), parse("sm-x.space", "sm-"))
    assert (caught.value.code, caught.value.message) == ("unsupported", "sagemaker:StartSession")
    with pytest.raises(SmProxyError, match="StartSession"):
        space.recent(aws)
    aws.spaces.clear()
    assert space.recent(aws) == []


@pytest.mark.parametrize(
    "arn",
    ["", "arn:aws:iam::1:user/x", "arn:aws:sagemaker:eu-west-1:123456789012:space/d-one/x\n"],
)
def test_an_invalid_arn_is_refused(arn: str) -> None:
    with pytest.raises(SmProxyError) as caught:
        described(Studio(Space("x"), DescribeSpace={**Space("x").description(), "SpaceArn": arn}))
    assert caught.value.code == "network"


def test_the_arn_is_never_built() -> None:
    arn = "arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:space/d-one/x"
    answer = {**Space("x").description(), "SpaceArn": arn}
    aws = Studio(Space("x"), DescribeSpace=answer)
    found = space.container(aws, described(aws), parse("sm-x.space", "sm-"))
    assert found is not None
    assert found.session_target == arn


def test_describing_again_asks_for_the_same_domain() -> None:
    aws = Studio(Space("x"), Space("x", "d-two"))
    job = described(aws, "sm-x.d-two.space")
    assert kinds.describe_again(aws, job) == job
    assert aws.asked == TWO * 2
    aws.spaces.pop()
    with pytest.raises(SmProxyError) as caught:
        kinds.describe_again(aws, job)
    assert caught.value.code == "job-not-found"


def test_a_list_needs_two_calls_for_any_number_of_spaces() -> None:
    stopped = Space("a", age_h=3, app="")
    aws = Studio(Space("b", "d-two", age_h=1), stopped, Space("c", age_h=2, app="Pending"))
    assert [(line.name, line.phase) for line in space.recent(aws)] == [
        *(("b", "running"), ("c", "starting"), ("a", "ended")),
    ]
    assert aws.asked == ["ListSpaces", "ListApps"]
    assert [line.name for line in space.recent(aws, live=True)] == ["b", "c"]


def test_an_account_without_such_spaces_pays_one_call() -> None:
    aws = Studio(Space("classic", app_type="", app=""), Space("r", app_type="RStudioServerPro"))
    assert space.recent(aws) == []
    assert aws.asked == ["ListSpaces"]


def test_deleted_apps_and_those_of_others_do_not_count() -> None:
    given = Space("x")
    deleted = {**given.app_line(), "Status": "Deleted", "CreationTime": BEGAN}
    kernel = {**given.app_line(), "AppType": "KernelGateway", "Status": "Failed"}
    profile = {**given.app_line(), "SpaceName": ""}
    for apps in ([deleted, given.app_line(), kernel], [given.app_line(), deleted, profile]):
        aws = Studio(given, ListApps={"Apps": apps})
        assert [line.phase for line in space.recent(aws)] == ["running"]


def test_hostile_lists_end_and_hold_no_strange_names() -> None:
    line = Space("x").line()
    strange: list[dict[str, Any]] = [
        {},
        {**line, "SpaceName": "../../x"},
        {**line, "SpaceName": "-oProxyCommand"},
        {**line, "DomainId": "d-A\n"},
    ]
    aws = Studio(ListSpaces={"Spaces": strange, "NextToken": "again"}, ListApps={"Apps": [{}]})
    assert space.recent(aws) == []
    assert 1 < len(aws.calls) < 100


def test_the_log_of_a_space_is_that_of_its_app() -> None:
    job = described(Studio(Space("x")))
    names = [
        *("d-one/x/JupyterLab/default", "d-one/x/JupyterLab/default/LifecycleConfigOnStart"),
        *("d-one/xy/JupyterLab/default", "d-two/x/JupyterLab/default", "d-one/x/Canvas/default"),
    ]
    wanted = space.streams(job, "")
    assert (wanted.group, wanted.prefix) == ("/aws/sagemaker/studio", "d-one/x/")
    listed = [{"logStreamName": name} for name in names]
    assert wanted.choose(listed) == names[0]
    for node in ("", None):  # `logs` without and with --all-nodes
        aws = FakeAws(DescribeLogStreams={"logStreams": listed})
        log = JobLog(aws, job, node)
        log.find_streams()
        assert len(log.nodes) == 1
        asked = [call["logStreamNamePrefix"] for _, call in aws.calls]
        assert asked == ["d-one/x/"]


def test_denied_calls_stay_what_they_are() -> None:
    for aws in (Studio(Space("x"), DescribeSpace=DENIED), Studio(Space("x"), DescribeApp=DENIED)):
        with pytest.raises(SmProxyError) as caught:
            described(aws)
        assert caught.value.code == "access-denied"


def test_a_space_that_goes_between_list_and_description_is_not_found() -> None:
    with pytest.raises(SmProxyError) as caught:
        described(Studio(Space("x"), DescribeSpace=GONE), "sm-x.space")
    assert caught.value.code == "job-not-found"
