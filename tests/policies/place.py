"""An account of the lab with a running job and a bastion, and commands that run in this process."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest

from sm_proxy import cli
from sm_proxy.infra import policies
from sm_proxy.routes import sessions
from sm_proxy_lab.machines import role_credentials
from tests.fakes import marker_line
from tests.lab.aws.harness import REGION, FakeGateway, Lab, job_request
from tests.lab.aws.iam.identities import ADMINISTRATOR, client, make_role, session
from tests.lab.aws.sagemaker import clusters_test
from tests.lab.aws.sagemaker.studio.conftest import QUICK, SPEC, app

ACCOUNT: Final = "123456789012"
REGISTRY: Final = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
BUCKET: Final = f"sagemaker-{REGION}-{ACCOUNT}"
"""The bucket of the SageMaker SDKs, in which jobs have code and data."""
ELSEWHERE: Final = "eu-west-1"
"""The region of the stack: its bastion is none for the jobs."""
IMAGE: Final = f"{REGISTRY}/theirs:latest"
SCOPE: Final = policies.Scope("aws", REGION, ACCOUNT, job_roles=("sm-proxy-lab",))
_ERROR: Final = re.compile(r"^sm-proxy: ([a-z-]+): ", re.MULTILINE)


class ClosedGateway(FakeGateway):
    """Its sessions lead to a port of the loopback on which nobody listens."""

    port: Final = 1

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        begun = super()._start(request)
        return begun | {"StreamUrl": f"ws://127.0.0.1:{self.port}/{begun['SessionId']}"}


@dataclass(frozen=True)
class Outcome:
    """How a command has ended.

    Attributes:
        status: its exit status.
        code: of its error; None without one.
        shown: all that it printed.
        calls: the lines of the record of calls.
        needed: the IAM actions that its own calls needed.
        through: those that calls of CloudFormation for it needed.
    """

    status: int
    code: str | None
    shown: str
    calls: tuple[dict[str, Any], ...]
    needed: frozenset[str]
    through: frozenset[str]

    @property
    def denied(self) -> list[dict[str, Any]]:
        """The calls that were denied, whoever made them."""
        words = ("AccessDenied", "Unauthorized")
        return [call for call in self.calls if call.get("error", "").startswith(words)]


@dataclass
class Place:
    """The account.

    Attributes:
        lab: its endpoint.
        bastion: the id of an instance.
        role: the ARN of the role under test.
        vpc: the subnet and the group of jobs.
        keys: variables with the credentials of a session of that role.
        folder: for the files of commands.
        capture: what takes a command's output.
        variables: the environment of commands, with the administrator's credentials.
        names: what stands for a word in braces of a command.
    """

    lab: Lab
    bastion: str
    role: str
    vpc: dict[str, list[str]]
    keys: dict[str, str]
    folder: Path
    capture: pytest.CaptureFixture[str] | None = None
    variables: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    made: int = 0

    def next_name(self, prefix: str) -> str:
        """A name that no job has had."""
        self.made += 1
        return f"{prefix}-{self.made}"

    def start_job(self, name: str, words: str) -> None:
        """A training job in the VPC, whose first container has written `words`."""
        _start_job(self.lab, name, self.vpc, words)

    def client(self, service: str) -> Any:
        """The administrator's client in the region of the stack."""
        return self.lab.client(service, ELSEWHERE)

    def ensure_stack(self) -> None:
        """Deploy the stack, unless it is there and whole."""
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        if stacks and stacks[0]["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return
        if stacks:
            self.run("infra", "delete", "--yes", "--region", ELSEWHERE, administrator=True)
        words = ("infra", "deploy", "--yes", "--zones", "2", "--region", ELSEWHERE)
        made = self.run(*words, administrator=True)
        assert made.status == 0, made.shown
        (self.folder / "config" / "config.toml").unlink()  # the jobs have a network of their own

    def allow(
        self, statements: Iterable[policies.Statement], without: Collection[str] = ()
    ) -> None:
        """Give the role these statements as its only policy, without some actions.

        An action that a pattern allows is denied.
        """
        rows: list[dict[str, Any]] = []
        for statement in statements:
            row = statement.as_json()
            row["Action"] = [action for action in statement.actions if action not in without]
            if row["Action"]:
                rows.append(row)
        patterns = [word for row in rows for word in row["Action"] if "*" in word]
        if refused := [name for name in without if any(fnmatch(name, word) for word in patterns)]:
            rows.append({"Effect": "Deny", "Action": refused, "Resource": "*"})
        document = json.dumps({"Version": "2012-10-17", "Statement": rows})
        name = self.role.rpartition("/")[2]
        self.lab.client("iam").put_role_policy(
            RoleName=name, PolicyName="p", PolicyDocument=document
        )

    def run(self, *words: str, administrator: bool = False) -> Outcome:
        """Run a command as the role, or as the administrator."""
        assert self.capture is not None
        for child in (self.folder / "cache").glob("*"):
            if child.name != "models":
                shutil.rmtree(child) if child.is_dir() else child.unlink()
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        before = self.lab.calls_file.stat().st_size
        self.capture.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sessions, "SESSIONS", sessions.Sessions())  # a process has one
            for name, value in (self.variables | ({} if administrator else self.keys)).items():
                patch.setenv(name, value)
            status = cli.main(list(words))
        printed = self.capture.readouterr()
        shown = printed.out + printed.err
        with self.lab.calls_file.open() as file:
            file.seek(before)
            calls = tuple(json.loads(line) for line in file)
        found = _ERROR.findall(printed.err)
        own = [call for call in calls if call.get("caller") == self.role]
        needed, through = (
            frozenset(
                action for call in own if bool(call.get("via")) is via for action in call["needed"]
            )
            for via in (False, True)
        )
        return Outcome(status, found[-1] if found else None, shown, calls, needed, through)


