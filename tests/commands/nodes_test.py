"""`nodes` lists host names in the forms that other programs read."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from sm_proxy import cli, resolver
from sm_proxy.aws.errors import ServiceError
from sm_proxy.commands import nodes as command
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.hostname import Target
from tests.commands.helpers import answer
from tests.fakes import DESCRIBES, LISTS, Answers, FakeAws, container, description

GONE = ServiceError("ValidationException", "Requested resource not found.", "x")
VPC = {"VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}}


def training(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
    """Training jobs: my-job with two nodes, outside without a VPC, and an old one."""
    resources = {"InstanceCount": 2, "InstanceType": "ml.g5.48xlarge"}
    known: dict[str, Any] = {
        "my-job": description(ResourceConfig=resources),
        "outside": description(TrainingJobName="outside", VpcConfig=None),
        "old": description("Completed", "Completed", TrainingJobName="old"),
    }
    if TrainingJobName not in known:
        raise GONE
    return dict(known[TrainingJobName])


def processing(ProcessingJobName: str) -> dict[str, Any]:  # noqa: N803
    if ProcessingJobName != "2prep":
        raise GONE
    return {
        "ProcessingJobName": "2prep",
        "ProcessingJobStatus": "InProgress",
        "ProcessingStartTime": datetime(2026, 11, 29, tzinfo=timezone.utc),
        "NetworkConfig": VPC,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.trn1.2xlarge"}
        },
    }


def line(name: str, status: str = "Training") -> dict[str, str]:
    over = status == "Completed"
    overall = status if over else "InProgress"
    return {"TrainingJobName": name, "SecondaryStatus": status, "TrainingJobStatus": overall}


def account(**others: Answers) -> FakeAws:
    answers: dict[str, Answers] = {
        **dict.fromkeys(DESCRIBES, GONE),
        **{key: {} for key in LISTS},
        "DescribeTrainingJob": training,
        "DescribeProcessingJob": processing,
        "ListTrainingJobs": {"TrainingJobSummaries": [line("my-job"), line("outside")]},
        "ListProcessingJobs": {
            "ProcessingJobSummaries": [
                {"ProcessingJobName": "2prep", "ProcessingJobStatus": "InProgress"}
            ]
        },
    }
    return FakeAws(**{**answers, **others})


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    made = account()
    monkeypatch.setattr(command, "Aws", lambda *_: made)
    return made


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node has root but algo-2, where `worker` can log in, and 2prep, which has no address."""

    def resolve(target: Target, *_: Any) -> Any:
        if target.job == "2prep":
            raise SmProxyError("no-address", "none yet")
        return container(host=target.host, user="worker" if target.node == "algo-2" else "root")

    monkeypatch.setattr(resolver, "resolve", resolve)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    status = cli.main(["nodes", *words])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("lines", "sm-my-job.algo-1\nsm-my-job.algo-2\n"),
        ("pdsh", "sm-my-job.algo-1,sm-my-job.algo-2\n"),
        ("hostfile", "sm-my-job.algo-1 slots=8\nsm-my-job.algo-2 slots=8\n"),
    ],
)
@pytest.mark.parametrize("host", ["sm-my-job", "sm-my-job.*"])
def test_the_nodes_of_a_job(
    capsys: pytest.CaptureFixture[str], host: str, form: str, expected: str
) -> None:
    assert shown(capsys, host, "--format", form) == expected


def test_lines_are_the_default_and_need_one_call(
    capsys: pytest.CaptureFixture[str], aws: FakeAws
) -> None:
    assert shown(capsys, "sm-my-job") == "sm-my-job.algo-1\nsm-my-job.algo-2\n"
    assert aws.operations() == ["DescribeTrainingJob"]


def test_without_a_host_all_running_jobs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"sm-my-job.algo-1", "sm-my-job.algo-2", "sm-2prep.processing"}
    assert set(shown(capsys).split()) == expected


def test_slots_are_left_out_where_they_are_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "sm-2prep.processing", "--format", "hostfile") == "sm-2prep.processing\n"


def test_an_ansible_inventory_has_a_group_for_each_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = json.loads(shown(capsys, "--format", "ansible"))
    assert sorted(found["all"]["children"]) == ["sm_2prep_processing", "sm_my_job", "ungrouped"]
    assert found["sm_my_job"] == {"hosts": ["sm-my-job.algo-1", "sm-my-job.algo-2"]}
    assert found["sm_2prep_processing"] == {"hosts": ["sm-2prep.processing"]}
    machine = {"sm_job": "my-job", "sm_kind": "training", "sm_instance_type": "ml.g5.48xlarge"}
    variables = found["_meta"]["hostvars"]
    assert variables["sm-my-job.algo-1"] == {**machine, "sm_node": "algo-1"}
    assert variables["sm-my-job.algo-2"] == {
        **machine,
        "sm_node": "algo-2",
        "ansible_user": "worker",
    }
    assert "ansible_user" not in variables["sm-2prep.processing"]


def test_two_jobs_never_share_a_group(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = account(
        DescribeTrainingJob=description(TrainingJobName="2prep-processing"),
        ListTrainingJobs={"TrainingJobSummaries": [line("2prep-processing")]},
    )
    monkeypatch.setattr(command, "Aws", lambda *_: named)
    found = json.loads(shown(capsys, "--format", "ansible"))
    assert found["sm_2prep_processing_training"] == {"hosts": ["sm-2prep-processing"]}
    assert found["sm_2prep_processing_processing"] == {"hosts": ["sm-2prep.processing"]}
    assert "sm_2prep_processing" not in found


def test_an_empty_name_does_not_mean_all_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nodes", "", "--format", "pdsh"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "bad-name" in err


@pytest.mark.parametrize(("prefix", "group"), [("sm-", "sm_my_job"), ("2-", "_2_my_job")])
def test_names_of_groups_are_valid(
    capsys: pytest.CaptureFixture[str], prefix: str, group: str
) -> None:
    words = (f"{prefix}my-job", "--format", "ansible", "--prefix", prefix)
    assert group in json.loads(shown(capsys, *words))


def test_the_data_names_each_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nodes", "sm-my-job.2", "--json"]) == 0
    expected = {"host": "sm-my-job.algo-2", "job": "my-job", "kind": "training", "node": "algo-2"}
    assert answer(capsys)["data"] == {"nodes": [expected]}


def test_a_job_that_is_over_has_no_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nodes", "sm-old"]) == 1
    assert "job-ended" in capsys.readouterr().err
