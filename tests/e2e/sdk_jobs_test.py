"""Jobs of both SageMaker SDKs, as recorded: each fails, is relaunched, and ssh enters it.

`tests/sdk` has the SDKs themselves, and `tests/sdk_records` what they have sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import Job, Lab
from tests.lab.conftest import needs_root
from tests.sdk import records, toolkit
from tests.soak import cases
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_CREATE = """
for key, content in OBJECTS.items():
    client("s3").put_object(Bucket={bucket!r}, Key=key, Body=content)
like = describe(os.environ["SM_PROXY_LAB_JOB"])
client("sagemaker").create_training_job(**REQUEST | {{"VpcConfig": like["VpcConfig"]}})
"""


@pytest.fixture
def relaunched(lab: Lab) -> Iterator[list[Job]]:
    """Jobs that a test has relaunched; they are stopped at its end."""
    jobs: list[Job] = []
    yield jobs
    for job in jobs:
        if job.status() == "Training":
            job.stop()


@pytest.mark.parametrize("name", cases(["sdk2_framework", "sdk3_script"], ["sdk3_script"]))
def test_a_job_of_an_sdk_is_run_again_and_entered(
    name: str, lab: Lab, relaunched: list[Job], tmp_path: Path
) -> None:
    record = records.load(name)
    image = f"{_REGISTRY}/{name.replace('_', '-')}:1"
    lab.control("put_image", image, toolkit.image(tmp_path), history=toolkit.HISTORY)
    record.request["AlgorithmSpecification"]["TrainingImage"] = image
    program = f"OBJECTS = {record.contents()!r}\nREQUEST = {record.request!r}\n"
    lab.python(program + _CREATE.format(bucket=records.BUCKET))
    old = Job(lab, record.request["TrainingJobName"])
    old.until("Failed")
    before = shown(old)

    done = lab.warm("relaunch", old.name, "--timeout", "60s")
    assert done.returncode == 0, done.stderr.decode()
    host = done.stdout.decode().splitlines()[-1].removeprefix("ssh ")
    new = Job(lab, host.removeprefix("sm-"))
    relaunched.append(new)
    variables = lab.ok(new.host, "cat /opt/ml/input/config/inputdataconfig.json; env").decode()
    assert "SM_CURRENT_HOST=algo-1" in variables
    assert '"sm_proxy"' in variables
    again = shown(new)
    assert again["message"] == before["message"]
    assert again["arguments"] == before["arguments"]
    assert set(before["variables"]) <= set(again["variables"])


def shown(job: Job) -> dict[str, list[str]]:
    """What the job's program has printed: its arguments, its variables, and its error."""
    pattern = re.compile(r"SM variables: (.*)\narguments: (.*)\n(no data .*)")
    await_true(lambda: pattern.search(job.log()) is not None, 60, job.log)
    found = pattern.search(job.log())
    assert found is not None
    return {
        "variables": json.loads(found[1]),
        "arguments": json.loads(found[2]),
        "message": [found[3]],
    }
