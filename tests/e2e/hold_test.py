"""`go` and `done`: the time windows of a job, ended from the laptop."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.labs import Lab, await_true, code_of, running
from tests.e2e.refusal_test import script

pytestmark = pytest.mark.e2e

TRAIN = """
[ -z "$LAB_EXIT" ] || { echo the program runs; exit "$LAB_EXIT"; }
echo started >"${SM_PROXY_ML_DIR:-/opt/ml}/output/started"
sleep 600
"""
_LAUNCH = """
import os, boto3
sagemaker = boto3.client("sagemaker")
other = sagemaker.describe_training_job(TrainingJobName=os.environ["SM_PROXY_LAB_JOB"])
time_windows = {"SM_PROXY_WAIT": "10m", "SM_PROXY_KEEP_FAILURE": "10m", "LAB_EXIT": "9"}
sagemaker.create_training_job(
    TrainingJobName="held",
    Environment={**other["Environment"], **time_windows},
    ResourceConfig={**other["ResourceConfig"], "InstanceCount": 1},
    **{k: other[k] for k in (
        "AlgorithmSpecification", "RoleArn", "OutputDataConfig", "VpcConfig", "StoppingCondition"
    )},
)
"""
_LOOK = """
import boto3
job = boto3.client("sagemaker").describe_training_job(TrainingJobName="held")
print(job["TrainingJobStatus"], job.get("FailureReason"))
logs = boto3.client("logs")
at = dict(logGroupName="/aws/sagemaker/TrainingJobs")
for s in logs.describe_log_streams(**at, logStreamNamePrefix="held/")["logStreams"]:
    events = logs.get_log_events(**at, logStreamName=s["logStreamName"], startFromHead=True)
    for e in events["events"]: print(e["message"])
"""


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes."""
    folder = tmp_path_factory.mktemp("hold")
    with running(folder, "--nodes", "2", "--train", script(folder / "train", TRAIN)) as lab:
        yield lab


def touched(lab: Lab, node: str, word: str) -> bool:
    return not lab.ssh(f"{lab.host}.{node}", f'test -e "$SM_PROXY_RUN_DIR/{word}"').returncode


def test_a_job_means_all_its_nodes(waiting: Lab) -> None:
    done = waiting.sm_proxy("go", waiting.host, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["job"] == waiting.job
    assert [(node["node"], node["told"]) for node in data["nodes"]] == [
        ("algo-1", True),
        ("algo-2", True),
    ]
    assert [node["window"] for node in data["nodes"]] == ["none", "none"]
    assert touched(waiting, "algo-1", "go")
    assert touched(waiting, "algo-2", "go")


def test_a_node_means_that_node(waiting: Lab) -> None:
    done = waiting.sm_proxy("done", f"{waiting.host}.algo-2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("algo-2  ")
    assert touched(waiting, "algo-2", "done")
    assert not touched(waiting, "algo-1", "done")


def test_errors_of_the_way_there_are_ours(waiting: Lab) -> None:
    refused = waiting.sm_proxy("go", "sm-no-such-job", "--json")
    assert (refused.returncode, code_of(refused)) == (1, "job-not-found")
    assert json.loads(refused.stdout)["error"]["code"] == "job-not-found"
    with waiting.faults(deny=["ssm:StartSession"]):
        refused = waiting.sm_proxy("go", f"{waiting.host}.algo-1")
    assert (refused.returncode, code_of(refused)) == (1, "access-denied")
    await_true(lambda: not waiting.sessions(), 60, waiting.sessions)


def python(lab: Lab, program: str) -> str:
    done = lab.run(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_job_waits_for_go_and_is_kept_after_its_failure_until_done(waiting: Lab) -> None:
    python(waiting, _LAUNCH)

    def shows(text: str) -> None:
        await_true(lambda: text in python(waiting, _LOOK), 60, lambda: python(waiting, _LOOK))

    shows("waiting up to 10m for somebody to connect")
    shows("sm_proxy_marker")
    assert "the program runs" not in python(waiting, _LOOK)
    done = waiting.sm_proxy("go", "sm-held")
    assert done.returncode == 0, done.stderr
    shows("the program ended with exit code 9; the container stays for 600 s")
    now = python(waiting, _LOOK)
    assert now.startswith("InProgress "), now
    assert "\nthe program runs\n" in now
    assert waiting.ok("sm-held", "echo $SM_CURRENT_HOST") == b"algo-1\n"
    done = waiting.sm_proxy("done", "sm-held")
    assert done.returncode == 0, done.stderr
    shows("Failed ")
    assert "exit code: 9" in python(waiting, _LOOK).splitlines()[0].lower()
