"""The channel lies in a bucket that the job's role may read, of those that the job uses."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import bucket
from tests.fakes import FakeAws

ROLE = "arn:aws:iam::111122223333:role/job"
DENIED = SmProxyError("access-denied", "denied", "Allow it.")


def channel(name: str, url: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": url}}}


def training(**changes: Any) -> dict[str, Any]:
    request = {
        "RoleArn": ROLE,
        "HyperParameters": {"sagemaker_submit_directory": '"s3://submitted/a/sourcedir.tar.gz"'},
        "InputDataConfig": [channel("train", "s3://data/train"), channel("code", "s3://code/x")],
        "OutputDataConfig": {"S3OutputPath": "s3://output/x"},
    }
    return {name: value for name, value in {**request, **changes}.items() if value is not None}


def allows(*denied: str) -> Any:
    """SimulatePrincipalPolicy: everything is allowed but what lies in these buckets."""

    def simulate(**asked: Any) -> dict[str, Any]:
        (resource,) = asked["ResourceArns"]
        refused = any(f":::{name}" in resource for name in denied)
        decision = "implicitDeny" if refused else "allowed"
        return {
            "EvaluationResults": [
                {"EvalActionName": action, "EvalDecision": decision}
                for action in asked["ActionNames"]
            ]
        }

    return simulate


def exist(*names: str) -> Any:
    def head(**asked: Any) -> dict[str, Any]:
        if asked["Bucket"] not in names:
            raise ServiceError("404", "Not Found", "s3:HeadBucket")
        assert asked["ExpectedBucketOwner"] == "111122223333"
        return {}

    return head


def aws_with(simulate: Any = None, head: Any = None) -> FakeAws:
    return FakeAws(SimulatePrincipalPolicy=simulate or allows(), HeadBucket=head or {})


ORDER: dict[str, tuple[dict[str, Any], str]] = {
    "submitted code": ({}, "submitted"),
    "the code's channel": ({"HyperParameters": None}, "code"),
    "the output": (
        {"HyperParameters": {}, "InputDataConfig": [channel("train", "s3://data/train")]},
        "output",
    ),
    "not an access point": (
        {"HyperParameters": None, "InputDataConfig": [channel("code", f"s3://{ROLE}/a")]},
        "output",
    ),
    "the data": (
        {
            "HyperParameters": {"sagemaker_submit_directory": "/opt/ml/code"},
            "InputDataConfig": [channel("train", "s3://data/train")],
            "OutputDataConfig": None,
        },
        "data",
    ),
}


@pytest.mark.parametrize("case", ORDER)
def test_the_bucket_of_the_code_comes_first(case: str) -> None:
    changes, name = ORDER[case]
    found = bucket.choose(aws_with(), "CreateTrainingJob", training(**changes))
    assert found == bucket.Root(f"s3://{name}/sm-proxy/channel", owner="111122223333")


def test_a_processing_job_has_its_own_places() -> None:
    output = {"Outputs": [{"OutputName": "o", "S3Output": {"S3Uri": "s3://output/x"}}]}
    inputs = [{"InputName": "code", "S3Input": {"S3Uri": "s3://code/run.py"}}]
    request = {"RoleArn": ROLE, "ProcessingInputs": inputs, "ProcessingOutputConfig": output}
    found = bucket.choose(aws_with(), "CreateProcessingJob", request)
    assert found.url == "s3://code/sm-proxy/channel"
    request["ProcessingInputs"] = [{"InputName": "x"}]
    found = bucket.choose(aws_with(), "CreateProcessingJob", request)
    assert found.url == "s3://output/sm-proxy/channel"


def test_a_bucket_of_another_account_is_passed_over() -> None:
    aws = aws_with(head=exist("output"))
    assert bucket.choose(aws, "CreateTrainingJob", training()).url.startswith("s3://output/")


def test_a_bucket_that_the_role_may_not_read_is_passed_over() -> None:
    aws = aws_with(allows("submitted"))
    assert bucket.choose(aws, "CreateTrainingJob", training()).url.startswith("s3://code/")


def test_a_role_that_may_read_no_bucket_is_refused() -> None:
    with pytest.raises(SmProxyError) as caught:
        bucket.choose(aws_with(allows("")), "CreateTrainingJob", training())
    assert caught.value.code == "bucket-unreadable"
    assert "s3:GetObject and s3:ListBucket on s3://submitted/sm-proxy" in caught.value.message
    assert ROLE in caught.value.message
    assert "SM_PROXY_LAUNCH_S3=" in caught.value.hint


def test_the_sdks_bucket_is_the_last_choice() -> None:
    default = "sagemaker-eu-west-1-111122223333"
    aws = aws_with(head=exist(default))
    found = bucket.choose(aws, "CreateProcessingJob", {"RoleArn": ROLE})
    assert found == bucket.Root(f"s3://{default}/sm-proxy/channel", owner="111122223333")
    aws = aws_with(allows("submitted", "code", "output", "data"))
    assert bucket.choose(aws, "CreateTrainingJob", training()) == found


def test_a_request_without_a_bucket_is_refused() -> None:
    with pytest.raises(SmProxyError) as caught:
        bucket.choose(aws_with(head=exist()), "CreateProcessingJob", {"RoleArn": ROLE})
    assert caught.value.code == "bucket-unreadable"
    assert "SM_PROXY_LAUNCH_S3=" in caught.value.hint


@pytest.mark.parametrize("unknown", [DENIED, ServiceError("NoSuchEntity", "x", "iam:x")])
def test_skipped_checks_are_reported(unknown: Exception) -> None:
    found = bucket.choose(aws_with(unknown), "CreateTrainingJob", training())
    assert found.url == "s3://submitted/sm-proxy/channel"
    assert found.note.startswith("Not checked")


def test_buckets_without_read_permission_are_still_used() -> None:
    found = bucket.choose(aws_with(head=DENIED), "CreateTrainingJob", training())
    assert found.url == "s3://submitted/sm-proxy/channel"
    assert found.note.startswith("Not checked")
    assert found.owner == "111122223333"  # S3 itself refuses a stranger's bucket


def test_the_users_own_folder_holds_even_if_the_role_may_not_read_it() -> None:
    """Its bucket's policy may allow that."""
    found = bucket.choose(
        aws_with(allows("mine")), "CreateTrainingJob", training(), "s3://mine/folder/"
    )
    assert found.url == "s3://mine/folder"
    assert found.owner == ""
    assert "s3:GetObject and s3:ListBucket on s3://mine/folder" in found.note
    assert bucket.choose(aws_with(), "CreateTrainingJob", training(), "s3://mine/x").note == ""


