"""Sessions of Systems Manager into training containers, which need neither a VPC nor a bastion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Job, Lab
from tests.waits import await_true

pytestmark = pytest.mark.e2e
_ROOT = Path(__file__).parents[2]
_HELPERS = f"""
import asyncio
sys.path.append({str(_ROOT)!r})
from tests.lab.gateway.scripted_client import Client

def target(job, node="algo-1"):
    return f"sagemaker-training-job:{{job}}_{{node}}"

def status(job):
    return client("ssm").get_connection_status(Target=target(job))["Status"]

def switch(job, on):
    config = {{"EnableRemoteDebug": on}}
    client("sagemaker").update_training_job(TrainingJobName=job, RemoteDebugConfig=config)

async def banner(given):
    it = await Client.open(given)
    await it.handshake()
    await it.until(lambda: b"\\n" in it.data)
    await it.close()
    return it.data.decode()

async def shell(given, command):
    it = await Client.open(given)
    await it.send_surely(f"stty -echo; PS1=; {{command}}; echo do''ne\\n".encode())
    await it.until(lambda: b"done\\r\\n" in it.data)
    await it.send_surely(b"exit\\n")
    await it.until(lambda: it.closed)
    await it.close()
    return it.data.decode()

def session(job, talk, *arguments, **how):
    given = client("ssm").start_session(Target=target(job), **how)
    result = asyncio.run(talk(given, *arguments))
    client("ssm").terminate_session(SessionId=given["SessionId"])
    return result
"""


@pytest.fixture(scope="module")
def debug_lab(lab: Lab) -> Lab:
    """The lab, whose Python process knows our helpers."""
    lab.python(_HELPERS)
    return lab


def _connected(job: Job) -> bool:
    return bool(job.lab.python(f"answer = status({job.name!r}) == 'connected'"))


def _shell(job: Job, command: str) -> str:
    answer: Any = job.lab.python(f"answer = session({job.name!r}, shell, {command!r})")
    return str(answer)


def test_a_running_job_outside_any_vpc_accepts_sessions_once_remote_debug_is_on(
    debug_lab: Lab,
) -> None:
    job = debug_lab.launch("debugged", in_vpc=False)
    assert not _connected(job)
    debug_lab.python(f"switch({job.name!r}, True)")
    await_true(lambda: _connected(job), 30, job.log)
    port = job.marker()["port"]
    how = f"DocumentName='AWS-StartSSHSession', Parameters={{'portNumber': [{str(port)!r}]}}"
    banner = debug_lab.python(f"answer = session({job.name!r}, banner, {how})")
    assert str(banner).startswith("SSH-2.0-")
    shown = _shell(job, "hostname; pwd; env; ls -d /opt/sm-proxy; cat /proc/1/comm")
    assert "TRAINING_JOB_NAME" not in shown  # the agent does not have the job's environment
    if debug_lab.netns:
        assert "algo-1\r\n/\r\n" in shown
        assert "\r\n/opt/sm-proxy\r\ntrain_demo.sh\r\n" in shown
    debug_lab.python(f"switch({job.name!r}, False)")
    await_true(lambda: not _connected(job), 30, job.log)


def test_the_agent_runs_as_the_user_of_the_image_and_ends_with_the_job(debug_lab: Lab) -> None:
    name = debug_lab.unused("debugged-user")
    image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}:1"
    config = {"Entrypoint": ["sh", "-c", "trap exit TERM; sleep 600 & wait"], "User": "nobody"}
    debug_lab.control("put_image", image, config)
    debug_lab.python(
        f"""
like = describe(os.environ["SM_PROXY_LAB_JOB"])
client("sagemaker").create_training_job(
    TrainingJobName={name!r},
    AlgorithmSpecification={{"TrainingImage": {image!r}, "TrainingInputMode": "File"}},
    RemoteDebugConfig={{"EnableRemoteDebug": True}},
    ResourceConfig={{**like["ResourceConfig"], "InstanceCount": 1}},
    **{{key: like[key] for key in ("RoleArn", "OutputDataConfig", "StoppingCondition")}},
)"""
    )
    job = Job(debug_lab, name)
    await_true(lambda: _connected(job), 60, job.log)
    if debug_lab.netns:
        assert "nobody\r\n" in _shell(job, "id -un")
    debug_lab.python(
        f"given = client('ssm').start_session(Target=target({name!r}));"
        f"client('sagemaker').stop_training_job(TrainingJobName={name!r})"
    )
    await_true(lambda: not debug_lab.sessions(), 60, debug_lab.sessions)
    assert not _connected(job)
