"""`cp` by S3: a checkpoint that SageMaker has copied there, and files that are handed over."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.e2e.labs import Job, Lab, code_of
from tests.lab.conftest import needs_root
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_BUCKET = "sm-proxy-lab"
_MB = 1 << 20


@pytest.fixture
def job(lab: Lab) -> Job:
    """A job whose checkpoint a.pt has 5 MiB, and is in S3."""
    job = lab.launch("checkpoints", checkpoints=f"s3://{_BUCKET}/e2e/checkpoints")
    write = (
        f"cd /opt/ml/checkpoints && head -c {5 * _MB} /dev/urandom >new"
        " && touch -d '1 minute ago' new && mv new a.pt"
    )
    lab.ok(f"sm-{job.name}", write)
    listed = (
        "answer = [item['Size'] for item in client('s3').list_objects_v2("
        f"Bucket={_BUCKET!r}, Prefix='e2e/checkpoints/a.pt').get('Contents', ())]"
    )
    await_true(lambda: lab.python(listed) == [5 * _MB], 60)
    return job


def digest(lab: Lab, host: str, path: str) -> str:
    return lab.ok(host, f"sha256sum <{path}").decode().split()[0]


def copied(lab: Lab, *words: str) -> dict[str, object]:
    """The data of a copy, with what it has said as `said`."""
    done = lab.sm_proxy("cp", "--json", *words)
    assert done.returncode == 0, done.stderr.decode()
    data = json.loads(done.stdout)
    return {**data.get("data", data), "said": done.stderr.decode()}


def test_a_checkpoint_comes_from_s3_even_when_the_job_is_over(
    lab: Lab, job: Job, tmp_path: Path
) -> None:
    host = f"sm-{job.name}"
    found = copied(lab, f"{host}:/opt/ml/checkpoints/a.pt", str(tmp_path))
    assert (found["via"], found["verified"], found["bytes"]) == ("s3", True, 5 * _MB)
    assert f"from s3://{_BUCKET}/e2e/checkpoints" in str(found["said"])
    content = (tmp_path / "a.pt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest(lab, host, "/opt/ml/checkpoints/a.pt")
    job.stop()
    await_true(lambda: job.status() == "Stopped", 60, job.status)
    lab.forget()
    copied(lab, "-r", f"{host}:/opt/ml/checkpoints", str(tmp_path / "left"))
    assert (tmp_path / "left" / "a.pt").read_bytes() == content
    done = lab.sm_proxy("cp", f"{host}:/opt/ml/code/train.py", str(tmp_path))
    assert done.returncode == 1
    assert code_of(done) == "job-ended"


@only_in_soak
def test_other_files_are_handed_over_both_ways(lab: Lab, job: Job, tmp_path: Path) -> None:
    host, by_s3 = f"sm-{job.name}", ("--via", "s3", "--bucket", f"{_BUCKET}/hand")
    lab.ok(host, "cp /opt/ml/checkpoints/a.pt '/tmp/with space'")
    found = copied(lab, *by_s3, f"{host}:/tmp/with space", str(tmp_path / "here"))
    assert (found["via"], found["verified"]) == ("s3", True)
    found = copied(lab, *by_s3, str(tmp_path / "here"), f"{host}:/tmp/back")
    assert (found["via"], found["verified"]) == ("s3", True)
    assert digest(lab, host, "/tmp/back") == digest(lab, host, "/opt/ml/checkpoints/a.pt")
    listed = f"client('s3').list_objects_v2(Bucket={_BUCKET!r}, Prefix='hand/')"
    assert lab.python(f"answer = {listed}['KeyCount']") == 0