def test_the_channel_that_a_request_has_already_stays_where_it_is() -> None:
    ours = channel("sm_proxy", f"s3://data/mine/{'a' * 32}/")
    found = bucket.choose(FakeAws(), "CreateTrainingJob", training(InputDataConfig=[ours]))
    assert found == bucket.Root("s3://data/mine")


def test_a_condition_that_the_simulator_cannot_know_counts_as_allowed() -> None:
    result = {
        "EvalActionName": "s3:GetObject",
        "EvalDecision": "implicitDeny",
        "MissingContextValues": ["aws:SourceVpce"],
    }
    aws = aws_with(lambda **_: {"EvaluationResults": [result]})
    assert bucket.choose(aws, "CreateTrainingJob", training()).note == ""


def test_all_pages_of_the_simulator_are_read() -> None:
    more = {"EvaluationResults": [], "IsTruncated": True, "Marker": "m"}
    last = {
        "EvaluationResults": [{"EvalActionName": "s3:GetObject", "EvalDecision": "explicitDeny"}]
    }
    aws = aws_with([more, last])
    with pytest.raises(SmProxyError, match="s3:GetObject"):
        bucket.choose(
            aws, "CreateTrainingJob", training(HyperParameters=None, InputDataConfig=None)
        )
    assert aws.calls[2][1]["Marker"] == "m"


@pytest.mark.parametrize("region", ["aws-cn", "aws-us-gov"])
def test_the_partition_of_the_role_is_that_of_the_bucket(region: str) -> None:
    aws = aws_with()
    bucket.choose(
        aws, "CreateTrainingJob", training(RoleArn=ROLE.replace("arn:aws:", f"arn:{region}:"))
    )
    assert aws.calls[1][1]["ResourceArns"] == [
        f"arn:{region}:s3:::submitted/sm-proxy/channel/entrypoint.sh"
    ]


def test_a_bucket_of_another_region_is_passed_over_or_refused() -> None:
    def head(**asked: Any) -> dict[str, Any]:
        return {"BucketRegion": FakeAws().region if asked["Bucket"] == "output" else "xx-north-9"}

    aws = aws_with(head=head)
    found = bucket.choose(aws, "CreateTrainingJob", training(), "s3://output/mine/")
    assert found.url == "s3://output/mine"
    assert bucket.choose(aws, "CreateTrainingJob", training()).url.startswith("s3://output/")
    with pytest.raises(SmProxyError) as caught:
        bucket.choose(aws, "CreateTrainingJob", training(), "s3://far/mine")
    assert caught.value.code == "bucket-unreadable"
    assert "s3://far/mine is in xx-north-9" in caught.value.message
