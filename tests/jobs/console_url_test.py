from __future__ import annotations

import pytest

from sm_proxy.jobs.console_url import link


@pytest.mark.parametrize(
    ("partition", "region", "start"),
    [
        ("aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com/"),
        ("aws-cn", "cn-north-1", "https://console.amazonaws.cn/"),
        ("aws-us-gov", "us-gov-west-1", "https://console.amazonaws-us-gov.com/"),
    ],
)
def test_the_console_of_each_partition(partition: str, region: str, start: str) -> None:
    arn = f"arn:{partition}:sagemaker:{region}:123456789012:training-job/bert"
    assert link(arn, "jobs", "Bert") == f"{start}sagemaker/home?region={region}#/jobs/Bert"


@pytest.mark.parametrize(
    "arn", ["", "arn", "arn:aws-iso:sagemaker:us-iso-east-1:1:x", "arn:aws:sagemaker:a.b/:1:x"]
)
def test_an_unknown_partition_has_no_link(arn: str) -> None:
    assert link(arn, "jobs", "x") == ""


def test_a_name_is_quoted_in_the_link() -> None:
    assert link("arn:aws:sagemaker:x:1:y", "jobs", "a/b c").endswith("#/jobs/a%2Fb%20c")