def build(lab: Lab, folder: Path) -> Place:
    """Make a VPC with a bastion, a bucket, an image, and jobs of each kind."""
    ec2 = lab.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet, of_bastion = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"]
        for block in ("10.0.1.0/24", "10.0.2.0/24")
    )
    group = ec2.create_security_group(GroupName="jobs", Description="jobs", VpcId=vpc)["GroupId"]
    rule = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    tags = [{"Key": "sm-proxy:role", "Value": "bastion"}]
    made = ec2.run_instances(
        ImageId="ami-12345678",
        MinCount=1,
        MaxCount=1,
        SubnetId=of_bastion,
        SecurityGroupIds=[group],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    inside = {"Subnets": [subnet], "SecurityGroupIds": [group]}
    _open_the_way_to_s3(lab, vpc, subnet)
    _make_jobs(lab, inside)
    make_space(lab, "mine")
    _make_cluster(lab)
    arn = make_role(lab)
    keys = session(lab, arn)
    variables = {
        "AWS_ENDPOINT_URL": lab.endpoint,
        "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT_ENDPOINT": lab.endpoint,
        **{name.upper(): value for name, value in ADMINISTRATOR.items()},
        "AWS_REGION": REGION,
        "SM_PROXY_CACHE_DIR": str(folder / "cache"),
        "SM_PROXY_STATE_DIR": str(folder / "state"),
        "SM_PROXY_CONFIG_DIR": str(folder / "config"),
        "SM_PROXY_SSH_DIR": str(folder / "dot-ssh" / "sm-proxy"),
        "SM_PROXY_SSH_CONFIG": str(folder / "dot-ssh" / "config"),
        "SM_PROXY_KEYS_S3": f"s3://{BUCKET}/keys/",
        "SM_PROXY_DAEMON_IDLE": "0",
        "SM_PROXY_KEEP_SESSION": "0",
        "SM_PROXY_PROBE": "0",
        "SM_PROXY_TRUST_FIRST_USE": "1",  # no API tells the host key of a node
        "SM_PROXY_WAIT": "0",
    }
    tokens = {name.upper(): value for name, value in keys.items()}
    bastion = made["Instances"][0]["InstanceId"]
    return Place(lab, bastion, arn, inside, tokens, folder, variables=variables)


def _open_the_way_to_s3(lab: Lab, vpc: str, subnet: str) -> None:
    ec2 = lab.client("ec2")
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    service = f"com.amazonaws.{REGION}.s3"
    ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=service, VpcEndpointType="Gateway", RouteTableIds=[table]
    )
    ec2.create_instance_connect_endpoint(SubnetId=subnet)


def make_space(lab: Lab, name: str, **request: Any) -> dict[str, str]:
    """A space with a running app, in a domain of its own: the DomainId and the SpaceName."""
    lab.control.faults(studio=QUICK)
    sagemaker = lab.client("sagemaker")
    made = sagemaker.create_domain(DomainName=name, AuthMode="IAM", DefaultUserSettings={})
    named = {"DomainId": str(made["DomainId"]), "SpaceName": name}
    settings = {"AppType": "JupyterLab", "RemoteAccess": "ENABLED"}
    sagemaker.create_space(**named, SpaceSettings=settings, **request)
    sagemaker.create_app(**app(named, ResourceSpec=SPEC))
    return named


def _make_cluster(lab: Lab) -> None:
    sagemaker = lab.client("sagemaker")
    sagemaker.create_cluster(**clusters_test.request("c", workers=1))
    (node,) = clusters_test.nodes(lab, "c")
    lab.control.set_node_status("c", node["InstanceId"], "Running", address="10.0.0.10")


def _make_jobs(lab: Lab, vpc: dict[str, list[str]]) -> None:
    config = {"Entrypoint": ["python", "train.py"]}
    lab.control.put_image(IMAGE, config, history=["openssh-server"])
    theirs = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/output"},
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints"},
    }
    client(lab, "s3", ADMINISTRATOR).put_object(Bucket=BUCKET, Key="checkpoints/1.pt", Body=b"1")
    _start_job(lab, "bare", vpc, "training")
    _start_job(lab, "plain", vpc, marker_line(), RemoteDebugConfig={"EnableRemoteDebug": False})
    _start_job(lab, "ready", vpc, marker_line())
    _start_job(lab, "on-22", vpc, marker_line(port=22))
    _start_job(lab, "failed", vpc, "training", **theirs)
    lab.control.set_status("failed", "Failed", failure_reason="no")
    sagemaker = lab.client("sagemaker")
    role = role_credentials.ARN
    sagemaker.create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": IMAGE})
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[variant | {"InstanceType": "ml.m5.large"}]
    )
    sagemaker.create_endpoint(EndpointName="chat", EndpointConfigName="c")


def _start_job(lab: Lab, name: str, vpc: dict[str, list[str]], words: str, **request: Any) -> None:
    """A training job that runs in the VPC, whose first container has written `words`."""
    lab.client("sagemaker").create_training_job(**job_request(name) | request, VpcConfig=vpc)
    lab.control.set_status(name, "Training")
    event = {"timestamp": int(time.time() * 1000), "message": words}
    lab.control.put_logs("/aws/sagemaker/TrainingJobs", f"{name}/algo-1-1700000000", [event])
