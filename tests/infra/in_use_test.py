from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.infra import in_use
from tests.fakes import LISTS, Answers, FakeAws, description

AGAIN = "sm-proxy infra delete --images"
SUBNETS = ("subnet-1", "subnet-2")


def account(**jobs: str) -> FakeAws:
    """An account whose training jobs, by name, run in these subnets."""
    answers: dict[str, Answers] = {name: {} for name in LISTS}
    answers["ListTrainingJobs"] = {
        "TrainingJobSummaries": [
            {
                "TrainingJobName": name.replace("_", "-"),
                "CreationTime": description()["SecondaryStatusTransitions"][0]["StartTime"],  # type: ignore[index]
                "TrainingJobStatus": "InProgress",
            }
            for name in jobs
        ]
    }

    def described(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803 - the API's name
        network = {
            "Subnets": [jobs[TrainingJobName.replace("-", "_")]],
            "SecurityGroupIds": ["sg-1"],
        }
        return dict(description(TrainingJobName=TrainingJobName, VpcConfig=network))  # type: ignore[arg-type]

    answers["DescribeTrainingJob"] = described
    return FakeAws(**answers)


def interface(name: str, **changes: Any) -> dict[str, Any]:
    return {"NetworkInterfaceId": name, "InterfaceType": "interface", **changes}


def test_only_jobs_in_the_subnets_are_found() -> None:
    aws = account(mine="subnet-2", elsewhere="subnet-9")
    assert [job.name for job in in_use.jobs(aws, SUBNETS, print)] == ["mine"]
    assert in_use.jobs(FakeAws(), (), print) == ()


def test_the_stacks_own_interfaces_do_not_count() -> None:
    aws = FakeAws(
        DescribeNetworkInterfaces=[
            {
                "NetworkInterfaces": [
                    interface("eni-nat", InterfaceType="nat_gateway"),
                    interface("eni-endpoint", InterfaceType="vpc_endpoint"),
                    interface("eni-bastion", Attachment={"InstanceId": "i-bastion"}),
                ],
                "NextToken": "2",
            },
            {"NetworkInterfaces": [interface("eni-2", Attachment={"InstanceId": "i-2"})]},
            {
                "NetworkInterfaces": [
                    interface("eni-1", Description="[Do not delete] Network interface created")
                ]
            },
        ]
    )
    found = in_use.interfaces(aws, SUBNETS, ("sg-job",), ("i-bastion",))
    assert [(item.id, item.of_sagemaker) for item in found] == [("eni-1", True), ("eni-2", False)]
    assert found[1].words == "of i-2"


def test_in_an_existing_vpc_only_our_groups_are_asked_for() -> None:
    aws = FakeAws(DescribeNetworkInterfaces={"NetworkInterfaces": []})
    assert in_use.interfaces(aws, (), ("sg-job",), ()) == ()
    filters = [given["Filters"] for _, given in aws.calls]
    assert filters == [[{"Name": "group-id", "Values": ["sg-job"]}]]


def test_the_error_names_the_jobs_and_the_command_that_ends_one() -> None:
    running = in_use.jobs(account(one="subnet-1"), SUBNETS, print)
    error = in_use.refusal("sm-proxy", running, (), "sm-", AGAIN)
    assert error is not None
    assert error.code == "in-use"
    assert "training job one (Training)" in error.message
    assert "`sm-proxy stop sm-one`" in error.hint
    assert f"`{AGAIN}` again" in error.hint


@pytest.mark.parametrize(
    ("of_sagemaker", "hint"), [(True, "some minutes after"), (False, "Remove what they belong to")]
)
def test_the_error_names_other_interfaces(hint: str, *, of_sagemaker: bool) -> None:
    error = in_use.refusal(
        "sm-proxy", (), (in_use.Interface("eni-1", "of i-2", of_sagemaker),), "sm-", AGAIN
    )
    assert error is not None
    assert "eni-1 (of i-2)" in error.message
    assert hint in error.hint
    assert in_use.refusal("sm-proxy", (), (), "sm-", AGAIN) is None
