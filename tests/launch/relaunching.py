"""A job that has failed, and a stand-in for what is asked of AWS before a job is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import request as requests
from sm_proxy.launch.channel import Channel
from sm_proxy.launch.prepare import Prepared
from sm_proxy.launch.request import Ssh
from sm_proxy.launch.shapes import Operation
from tests.fakes import DESCRIBES, HOST_KEY, JOB, Answers, FakeAws, description

ROLE = "arn:aws:iam::111122223333:role/train"
GONE = ServiceError("ValidationException", "Requested resource not found.", "x")
DENIED = SmProxyError("access-denied", "pricing:GetProducts is denied", "")
SSH = Ssh(keys=(HOST_KEY,))


def failed(**changes: Any) -> Any:
    """What DescribeTrainingJob returns for a job that has failed, and that names its command."""
    spec = {"TrainingImage": "image", "TrainingInputMode": "File", "ContainerEntrypoint": ["run"]}
    known = {
        "TrainingJobArn": f"arn:aws:sagemaker:eu-west-1:111122223333:training-job/{JOB}",
        "AlgorithmSpecification": spec,
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "ResourceConfig": {
            "InstanceType": "ml.g5.12xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 7200},
        "FailureReason": "AlgorithmError: , exit code: 1",
        **changes,
    }
    return description("Failed", "Failed", **known)


def account(told: Any = None, **answers: Answers) -> FakeAws:
    """An account in which `my-job` has failed."""
    gone: dict[str, Answers] = dict.fromkeys(DESCRIBES, GONE)
    own: dict[str, Answers] = {
        "DescribeTrainingJob": lambda TrainingJobName: _only(TrainingJobName, told or failed()),  # noqa: N803
        "ListTags": {"Tags": [{"Key": "team", "Value": "nlp"}]},
        "ListTrainingJobs": {"TrainingJobSummaries": []},
        "GetProducts": DENIED,
        "ListObjectsV2": {},
        "CreateTrainingJob": {"TrainingJobArn": "arn"},
    }
    return FakeAws(**{**gone, **own, **answers})


def prepare(
    _: Any, operation: Operation, request: Mapping[str, Any], ssh: Ssh, **options: Any
) -> Prepared:
    """Stands in for `prepare.prepare`: asks nothing."""
    channel = Channel("s3://bucket/sm-proxy/channel", {"entrypoint.sh": b'exec "$@"\n'})
    made = requests.add_ssh(operation, request, ssh, channel, options["entrypoint"])
    return Prepared(operation, made, ("the role may read the bucket",))


def _only(name: str, told: Any) -> Any:
    if name != told["TrainingJobName"]:
        raise GONE
    return told
