"""Requests that break the rules of the service's model are refused with the messages of AWS."""

from __future__ import annotations

import pytest

from tests.lab.aws.harness import Lab, job_request, refusal


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (
            "no_underscore",
            "satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        ("x" * 64, "have length less than or equal to 63"),
    ],
)
def test_an_illegal_job_name_is_refused(lab: Lab, name: str, rule: str) -> None:
    words = (
        f"1 validation error detected: Value '{name}' at 'trainingJobName' failed to satisfy "
        f"constraint: Member must {rule}"
    )
    describe = lab.client("sagemaker").describe_training_job
    assert refusal(describe, TrainingJobName=name) == ("ValidationException", words, 400)


def test_an_environment_that_is_too_large_is_refused(lab: Lab) -> None:
    create = lab.client("sagemaker").create_training_job
    request = job_request("too-much") | {"Environment": {"KEY": "x" * 513}}
    code, words, _ = refusal(create, **request)
    assert code == "ValidationException"
    assert "'environment.KEY.member'" in words
    assert "less than or equal to 512" in words
