"""Keys rotated and revoked while jobs run, over the real ssh."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sm_proxy.lab import namespaces
from tests.e2e.labs import SM_PROXY, Lab, await_true, running

# What a user would do with boto3: launch a job that lets all our keys in, and those in S3.
_LAUNCH = """
import json, os, sys, boto3
sagemaker = boto3.client("sagemaker")
other = sagemaker.describe_training_job(TrainingJobName=os.environ["SM_PROXY_LAB_JOB"])
sagemaker.create_training_job(
    TrainingJobName="both",
    Environment={
        **json.load(sys.stdin), "SM_PROXY_KEYS_S3": "s3://team/keys/", "SM_PROXY_REFRESH": "1"
    },
    **{k: other[k] for k in (
        "AlgorithmSpecification", "RoleArn", "OutputDataConfig", "VpcConfig", "StoppingCondition",
        "ResourceConfig",
    )},
)
"""
_BUCKET = "import boto3; boto3.client('s3').create_bucket(Bucket='team')"
_S3 = ("--keys-s3", "s3://team/keys/")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not namespaces.may_isolate(namespaces.CLONE_NEWNS | namespaces.CLONE_NEWNET),
        reason="containers have addresses of their own in namespaces only",
    ),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with one job, which knows the first key only."""
    folder = tmp_path_factory.mktemp("keys")
    train = folder / "train.sh"
    train.write_text("#!/bin/sh\nexec sleep 3600\n")
    train.chmod(0o755)
    with running(folder, "--network", "netns", "--train", str(train)) as lab:
        _python(lab, _BUCKET)
        yield lab


def test_a_key_lives_until_it_is_revoked(lab: Lab) -> None:
    first = _keys(lab, "list")[0]
    assert accepted(lab, lab.host) == first
    new, old = _keys(lab, "rotate")
    assert old == first
    _launch(lab)
    # The job that runs knows the old one only, the job launched now knows both.
    assert accepted(lab, lab.host) == old
    assert accepted(lab, "sm-both") == new
    assert _keys(lab, "revoke") == [new]
    refused = lab.ssh(lab.host, "true")
    assert refused.returncode == 255
    assert b"Permission denied (publickey" in refused.stderr
    assert accepted(lab, "sm-both") == new


def test_a_running_job_takes_a_new_key_from_s3(lab: Lab) -> None:
    third, second = _keys(lab, "rotate", *_S3)
    _keys(lab, "revoke", second)  # that one is in the job's environment
    await_true(lambda: lab.ssh("sm-both", "true").returncode == 0, 30)
    assert accepted(lab, "sm-both") == third
    fourth = _keys(lab, "revoke", "current", *_S3)
    assert fourth != [third]
    await_true(lambda: lab.ssh("sm-both", "true").returncode == 255, 30)


def accepted(lab: Lab, host: str) -> str:
    """The fingerprint of the key that the real ssh gets in with."""
    done = lab.ssh("-v", host, "true")
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stderr.decode().splitlines()
    return next(line.split()[-2] for line in lines if "Server accepts key" in line)


def _keys(lab: Lab, *words: str) -> list[str]:
    """The fingerprints that are offered behind `sm-proxy keys ...`."""
    done = lab.sm_proxy("keys", *words, "--json")
    assert done.returncode == 0, done.stderr.decode()
    return [key["fingerprint"] for key in json.loads(done.stdout)["data"]["keys"]]


def _launch(lab: Lab) -> None:
    shown = json.loads(lab.sm_proxy("keys", "show", "--env", "--json").stdout)["data"]
    assert list(shown["environment"]) == ["SM_PROXY_AUTHORIZED_KEY", "SM_PROXY_AUTHORIZED_KEY_2"]
    _python(lab, _LAUNCH, json.dumps(shown["environment"]).encode())
    done = lab.run(*SM_PROXY, "wait", "sm-both", "--timeout", "60", timeout=70)
    assert done.returncode == 0, done.stderr


def _python(lab: Lab, program: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = lab.run(sys.executable, "-c", program, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done
