"""Host names that are not the exact name of a training job."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.labs import Lab, code_of, running
from tests.waits import await_true

pytestmark = pytest.mark.e2e

JOB = "bert-2026-11-23-09-12-33-123"
PREP_LOG = "log('prep/', '/aws/sagemaker/ProcessingJobs')"
TRANSFORM = "/aws/sagemaker/TransformJobs"
ENDPOINTS = "/aws/sagemaker/Endpoints/"

# A processing job in the training job's VPC.
CREATE = """
client("sagemaker").create_processing_job(
    ProcessingJobName={name!r},
    ProcessingResources={{"ClusterConfig": {{
        "InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}}}},
    AppSpecification={{"ImageUri": "image"}},
    RoleArn=describe({job!r})["RoleArn"],
    NetworkConfig={{"VpcConfig": describe({job!r})["VpcConfig"]}},
    Environment=describe({job!r})["Environment"],
)
"""

# An endpoint, and a transform job of the same model, in the training job's VPC.
CREATE_MODEL = """
sagemaker, training = client("sagemaker"), describe(os.environ["SM_PROXY_LAB_JOB"])
sagemaker.create_model(
    ModelName="model", ExecutionRoleArn=training["RoleArn"],
    PrimaryContainer={"Image": "image"}, VpcConfig=training["VpcConfig"],
)
sagemaker.create_endpoint_config(EndpointConfigName="model", ProductionVariants=[{
    "VariantName": "all", "ModelName": "model", "InitialInstanceCount": 2,
    "InstanceType": "ml.m5.large", "InitialVariantWeight": 1}])
sagemaker.create_endpoint(EndpointName="chat", EndpointConfigName="model")
sagemaker.create_transform_job(
    TransformJobName="score", ModelName="model",
    TransformInput={"DataSource": {"S3DataSource": {
        "S3DataType": "S3Prefix", "S3Uri": "s3://bucket/in"}}},
    TransformOutput={"S3OutputPath": "s3://bucket/out"},
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
)
"""
INSTANCES = ("i-0aaaaaaaaaaaaaaa1", "i-0bbbbbbbbbbbbbbb2")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A separate lab: the tests look at all its jobs."""
    with running(tmp_path_factory.mktemp("names"), "--job", JOB) as lab:
        yield lab


@pytest.fixture(scope="module")
def prep(own: Lab) -> str:
    """A processing job whose container has printed its marker."""
    own.python(CREATE.format(name="prep", job=JOB))
    await_true(lambda: "sm_proxy_marker" in str(own.python(f"answer = {PREP_LOG}")), 60)
    return "prep"


@pytest.fixture(scope="module")
def served(own: Lab, prep: str) -> tuple[str, str]:
    """An endpoint and a transform job; the second instance's marker names port 2202."""
    own.python(CREATE_MODEL)
    data, _, _ = resolved(own, f"sm-{prep}")
    for number, instance in enumerate(INSTANCES, 1):
        marker = {
            "sm_proxy_marker": 1,
            "node": "algo-1",  # each instance's container uses this name
            "addresses": [{"address": data["address"]}],
            "port": 2200 + number,
            "user": "root",
            "host_keys": data["host_keys"],
        }
        event = {"timestamp": int(time.time() * 1000), "message": json.dumps(marker)}
        own.control("put_logs", ENDPOINTS + "chat", f"all/{instance}", [event])
        own.control("put_logs", ENDPOINTS + "chat", f"all/{instance}/data-log", [event])
        own.control("put_logs", TRANSFORM, f"score/{instance}-1700000000", [event])
    return "chat", "score"


def resolved(lab: Lab, host: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """Resolve a host; return the data, the lines on stderr and the calls to SageMaker."""
    before = len(lab.calls())
    done = lab.warm("resolve", host, "--json")
    assert done.returncode == 0, done.stderr.decode()
    made = [call for call in lab.calls()[before:] if call["service"] == "sagemaker"]
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data, done.stderr.decode().splitlines(), [call["operation"] for call in made]


@pytest.mark.parametrize("typed", ["bert", "bert-2026", "latest", "BERT-2026-11-23-09-12-33-123"])
def test_a_part_of_a_name_is_completed(own: Lab, typed: str) -> None:
    data, told, _ = resolved(own, f"sm-{typed}")
    assert (data["job"], data["kind"]) == (JOB, "training")
    assert told == [f"sm-proxy: sm-{typed} is {JOB}"]


def test_ssh_completes_the_beginning_of_a_name(own: Lab) -> None:
    done = own.ssh("sm-bert", "echo $SM_CURRENT_HOST")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"algo-1\n"


def test_a_similar_name_is_suggested(own: Lab) -> None:
    done = own.warm("resolve", "sm-bret-2026-11-23-09-12-33-123")
    assert (done.returncode, code_of(done)) == (1, "job-not-found")
    assert JOB.encode() in done.stderr


def test_a_processing_job_is_found_by_its_exact_name(own: Lab, prep: str) -> None:
    data, told, calls = resolved(own, f"sm-{prep}")
    assert (data["job"], data["kind"], data["status"]) == (prep, "processing", "InProgress")
    assert told == []
    assert calls == ["DescribeTrainingJob", "DescribeProcessingJob"]
    forced, _, calls = resolved(own, f"sm-{prep}.processing")
    assert forced["address"] == data["address"]
    assert calls == ["DescribeProcessingJob"]


def test_ssh_enters_a_processing_job(own: Lab, prep: str) -> None:
    assert own.ok(f"sm-{prep}", "echo there") == b"there\n"


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("transform", ["DescribeTransformJob", "DescribeModel"]),
        ("endpoint", ["DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel"]),
    ],
)
def test_nodes_of_other_kinds_are_instances(
    own: Lab, served: tuple[str, str], kind: str, calls: list[str]
) -> None:
    endpoint, transform = served
    host = f"sm-{endpoint if kind == 'endpoint' else transform}"
    data, _, made = resolved(own, f"{host}.{kind}")
    assert (data["kind"], data["node"], data["port"]) == (kind, "algo-1", 2201)
    assert made == calls
    assert resolved(own, f"{host}.2")[0]["port"] == 2202
    by_id, _, _ = resolved(own, f"{host}.{INSTANCES[1]}")
    assert (by_id["node"], by_id["port"]) == (INSTANCES[1], 2202)
    none = own.warm("resolve", f"{host}.3")
    assert code_of(none) == "bad-name"


def test_a_failed_processing_job_is_reported(own: Lab) -> None:
    own.python(CREATE.format(name="failing", job=JOB))
    own.control(
        "set_batch_status", "processing", "failing", "Failed", failure_reason="exit code: 137"
    )
    done = own.warm("resolve", "sm-failing")
    assert (done.returncode, code_of(done)) == (1, "job-failed")
    assert b"exit code: 137" in done.stderr


def test_the_list_has_jobs_of_all_kinds(own: Lab, prep: str) -> None:
    done = own.warm("list", "--json")
    assert done.returncode == 0, done.stderr.decode()
    jobs = {job["job"]: job for job in json.loads(done.stdout)["data"]["jobs"]}
    assert set(jobs[JOB]) == {
        *("job", "host", "kind", "status", "created", "nodes", "reachable", "reason", "kept"),
        "relaunchable",
    }  # fmt: skip
    assert (jobs[JOB]["status"], jobs[JOB]["reachable"]) == ("Training", None)
    assert jobs[prep]["kind"] == "processing"
    assert not jobs[JOB]["relaunchable"]
    text = own.warm("list").stdout.decode()
    assert text.startswith("HOST ")
    assert JOB in text


def test_list_check_reports_reachable_jobs(own: Lab, prep: str) -> None:
    done = own.warm("list", "--check", "--json")
    assert done.returncode == 0, done.stderr.decode()
    jobs = {job["job"]: job for job in json.loads(done.stdout)["data"]["jobs"]}
    assert (jobs[JOB]["nodes"], jobs[JOB]["reachable"], jobs[JOB]["reason"]) == (1, True, None)
    assert jobs[JOB]["kept"] is False
    assert jobs[prep]["reachable"] is True


def test_the_list_goes_on_when_one_kind_is_denied(own: Lab) -> None:
    with own.faults(deny=["sagemaker:ListEndpoints"]):
        done = own.warm("list", "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert b"sagemaker:ListEndpoints" in done.stderr
    assert JOB in {job["job"] for job in json.loads(done.stdout)["data"]["jobs"]}


def test_wait_succeeds_for_a_running_job_and_fails_for_a_missing_one(own: Lab) -> None:
    done = own.sm_proxy("wait", own.host)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith(f"ready: {own.host} is {JOB} algo-1 at ")
    late = own.warm("wait", "sm-no-such-job", "--timeout", "0", "--json")
    assert late.returncode == 1
    assert json.loads(late.stdout)["error"]["code"] == "job-not-found"
