"""The plan for running a job again."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname, lookup
from sm_proxy.launch import channel, described, old_job, prepare, relaunch
from sm_proxy.launch.checkpoints import MODES
from sm_proxy.launch.old_job import UnreadMembers
from sm_proxy.launch.relaunch import Choices, Plan
from sm_proxy.launch.request import Ssh
from sm_proxy.settings import Settings
from tests.fakes import JOB, Answers, FakeAws
from tests.launch import relaunching
from tests.launch.generated import values
from tests.launch.newer import needs
from tests.launch.relaunching import ROLE, SSH, account, failed
from tests.launch.replaying import replay

_SESSION = Session()
SHAPE = described.request_shape(_SESSION, "CreateTrainingJob")
DESCRIPTIONS = values(
    _SESSION.get_service_model("sagemaker").operation_model("DescribeTrainingJob").output_shape
)
MEMBERS = {
    name: values(SHAPE.members[name])
    for name in ("ResourceConfig", "StoppingCondition", "HyperParameters", "InputDataConfig")
}
CHOICES = st.fixed_dictionaries(
    {"checkpoints": st.sampled_from(MODES), "smaller": st.booleans()},
    optional={"instance_type": st.just("ml.m5.large")},
)


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "prepare", relaunching.prepare)
    monkeypatch.setattr(FakeAws, "session", _SESSION)


def planned(
    told: Any = None,
    answers: dict[str, Answers] | None = None,
    *,
    ssh: Ssh = SSH,
    **choices: Any,
) -> Plan:
    aws = account(told, **(answers or {}))
    job = lookup.find(aws, hostname.parse(f"sm-{JOB}", "sm-"))
    old = old_job.read(aws, job, UnreadMembers(_SESSION))
    chosen = Choices(**{"name": "new", **choices})
    return relaunch.plan(aws, old, chosen, ssh, settings=Settings(), on_status=print)


def test_the_changes_tell_everything_that_differs_from_the_old_job() -> None:
    rules = [{"RuleConfigurationName": "r", "RuleEvaluatorImage": "i"}]
    told = failed(DebugRuleConfigurations=rules, EnableManagedSpotTraining=True)
    plan = planned(told, smaller=True)
    request = plan.prepared.made.request
    assert not ParamValidator().validate(request, SHAPE).has_errors()
    old = described.request_from(told, [{"Key": "team", "Value": "nlp"}], SHAPE)
    assert replay({**old, "DebugRuleConfigurations": rules}, plan.changes) == request
    assert all(change.why for change in plan.changes)
    assert request["TrainingJobName"] == "new"
    assert request["Tags"] == [
        {"Key": "team", "Value": "nlp"},
        {"Key": described.RELAUNCHED_FROM, "Value": JOB},
    ]
    assert request["ResourceConfig"] == {
        "InstanceType": "ml.g5.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 30,
    }


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_the_old_job_was_the_new_request_is_valid(data: st.DataObject) -> None:
    told = {**data.draw(DESCRIPTIONS), **failed()}
    told |= data.draw(st.fixed_dictionaries(MEMBERS))
    told.pop("ServerlessJobConfig", None)
    choices = data.draw(CHOICES)
    try:
        plan = planned(told, {"ListObjectsV2": {}}, ssh=SSH, **choices)
    except SmProxyError as error:
        assert error.code in {"usage", "unsupported", "no-vpc", "network-isolation"}  # noqa: PT017
        return
    request = plan.prepared.made.request
    assert not ParamValidator().validate(request, SHAPE).has_errors()
    tags = [{"Key": "team", "Value": "nlp"}]
    dropped = {path: told[path] for path in described.LEFT_OUT if told.get(path)}
    assert replay({**described.request_from(told, tags, SHAPE), **dropped}, plan.changes) == request


def test_a_spot_job_runs_on_demand_unless_asked() -> None:
    limits = {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 9000}
    told = failed(EnableManagedSpotTraining=True, StoppingCondition=limits)
    request = planned(told).prepared.made.request
    assert request["EnableManagedSpotTraining"] is False
    assert set(request["StoppingCondition"]) == {"MaxRuntimeInSeconds"}
    request = planned(told, spot=True).prepared.made.request
    assert request["EnableManagedSpotTraining"] is True
    kept = request["StoppingCondition"]
    assert kept["MaxWaitTimeInSeconds"] >= kept["MaxRuntimeInSeconds"] > 7200


def test_spot_cannot_be_kept_where_it_was_not() -> None:
    with pytest.raises(SmProxyError, match="did not run on spot") as caught:
        planned(spot=True)
    assert (caught.value.code, caught.value.hint) == ("usage", "Leave --spot out.")


def test_checkpoints_are_copied_only_if_there_are_some() -> None:
    told = failed(CheckpointConfig={"S3Uri": "s3://b/ckpt/x"})
    item = {"Key": "ckpt/x/1", "Size": 1, "ETag": "e"}
    plan = planned(told, {"ListObjectsV2": {"Contents": [item]}})
    assert plan.copy is not None
    assert plan.copy.target == "ckpt/sm-proxy/new/"
    plan = planned(told, {"ListObjectsV2": {}})
    assert plan.copy is None
    config = plan.prepared.made.request["CheckpointConfig"]
    assert config == {"S3Uri": "s3://b/ckpt/sm-proxy/new/"}


def test_two_jobs_must_not_write_to_the_same_checkpoints() -> None:
    told = failed(
        CheckpointConfig={"S3Uri": "s3://b/ckpt/x"},
        TrainingJobStatus="InProgress",
        SecondaryStatus="Training",
    )
    with pytest.raises(SmProxyError, match="still runs") as caught:
        planned(told, checkpoints="same")
    assert caught.value.code == "usage"
    assert planned(told, checkpoints="none").prepared.made.request["TrainingJobName"] == "new"


def test_differences_from_the_old_job_are_listed() -> None:
    told = failed(HyperParameters={"sagemaker_mpi_enabled": "true"})
    assert planned(told).lost == ("session tags, which AWS does not tell",)
    assert "several nodes (sagemaker_mpi_enabled)" in planned(told, smaller=True).lost[1]


@needs("CreateTrainingJob", "ResourceConfig", "TrainingPlanArn")
def test_a_place_in_a_training_plan_may_be_lost() -> None:
    plan = f"{ROLE.replace('iam', 'sagemaker')}/training-plan/p"
    told = failed(ResourceConfig={"InstanceType": "ml.g5.xlarge", "TrainingPlanArn": plan})
    assert "training plan" in planned(told).lost[1]


def test_places_that_the_new_run_shares_with_the_old_one_are_named() -> None:
    folder = f"s3://b/{JOB}"
    parameters = {
        "model_dir": f'"{folder}/model"',
        "sagemaker_submit_directory": f'"{folder}/source/sourcedir.tar.gz"',
        "data": "s3://b/other/x",
        "lr": "0.1",
    }
    lost = planned(failed(HyperParameters=parameters), {"ListObjectsV2": {}}).lost
    assert lost[1:] == (f"what the old run wrote, as both write to model_dir ({folder}/model)",)


def test_a_warm_pool_is_looked_at() -> None:
    told = failed(WarmPoolStatus={"Status": "Available"})
    assert "starts in seconds" in planned(told).outlook
    assert "cannot use the warm pool" in planned(told, instance_type="ml.m5.large").outlook


@pytest.mark.parametrize("old", ["bert", "b" * 63, "b" * 53 + "--" + "c" * 8, "a"])
def test_the_default_name_is_the_old_one_cut_to_fit(old: str) -> None:
    name = relaunch.default_name(old)
    found = re.fullmatch(r"(.+)-ssh-[0-9a-f]{4}", name)
    assert found is not None
    assert old.startswith(found[1])
    assert hostname.compose("sm-", name).job == name


def test_a_shell_job_runs_its_program_unless_a_shell_is_wanted_again() -> None:
    told = failed(Environment={"SM_PROXY_SHELL": "yes", "LR": "1"})
    environment = planned(told).prepared.made.request["Environment"]
    assert "SM_PROXY_SHELL" not in environment
    assert environment["LR"] == "1"


ONE = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1}
GROUP = {"InstanceGroupName": "g", **ONE}


@pytest.mark.parametrize(
    ("told", "wanted", "choices", "expected"),
    [
        ({"ResourceConfig": ONE}, {}, {}, "15m"),
        ({"ResourceConfig": {"InstanceGroups": [GROUP]}}, {}, {}, "15m"),
        ({"ResourceConfig": ONE}, {"wait_s": 0}, {}, "0"),
        ({"ResourceConfig": ONE}, {"wait_s": 60}, {}, "1m"),
        ({"ResourceConfig": ONE}, {"shell": True}, {}, None),
        ({"ResourceConfig": ONE, "Environment": {"SM_PROXY_WAIT": "2h"}}, {}, {}, "2h"),
        ({"ResourceConfig": {**ONE, "InstanceCount": 2}}, {}, {}, None),
        ({"ResourceConfig": {**ONE, "InstanceCount": 2}}, {}, {"smaller": True}, "15m"),
        ({"ResourceConfig": {**ONE, "InstanceCount": 2}}, {"wait_s": 60}, {}, "1m"),
        ({"ResourceConfig": {"InstanceGroups": [GROUP, GROUP]}}, {}, {}, None),
    ],
)
def test_the_program_of_one_node_waits_for_the_user(
    told: Any, wanted: dict[str, Any], choices: dict[str, Any], expected: str | None
) -> None:
    made = planned(failed(**told), ssh=replace(SSH, **wanted), **choices).prepared.made
    assert made.request["Environment"].get("SM_PROXY_WAIT") == expected


def test_the_run_time_covers_the_wait() -> None:
    told = failed(ResourceConfig=ONE)
    [with_wait, without] = [
        planned(told, ssh=replace(SSH, wait_s=wait_s)).prepared.made.request["StoppingCondition"]
        for wait_s in (None, 0)
    ]
    assert with_wait["MaxRuntimeInSeconds"] == without["MaxRuntimeInSeconds"] + 900


def _read(*urls: str) -> Any:
    return failed(
        InputDataConfig=[
            {
                "ChannelName": f"c{number}",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": url}},
            }
            for number, url in enumerate(urls)
        ]
    )


def _only_kept(**asked: Any) -> dict[str, Any]:
    return {"Contents": [{"Key": "kept/x"}]} if asked["Prefix"] == "kept/" else {}


def test_a_job_whose_data_is_gone_is_refused() -> None:
    told = _read("s3://bucket/kept/", "s3://bucket/lost/")
    answers: dict[str, Answers] = {"ListObjectsV2": _only_kept}
    with pytest.raises(SmProxyError, match="s3://bucket/lost/ is gone") as caught:
        planned(told, answers)
    assert caught.value.code == "bucket-unreadable"
    assert "--yes" in caught.value.hint
    assert planned(told, answers, sure=True)
    assert planned(_read("s3://bucket/kept/"), answers)


def test_a_job_whose_arguments_lay_in_our_old_folder_is_refused_without_it() -> None:
    folder = f"s3://bucket/sm-proxy/channel/{'a' * 32}/"
    source = {"S3DataType": "S3Prefix", "S3Uri": folder}
    script = f"{channel.TRAINING_PATH}/{channel.ENTRYPOINT}"
    spec = {
        "TrainingImage": "i",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["sh", script],
    }
    told = failed(
        InputDataConfig=[{"ChannelName": channel.NAME, "DataSource": {"S3DataSource": source}}],
        AlgorithmSpecification={**spec, "ContainerArguments": ["python", "train.py"]},
    )
    assert planned(told, {"ListObjectsV2": _only_kept}).prepared.made.channel  # uploaded anew
    held = [channel.ARGV_OPTION, f"{channel.TRAINING_PATH}/{channel.ARGV}"]
    told["AlgorithmSpecification"] = {**spec, "ContainerArguments": held}
    with pytest.raises(SmProxyError, match=f"{folder} is gone"):
        planned(told, {"ListObjectsV2": _only_kept})
