"""From an empty account to ssh, and back: `infra deploy`, `image build`, `launch`."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs import commands, pages
from tests.e2e import accounts
from tests.e2e.labs import SM_PROXY, Job, Lab, code_of, last_line, running
from tests.lab.conftest import needs_debian
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_debian]

_ARTICLE = Path(__file__).with_name("article")
_SLOW = {"timeout": 240}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with an empty account, and the same account at the end."""
    with running(tmp_path_factory.mktemp("empty"), "--empty") as lab:
        before = accounts.listed(lab)
        yield lab
        assert accounts.listed(lab) == before


def ours(lab: Lab, *words: str, status: int = 0, **options: Any) -> str:
    """Run sm-proxy, which must end with this status; return what it printed."""
    done = lab.sm_proxy(*words, **{**_SLOW, **options})
    assert done.returncode == status, (done.stdout.decode(), done.stderr.decode())
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def context(folder: Path) -> Path:
    """The build context of the article's image."""
    shutil.copytree(_ARTICLE, folder, dirs_exist_ok=True)
    (folder / "authorized_keys").write_text("ssh-ed25519 AAAA somebody@cloud9\n")
    return folder


def request(lab: Lab, file: Path, image: str, name: str) -> Path:
    """A request for a job as the article's Estimator makes it, without a network."""
    stack = accounts.outputs(lab)
    asked = {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": stack["JobRole"],
        "OutputDataConfig": {"S3OutputPath": f"s3://{stack['Bucket']}/sm_proxy/output"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    file.write_text(json.dumps(asked))
    return file


def training(lab: Lab, file: Path, **options: Any) -> Job:
    """Launch the job of a request; return once it trains."""
    host = ours(lab, "launch", str(file), **options).splitlines()[-1].removeprefix("ssh ")
    job = Job(lab, host.removeprefix("sm-"))
    job.until("Training")
    return job


def end(lab: Lab, job: Job) -> None:
    """End a job whose program would wait for five minutes; return once it has left the network."""
    lab.ssh(job.host, "kill -INT 1")  # its status may get lost: the container ends
    job.until("Failed")
    await_true(lambda: not interfaces(lab), 60)


_REASON = "The maximum number of addresses has been reached. (Service: Ec2, Status Code: 400)"


def test_three_commands_lead_from_an_empty_account_to_ssh(account: Lab, tmp_path: Path) -> None:
    """The administrator deploys, others build and launch, and a user has ssh and no more."""
    deploy = ("infra", "deploy", "--yes", "--zones", "3")
    with accounts.role_with(account, "admin") as keys:
        with account.faults(stack={"NatAddress": _REASON}):
            failed = account.sm_proxy(*deploy, env=keys, **_SLOW)
        assert code_of(failed) == "stack-failed"
        assert "NatAddress" in last_line(failed)
        assert _REASON in last_line(failed)
        ours(account, *deploy, env=keys)
    build = ("image", "build", str(context(tmp_path / "c")), "--repository", "byoc-debug:latest")
    with accounts.role_with(account, "user", "launcher") as keys:
        image = ours(account, *build, "--init", env=keys).splitlines()[-1]
        assert image.partition("@")[0].endswith("/byoc-debug")
        file = request(account, tmp_path / "job.json", image, "byoc")
        job = training(account, file, env=keys)
    with accounts.role_with(account, "user") as keys:
        for words, action in (
            (("infra", "deploy", "--yes"), "cloudformation:DescribeStacks"),
            (build, "codebuild:BatchGetProjects"),
            (("launch", str(file)), "ecr:BatchGetImage"),
        ):
            done = account.sm_proxy(*words, env=keys, **_SLOW)
            assert done.returncode == 1
            assert action in last_line(done)
        account.forget()
        assert account.ok(job.host, "true", env=keys) == b""
        started = [call for call in account.calls() if call["operation"] == "StartSession"]
        assert started[-1]["caller"].endswith(":role/user")
    assert account.ok(job.host, "cat /opt/program/built").strip().isdigit()
    assert code_of(account.sm_proxy("infra", "delete", "--yes")) == "in-use"

    ours(account, "infra", "pause")
    account.forget()
    refused = account.ssh(job.host, "true")
    assert code_of(refused) == "no-bastion"
    assert b"infra resume" in refused.stderr
    ours(account, "infra", "resume")
    end(account, job)
    ours(account, "infra", "delete", "--yes", "--images")


@only_in_soak
@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_the_three_commands_work_in_each_partition(region: str, tmp_path: Path) -> None:
    (folder := tmp_path / "lab").mkdir()
    with running(folder, "--empty") as lab:
        lab.environment |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        ours(lab, "config", "write", "--ssh-config", lab.config, "--region", region)
        before = accounts.listed(lab)
        ours(lab, "infra", "deploy", "--yes", "--zones", "2")
        build = ("image", "build", str(context(tmp_path / "c")), "--repository", "byoc:latest")
        image = ours(lab, *build, "--init").splitlines()[-1]
        job = training(lab, request(lab, tmp_path / "job.json", image, "byoc"))
        assert lab.ok(job.host, "echo $AWS_REGION").decode().strip() == region
        end(lab, job)
        ours(lab, "infra", "delete", "--yes", "--images")
        assert accounts.listed(lab) == before


@only_in_soak
def test_an_interrupted_deployment_goes_on(account: Lab, tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with account.faults(stack_delay_ms=500), log.open("wb") as stderr:
        command = (*SM_PROXY, "infra", "deploy", "--yes", "--zones", "2")
        process = account.popen(*command, stdin=subprocess.DEVNULL, stderr=stderr)
        await_true(lambda: b"PublicSubnet1" in log.read_bytes(), 60, log.read_bytes)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        told = ours(account, "infra", "deploy", "--yes", "--zones", "2")
    assert "sm-proxy image build" in told
    ours(account, "infra", "delete", "--yes")


_SHAPES = [
    ("--zones", "4"),
    ("--zones", "6", "--nat", "per-zone"),
    ("--zones", "2", "--nat", "none", "--endpoints", "ssm,ssmmessages,logs"),
    ("--zones", "3", "--cidr", "172.16.0.0/16"),
]


@only_in_soak
@pytest.mark.parametrize("words", _SHAPES, ids=" ".join)
def test_other_networks_come_and_go(account: Lab, words: tuple[str, ...]) -> None:
    with account.faults(quotas={"elastic-ip": 6}):  # six zones need more than a new account has
        ours(account, "infra", "deploy", "--yes", *words)
    status = json.loads(ours(account, "infra", "status", "--json"))["data"]
    assert status["status"] == "CREATE_COMPLETE"
    ours(account, "infra", "delete", "--yes")


@only_in_soak
def test_a_second_stack_uses_the_vpc_of_the_first(account: Lab) -> None:
    ours(account, "infra", "deploy", "--yes", "--zones", "2")
    first = accounts.outputs(account)
    place = ("--vpc", first["VpcId"], "--subnets", first["Subnets"])
    ours(account, "infra", "deploy", "--yes", "--stack", "second", *place)
    second = json.loads(ours(account, "infra", "status", "--stack", "second", "--json"))["data"]
    assert second["outputs"]["VpcId"] == first["VpcId"]
    assert second["outputs"]["JobGroup"] != first["JobGroup"]
    assert code_of(account.sm_proxy("infra", "delete", "--yes")) == "in-use"
    ours(account, "infra", "delete", "--yes", "--stack", "second")
    ours(account, "infra", "delete", "--yes")


@only_in_soak
def test_a_terminated_bastion_is_replaced(account: Lab) -> None:
    ours(account, "infra", "deploy", "--yes", "--zones", "2")

    def bastion() -> dict[str, Any]:
        status = json.loads(account.sm_proxy("infra", "status", "--json").stdout)
        found: dict[str, Any] = status["data"]["bastion"]
        return found

    first = bastion()["instance"]
    account.python(f"answer = client('ec2').terminate_instances(InstanceIds=[{first!r}]) and None")
    await_true(lambda: bastion()["online"] and bastion()["instance"] != first, 60, bastion)
    ours(account, "infra", "delete", "--yes")


def interfaces(lab: Lab) -> list[str]:
    """The network interfaces of SageMaker."""
    found: list[str] = lab.python(
        "answer = [i['NetworkInterfaceId'] for i in"
        " client('ec2').describe_network_interfaces()['NetworkInterfaces']"
        " if 'SageMaker' in i['Description']]"
    )
    return found


@only_in_soak
def test_the_page_for_beginners_works_as_written(account: Lab, tmp_path: Path) -> None:
    page = pages.ROOT / "docs" / "getting-started.md"
    program, dockerfile, asked = (block.text for block in pages.blocks(page) if block.language)
    shown = [item.text for item in commands.of_page(page)]
    deploy, setup, build, launch, enter, copy, logs, stop, delete = map(shlex.split, shown)
    assert setup == ["sm-proxy", "setup"]  # the lab has its own ssh config
    here: dict[str, Any] = {"cwd": tmp_path}

    ours(account, *deploy[1:], "--yes")
    (tmp_path / "train.py").write_text(program)
    (tmp_path / "Dockerfile").write_text(dockerfile)
    image = ours(account, *build[1:], **here).splitlines()[-1]
    stack = accounts.outputs(account)
    for word, value in {
        "IMAGE": image,
        "ROLE": stack["JobRole"],
        "BUCKET": stack["Bucket"],
    }.items():
        asked = asked.replace(word, value)
    (tmp_path / "job.json").write_text(asked)
    assert ours(account, *launch[1:], **here).splitlines()[-1] == shlex.join(enter)
    assert account.ok(enter[1], "cat /opt/program/train.py").decode() == program
    copied = account.run(copy[0], "-F", account.config, *copy[1:], **here)
    assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "copy.py").read_text() == program
    assert "epoch 1" in ours(account, *logs[1:])
    ours(account, *stop[1:], "--yes")
    await_true(lambda: not interfaces(account), 60)
    ours(account, *delete[1:], "--yes")
