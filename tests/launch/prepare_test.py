"""A request is made ready by asking AWS only, and nothing is sent after a refusal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.launch import download, prepare, wheels
from sm_proxy.launch.prepare import Prepared
from sm_proxy.launch.request import Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import LaunchNetwork
from tests.fakes import ECDSA_KEY, HOST_KEY, FakeAws

DENIED = SmProxyError("access-denied", "it is denied", "Allow it.")
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/train:v1"
ROLE = "arn:aws:iam::111122223333:role/job"
SSH = Ssh(keys=(HOST_KEY,))
CHANGING = {"CreateTrainingJob", "CreateProcessingJob", "PutObject"}


def training(**changes: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TrainingJobName": "job",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://output/x"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "VpcConfig": {"Subnets": ["subnet-job"], "SecurityGroupIds": ["sg-job"]},
    }
    return {name: value for name, value in {**request, **changes}.items() if value is not None}


class Cloud(FakeAws):
    """An AWS in which everything fits; tests change single answers."""

    def __init__(self, config: dict[str, Any] | None = None, **answers: Any) -> None:
        group = {
            "IpProtocol": "tcp",
            "FromPort": 2222,
            "ToPort": 2222,
            "UserIdGroupPairs": [{"GroupId": "sg-bastion"}],
        }
        out = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        bastion = {
            "InstanceId": "i-1",
            "State": {"Name": "running"},
            "VpcId": "vpc-1",
            "SubnetId": "subnet-bastion",
            "PrivateIpAddress": "10.0.0.9",
            "SecurityGroups": [{"GroupId": "sg-bastion"}],
        }
        self.config = json.dumps(config or PYTHON).encode()
        digest = f"sha256:{hashlib.sha256(self.config).hexdigest()}"
        manifest = json.dumps({"config": {"digest": digest}})
        fitting: dict[str, Any] = {
            "BatchGetImage": {"images": [{"imageManifest": manifest}]},
            "GetDownloadUrlForLayer": {"downloadUrl": "https://x"},
            "DescribeSubnets": {
                "Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.0.1.0/24"}]
            },
            "DescribeInstances": {"Reservations": [{"Instances": [bastion]}]},
            "DescribeInstanceInformation": {
                "InstanceInformationList": [{"InstanceId": "i-1", "PingStatus": "Online"}]
            },
            "DescribeSecurityGroups": {
                "SecurityGroups": [
                    {"GroupId": "sg-bastion", "IpPermissionsEgress": [out]},
                    {"GroupId": "sg-job", "IpPermissions": [group]},
                ]
            },
            "DescribeRouteTables": {
                "RouteTables": [
                    {
                        "Associations": [{"Main": True}],
                        "Routes": [{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "n"}],
                    }
                ]
            },
            "DescribeVpcEndpoints": {"VpcEndpoints": []},
            "HeadBucket": {},
            "ListObjectsV2": {},
            "PutObject": {},
            "SimulatePrincipalPolicy": {"EvaluationResults": []},
            "CreateTrainingJob": {"TrainingJobArn": "arn"},
            "CreateProcessingJob": {"ProcessingJobArn": "arn"},
        }
        super().__init__(**{**fitting, **answers})


PYTHON = {
    "architecture": "amd64",
    "config": {"Entrypoint": ["python", "train.py"]},
}
SSHD = {**PYTHON, "history": [{"created_by": "RUN apt-get install -y openssh-server"}]}
BARE = {"config": {"Entrypoint": ["/app"]}}
DISTROLESS = {**PYTHON, "history": [{"created_by": "bazel build ..."}]}
OURS = {"config": {"Entrypoint": ["/opt/sm-proxy/entrypoint.sh", "/app"]}}


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def content(aws: Any, *_: object, **__: object) -> bytes:
        found: bytes = aws.config
        return found

    monkeypatch.setattr(download, "fetch", content)
    monkeypatch.setattr(wheels, "for_architecture", lambda *_: {"wheels.json": b"[]"})


def prepared(aws: FakeAws, operation: Operation = "CreateTrainingJob", **changes: Any) -> Prepared:
    options = {
        name: changes.pop(name) for name in ("sure", "entrypoint", "settings") & changes.keys()
    }
    ssh = changes.pop("ssh", SSH)
    request = changes.pop("request", None) or training(**changes)
    return prepare.prepare(aws, operation, request, ssh, **options)


def simulates(*denied: str) -> Callable[..., dict[str, Any]]:
    def simulate(**asked: Any) -> dict[str, Any]:
        return {
            "EvaluationResults": [
                {
                    "EvalActionName": name,
                    "EvalDecision": "implicitDeny" if name in denied else "allowed",
                }
                for name in asked["ActionNames"]
            ]
        }

    return simulate


def test_a_request_gets_what_runs_in_the_image_and_a_bucket_of_its_own() -> None:
    aws = Cloud()
    found = prepared(aws)
    request = found.made.request
    assert request["AlgorithmSpecification"]["ContainerArguments"] == [
        "python",
        "train.py",
        "train",
    ]
    assert found.made.channel is not None
    assert found.made.channel.uri.startswith("s3://output/sm-proxy/channel/")
    assert found.made.channel.owner == "111122223333"
    assert found.made.channel.files["wheels/wheels.json"] == b"[]"
    assert request["Environment"]["SM_PROXY_PORT"] == "2222"
    assert request["Environment"]["SM_PROXY_IMAGE_KEYS"] == "no"
    assert found.notes == ()
    assert CHANGING.isdisjoint(aws.operations())


def test_preparing_a_prepared_request_changes_nothing() -> None:
    first = prepared(Cloud()).made
    second = prepared(Cloud(), request=first.request).made
    assert second.changes == ()
    assert second.request == first.request


def test_keys_that_the_request_has_are_named_as_they_may_log_in_too() -> None:
    found = prepared(Cloud(), Environment={"SM_PROXY_AUTHORIZED_KEY": f"{ECDSA_KEY} bob@desk"})
    (note,) = found.notes
    assert "bob@desk" in note
    assert ECDSA_KEY in str(found.made.request["Environment"])


def test_an_image_with_sshd_needs_no_wheels() -> None:
    channel = prepared(Cloud(SSHD)).made.channel
    assert channel is not None
    assert not [name for name in channel.files if name.startswith("wheels/")]


def test_an_image_with_our_entry_point_needs_no_channel_and_keeps_its_port() -> None:
    aws = Cloud(OURS)
    found = prepared(aws)
    assert found.made.channel is None
    assert "SM_PROXY_PORT" not in found.made.request["Environment"]
    assert "SM_PROXY_IMAGE_KEYS" not in found.made.request["Environment"]
    assert "HeadBucket" not in aws.operations()
    prepare.submit(aws, found)
    assert aws.operations().count("PutObject") == 0


def test_a_port_that_the_request_names_stays() -> None:
    found = prepared(Cloud(), Environment={"SM_PROXY_PORT": "2222"})
    assert "SM_PROXY_PORT" not in str([change.path for change in found.made.changes])


def test_a_job_without_vpc_goes_where_the_bastion_reaches_it() -> None:
    aws = Cloud()
    found = prepared(aws, VpcConfig=None)
    assert found.made.request["VpcConfig"] == {
        "Subnets": ["subnet-bastion"],
        "SecurityGroupIds": ["sg-job"],
    }
    assert "VpcConfig" in [change.path for change in found.made.changes]
    asked = [given for name, given in aws.calls if name == "SimulatePrincipalPolicy"]
    assert "ec2:CreateNetworkInterface" in asked[0]["ActionNames"]


def test_a_network_that_the_user_names_wins() -> None:
    ssh = Ssh(keys=SSH.keys, subnets=("subnet-2",), security_groups=("sg-job",))
    found = prepared(Cloud(), VpcConfig=None, ssh=ssh)
    assert found.made.request["VpcConfig"]["Subnets"] == ["subnet-2"]


LAUNCH = Settings(launch=LaunchNetwork("eu-west-1", ("subnet-set",), ("sg-job",)))


def test_a_job_without_vpc_goes_where_the_settings_say() -> None:
    found = prepared(Cloud(), VpcConfig=None, settings=LAUNCH)
    (change,) = [change for change in found.made.changes if change.path == "VpcConfig"]
    assert change.after == {"Subnets": ["subnet-set"], "SecurityGroupIds": ["sg-job"]}
    assert "[launch] in config.toml" in change.why


@pytest.mark.parametrize(
    ("vpc", "ssh", "region", "subnet"),
    [
        (None, Ssh(keys=SSH.keys, subnets=("subnet-2",), security_groups=("sg-job",)), "", "-2"),
        (training()["VpcConfig"], SSH, "", "-job"),
        (None, SSH, "us-east-1", "-bastion"),
    ],
)
def test_an_option_the_request_and_another_region_win_over_the_settings(
    vpc: Any, ssh: Ssh, region: str, subnet: str
) -> None:
    network = LaunchNetwork(region or "eu-west-1", ("subnet-set",), ("sg-job",))
    found = prepared(Cloud(), VpcConfig=vpc, ssh=ssh, settings=Settings(launch=network))
    assert found.made.request["VpcConfig"]["Subnets"] == [f"subnet{subnet}"]
    assert "[launch]" not in str(found.made.changes)


def test_a_job_with_remote_debug_needs_no_network_of_the_settings() -> None:
    ssh = Ssh(keys=SSH.keys, remote_debug=True)
    found = prepared(Cloud(), VpcConfig=None, ssh=ssh, settings=LAUNCH)
    assert "VpcConfig" not in found.made.request


def test_a_role_in_its_own_vpc_is_not_asked_about_network_interfaces() -> None:
    aws = Cloud()
    prepared(aws)
    asked = [given for name, given in aws.calls if name == "SimulatePrincipalPolicy"]
    assert "ec2:CreateNetworkInterface" not in str(asked)
    assert "DescribeRouteTables" not in aws.operations()


REMOTE_DEBUG = Ssh(keys=SSH.keys, remote_debug=True)


def test_a_job_with_remote_debug_needs_no_bastion_and_no_vpc() -> None:
    aws = Cloud(DescribeInstances=NO_BASTION)
    found = prepared(aws, VpcConfig=None, ssh=REMOTE_DEBUG)
    assert "VpcConfig" not in found.made.request
    assert found.made.request["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert not any(name.startswith("Describe") for name in aws.operations())
    asked = [given["ActionNames"] for name, given in aws.calls if name == "SimulatePrincipalPolicy"]
    assert "ssmmessages:OpenDataChannel" in asked[0]


def test_the_role_of_a_job_with_remote_debug_must_let_its_agent_connect() -> None:
    aws = Cloud(SimulatePrincipalPolicy=simulates("ssmmessages:OpenDataChannel"))
    with pytest.raises(SmProxyError, match="may not ssmmessages:OpenDataChannel") as caught:
        prepared(aws, VpcConfig=None, ssh=REMOTE_DEBUG)
    assert caught.value.code == "access-denied"
    unknown = Cloud(SimulatePrincipalPolicy=DENIED)
    notes = prepared(unknown, VpcConfig=None, ssh=REMOTE_DEBUG).notes
    assert "ssmmessages:CreateControlChannel" in notes[0]


def test_remote_debug_in_a_vpc_needs_a_route_to_session_manager() -> None:
    answers: dict[str, Any] = {"DescribeInstances": NO_BASTION}
    prepared(Cloud(**answers), ssh=REMOTE_DEBUG)
    closed_in = Cloud(**answers, DescribeRouteTables=NO_ROUTES)
    with pytest.raises(SmProxyError, match="no route to Session Manager") as caught:
        prepared(closed_in, ssh=REMOTE_DEBUG)
    assert caught.value.hint.endswith("or go on with --yes.")
    endpoint = {
        "ServiceName": "com.amazonaws.eu-west-1.ssmmessages",
        "VpcEndpointType": "Interface",
    }
    by_endpoint = {"DescribeVpcEndpoints": {"VpcEndpoints": [endpoint]}}
    prepared(Cloud(**answers, **by_endpoint, DescribeRouteTables=NO_ROUTES), ssh=REMOTE_DEBUG)


def test_the_settings_name_the_bucket_and_the_bastion() -> None:
    aws = Cloud()
    settings = Settings(launch_s3="s3://mine/here/", bastion="i-1")
    channel = prepared(aws, settings=settings, VpcConfig=None).made.channel
    assert channel is not None
    assert channel.uri.startswith("s3://mine/here/")
    assert {"InstanceIds": ["i-1"]} in [given for _, given in aws.calls]


def test_a_processing_job_runs_its_images_cmd() -> None:
    config = {"config": {"Entrypoint": ["python"], "Cmd": ["run.py"]}}
    request = {
        "ProcessingJobName": "job",
        "RoleArn": ROLE,
        "AppSpecification": {"ImageUri": IMAGE},
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge"}},
        "NetworkConfig": {"VpcConfig": training()["VpcConfig"]},
        "ProcessingOutputConfig": {"Outputs": [{"S3Output": {"S3Uri": "s3://output/x"}}]},
    }
    found = prepared(Cloud(config), "CreateProcessingJob", request=request)
    assert found.made.request["AppSpecification"]["ContainerArguments"] == ["python", "run.py"]


@pytest.mark.parametrize(
    ("instance", "architecture"), [("ml.g5.xlarge", "x86_64"), ("ml.p6e-gb200.36xlarge", "aarch64")]
)
def test_image_and_wheels_fit_the_instances(
    instance: str, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    config = {**PYTHON, "architecture": {"aarch64": "arm64"}.get(architecture, "amd64")}

    def fetch(name: str, _: object) -> dict[str, bytes]:
        wanted.append(name)
        return {}

    monkeypatch.setattr(wheels, "for_architecture", fetch)
    prepared(Cloud(config), ResourceConfig={"InstanceType": instance})
    assert wanted == [architecture]


def test_skipped_checks_are_notes() -> None:
    denied = {
        name: SmProxyError("access-denied", f"ec2:{name} is denied: User x may not", "Allow it.")
        for name in ("DescribeRouteTables", "DescribeSecurityGroups")
    }
    ssh = Ssh(keys=SSH.keys, subnets=("subnet-2",), security_groups=("sg-job",))
    aws = Cloud(None, **denied, SimulatePrincipalPolicy=DENIED)
    found = prepared(aws, VpcConfig=None, ssh=ssh)
    assert found.notes[:2] == (
        "Not checked: whether the bastion reaches the job (ec2:DescribeSecurityGroups is denied)",
        "Not checked: whether the job reaches S3 (ec2:DescribeRouteTables is denied)",
    )
    assert "attach network interfaces" in found.notes[2]
    assert "read our files in S3" in found.notes[3]


def test_a_refused_check_names_the_action_and_the_error() -> None:
    broken = ServiceError("InternalError", "no", "ec2:DescribeSecurityGroups")
    (note,) = prepared(Cloud(DescribeSecurityGroups=broken)).notes
    assert note.endswith("(ec2:DescribeSecurityGroups: InternalError)")


def test_a_group_that_ec2_does_not_know_is_refused_unless_the_user_is_sure() -> None:
    gone = ServiceError("InvalidGroup.NotFound", "no sg-job", "ec2:DescribeSecurityGroups")
    with pytest.raises(SmProxyError, match="no sg-job") as caught:
        prepared(Cloud(DescribeSecurityGroups=gone))
    assert caught.value.code == "no-vpc"
    assert caught.value.hint.endswith("--security-groups sg-...; or go on with --yes.")
    (note,) = prepared(Cloud(DescribeSecurityGroups=gone), sure=True).notes
    assert "no sg-job" in note


def test_an_unreadable_image_does_not_matter_if_the_command_is_known() -> None:
    specification = {"TrainingImage": IMAGE, "ContainerEntrypoint": ["/run"]}
    unreadable = Cloud(BatchGetImage=DENIED)
    found = prepared(unreadable, AlgorithmSpecification=specification)
    assert "Not checked: whether the image has" in found.notes[0]
    found = prepared(unreadable, entrypoint=("/app",))
    container = found.made.request["AlgorithmSpecification"]
    assert container["ContainerArguments"] == ["/app", "train"]


def test_a_named_entry_point_wins_over_the_images() -> None:
    container = prepared(Cloud(), entrypoint=("/app",)).made.request["AlgorithmSpecification"]
    assert container["ContainerArguments"] == ["/app", "train"]


def closed() -> dict[str, Any]:
    return {
        "SecurityGroups": [
            {
                "GroupId": "sg-bastion",
                "IpPermissionsEgress": [
                    {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
                ],
            },
            {"GroupId": "sg-job", "IpPermissions": []},
        ]
    }


NO_ROUTES: dict[str, Any] = {"RouteTables": []}
NO_BASTION: dict[str, Any] = {"Reservations": []}
Case = tuple[dict[str, Any], dict[str, Any], str, str]
REFUSED: dict[str, Case] = {
    "isolation": ({}, {"EnableNetworkIsolation": True}, "network-isolation", "--without-isolation"),
    "serverless": ({}, {"ServerlessJobConfig": {"JobType": "x"}}, "serverless", "ResourceConfig"),
    "no image": ({}, {"AlgorithmSpecification": {}}, "unsupported", "TrainingImage"),
    "unreadable image": ({"BatchGetImage": DENIED}, {}, "image-unreadable", "--entrypoint"),
    "public image": (
        {},
        {"AlgorithmSpecification": {"TrainingImage": "ubuntu:22.04"}},
        "image-unreadable",
        "--entrypoint",
    ),
    "no VPC": ({"DescribeInstances": NO_BASTION}, {"VpcConfig": None}, "no-vpc", "--subnets"),
    "no bucket": (
        {"HeadBucket": DENIED},
        {"OutputDataConfig": None},
        "bucket-unreadable",
        "SM_PROXY_LAUNCH_S3",
    ),
    "unreadable bucket": (
        {"SimulatePrincipalPolicy": simulates("s3:GetObject")},
        {},
        "bucket-unreadable",
        "SM_PROXY_LAUNCH_S3",
    ),
    "role without network interfaces": (
        {"SimulatePrincipalPolicy": simulates("ec2:CreateNetworkInterface")},
        {"VpcConfig": None},
        "access-denied",
        "Allow these actions",
    ),
}
DOUBTED: dict[str, Case] = {
    "closed port": (
        {"DescribeSecurityGroups": closed()},
        {},
        "sshd-silent",
        "authorize-security-group-ingress",
    ),
    "no bastion": ({"DescribeInstances": NO_BASTION}, {}, "no-bastion", "--bastion"),
    "offline": (
        {"DescribeInstanceInformation": {}},
        {},
        "bastion-offline",
        "SSM agent",
    ),
    "no way to S3": (
        {"DescribeRouteTables": NO_ROUTES},
        {"VpcConfig": None},
        "no-vpc",
        "gateway endpoint",
    ),
    "other machine": (
        {"config": {**PYTHON, "architecture": "arm64"}},
        {},
        "no-server",
        "platform linux/amd64",
    ),
    "no server": ({"config": BARE}, {}, "no-server", "openssh-server"),
    "no shell": ({"config": DISTROLESS}, {}, "no-server", "an image with a shell"),
}


@pytest.mark.parametrize("case", [*REFUSED, *DOUBTED])
def test_a_refusal_has_a_code_and_a_way_out_and_sends_nothing(case: str) -> None:
    answers, changes, code, hint = {**REFUSED, **DOUBTED}[case]
    aws = Cloud(**answers)
    with pytest.raises(SmProxyError) as caught:
        prepared(aws, **changes)
    assert caught.value.code == code
    assert hint in caught.value.hint
    assert ("--yes" in caught.value.hint) is (case in DOUBTED)
    assert CHANGING.isdisjoint(aws.operations())


@pytest.mark.parametrize("case", REFUSED)
def test_no_yes_helps_against_a_refusal(case: str) -> None:
    answers, changes, code, _ = REFUSED[case]
    with pytest.raises(SmProxyError) as caught:
        prepared(Cloud(**answers), sure=True, **changes)
    assert caught.value.code == code


@pytest.mark.parametrize("case", DOUBTED)
def test_a_doubt_is_a_note_for_a_user_who_is_sure(case: str) -> None:
    answers, changes, _, hint = DOUBTED[case]
    (note,) = prepared(Cloud(**answers), sure=True, **changes).notes
    assert note.startswith("ssh may not reach the job: ")
    assert hint in note


def test_wheels_that_cannot_be_fetched_are_a_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> dict[str, bytes]:
        raise SmProxyError("missing-dependency", "there is no pip", "Install pip.")

    monkeypatch.setattr(wheels, "for_architecture", fail)
    with pytest.raises(SmProxyError) as caught:
        prepared(Cloud())
    assert caught.value.code == "missing-dependency"
    assert caught.value.hint == "Install pip; or go on with --yes."
    assert prepared(Cloud(SSHD)).notes == ()
    assert "no pip" in prepared(Cloud(), sure=True).notes[0]


@pytest.mark.parametrize("code", ["no-credentials", "expired-credentials", "throttled"])
@pytest.mark.parametrize("operation", ["BatchGetImage", "HeadBucket", "DescribeSubnets"])
def test_errors_of_the_credentials_end_it(code: Any, operation: str) -> None:
    answers: dict[str, Any] = {operation: SmProxyError(code, "x")}
    with pytest.raises(SmProxyError) as caught:
        prepared(Cloud(**answers), sure=True)
    assert caught.value.code == code


def test_the_channel_is_uploaded_before_the_job_is_made() -> None:
    aws = Cloud()
    found = prepared(aws)
    assert prepare.submit(aws, found) == {"TrainingJobArn": "arn"}
    names = [name for name, _ in aws.calls if name in CHANGING]
    assert names[-1] == "CreateTrainingJob"
    assert names.count("PutObject") == len(names) - 1 > 10
    assert aws.calls[-1][1] == found.made.request


def test_no_job_is_made_if_the_upload_is_denied() -> None:
    aws = Cloud(PutObject=DENIED)
    with pytest.raises(SmProxyError) as caught:
        prepare.submit(aws, prepared(aws))
    assert caught.value.code == "access-denied"
    assert "CreateTrainingJob" not in aws.operations()


def test_a_refusal_does_not_repeat_the_values_of_variables() -> None:
    told = "Value '{KEY=hunter2-long, PAIR=hunter2-long and more}' at 'environment' failed"
    refusal = ServiceError("ValidationException", told, "sagemaker:CreateTrainingJob")
    variables = {"KEY": "hunter2-long", "PAIR": "hunter2-long and more", "SHORT": "at"}
    aws = Cloud(CreateTrainingJob=refusal)
    with pytest.raises(SmProxyError) as caught:
        prepare.submit(aws, prepared(aws, Environment=variables))
    assert "Value '{KEY=..., PAIR=...}' at 'environment' failed" in caught.value.message


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("ResourceInUse", "--name"),
        ("ResourceLimitExceeded", "Service Quotas"),
        ("ValidationException", "No job was created"),
        ("InternalFailure", "may have been created"),
    ],
)
def test_a_refusal_of_the_service_has_a_way_out(error: str, hint: str) -> None:
    refused = ServiceError(error, "why", "sagemaker:CreateTrainingJob")
    aws = Cloud(CreateTrainingJob=refused, DescribeTrainingJob={"RoleArn": "of another job"})
    with pytest.raises(SmProxyError) as caught:
        prepare.submit(aws, prepared(aws))
    assert caught.value.code == "aws-error"
    assert "why" in caught.value.message
    assert hint in caught.value.hint


def test_a_lost_answer_may_mean_a_job() -> None:
    aws = Cloud(CreateTrainingJob=SmProxyError("network", "lost", "Check the network."))
    with pytest.raises(SmProxyError) as caught:
        prepare.submit(aws, prepared(aws))
    hint = "Check the network. The job may have been created all the same: see `sm-proxy list`."
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("age", "changes", "ours"),
    [
        (-60, {}, True),
        (30, {}, False),
        (-60, {"Environment": {}}, False),
        (-60, {"TrainingJobStatus": "Failed"}, False),
    ],
    ids=["this run", "an earlier run", "another request", "failed"],
)
def test_a_job_whose_creation_was_repeated_is_not_refused(
    age: float, changes: dict[str, Any], *, ours: bool
) -> None:
    in_use = ServiceError("ResourceInUse", "why", "sagemaker:CreateTrainingJob")
    found = prepared(Cloud())
    created = datetime.now(timezone.utc) - timedelta(seconds=age)
    status = {"TrainingJobStatus": "InProgress", "CreationTime": created, "TrainingJobArn": "arn"}
    told = {**found.made.request, **status, **changes}
    aws = Cloud(CreateTrainingJob=in_use, DescribeTrainingJob=told)
    if ours:
        assert prepare.submit(aws, found)["TrainingJobArn"] == "arn"
    else:
        with pytest.raises(SmProxyError, match="why"):
            prepare.submit(aws, found)
