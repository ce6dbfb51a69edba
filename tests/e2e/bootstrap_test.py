"""`bootstrap`: ssh into a running container whose image knows nothing of us."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import SM_PROXY, Job, Lab, code_of, last_line
from tests.e2e.relaunch_images_test import _RUN, _SERVERS, locked_wheel
from tests.fakes import HOST_KEY
from tests.waits import await_true

pytestmark = pytest.mark.e2e
_TRAIN = ("sh", "-c", "echo epoch 1; exec sleep 3600")
_BARE: dict[str, str | None] = {"SM_PROXY_AUTHORIZED_KEY": None, "JOB_VARIABLE": "it's mine"}
_IMAGE = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
client("sagemaker").create_training_job(
    TrainingJobName={name!r},
    AlgorithmSpecification={{"TrainingImage": {image!r}, "TrainingInputMode": "File"}},
    RemoteDebugConfig={{"EnableRemoteDebug": True}},
    ResourceConfig={{**like["ResourceConfig"], "InstanceCount": 1}},
    **{{key: like[key] for key in ("RoleArn", "OutputDataConfig", "StoppingCondition")}},
)"""


def bare(lab: Lab, name: str, **options: Any) -> Job:
    """A running job without a VPC and without our entrypoint; RemoteDebug is on."""
    return lab.launch(name, *_TRAIN, environment=_BARE, in_vpc=False, remote_debug=True, **options)


def from_image(lab: Lab, name: str, **config: Any) -> Job:
    """The same, from an image of its own."""
    job = Job(lab, lab.unused(name))
    image = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{job.name}:1"
    lab.control("put_image", image, {"Entrypoint": list(_TRAIN), **config})
    lab.python(_IMAGE.format(name=job.name, image=image))
    lab._launched.append(job)
    job.until("Training")
    return job


def bootstrap(job: Job, *, node: str = "") -> dict[str, Any]:
    """Put our server into a job's container; return the command's data."""
    done = job.lab.warm("bootstrap", job.host + node, "--yes", "--json")
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)["data"]
    return found


@pytest.fixture(scope="module")
def job(lab: Lab) -> Iterator[Job]:
    """A job of two nodes; the first has our server."""
    found = bare(lab, "foreign", nodes=2, keep=True)
    bootstrap(found)
    yield found
    found.stop()


def resolved(job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(job.lab.warm("resolve", job.host, "--json").stdout)["data"]
    return found


def test_ssh_and_files_enter_a_container_that_knows_nothing_of_us(
    lab: Lab, job: Job, tmp_path: Path
) -> None:
    assert lab.ok(job.host, 'echo "$JOB_VARIABLE $SM_CURRENT_HOST"') == b"it's mine algo-1\n"
    up, down = tmp_path / "up", tmp_path / "down"
    up.write_bytes(secrets.token_bytes(200_000))
    assert lab.run("scp", "-qF", lab.config, str(up), f"{job.host}:/tmp/up").returncode == 0
    get = f"get /tmp/up {down}\n".encode()
    got = lab.run("sftp", "-qF", lab.config, "-b", "-", job.host, stdin=get)
    assert down.read_bytes() == up.read_bytes(), got.stderr
    lab.settle()
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_only_the_node_that_was_named_has_a_server(lab: Lab, job: Job) -> None:
    refused = lab.ssh(f"{job.host}.algo-2", "true", env={"SM_PROXY_WAIT": "0"})
    assert code_of(refused) == "no-address"
    assert f"sm-proxy bootstrap {job.host}.algo-2" in last_line(refused)
    bootstrap(job, node=".algo-2")
    assert lab.ok(f"{job.host}.algo-2", "hostname") != b""


def test_a_second_run_finds_the_server_that_runs(lab: Lab, job: Job) -> None:
    before, again = resolved(job), bootstrap(job)
    assert {name: again[name] for name in ("port", "host_keys")} == {
        name: before[name] for name in ("port", "host_keys")
    }
    assert lab.ok(job.host, "grep -c . $SM_PROXY_RUN_DIR/authorized_keys") == b"1\n"


def test_the_commands_know_where_the_server_is(lab: Lab, job: Job) -> None:
    data = resolved(job)
    assert (data["source"], data["route"], data["address"]) == ("session", "remote-debug", None)
    checks = json.loads(lab.warm("doctor", job.host, "--json").stdout)["data"]["checks"]
    assert {c["id"]: c["reason"] for c in checks if c["result"] == "failed"} == {}
    listed = json.loads(lab.warm("list", "--check", "--json").stdout)["data"]["jobs"]
    assert [item["reachable"] for item in listed if item["job"] == job.name] == [True]


def test_a_server_with_another_key_is_refused(lab: Lab, job: Job) -> None:
    ours = resolved(job)["host_keys"]
    records = (lab.state / "session-markers").glob("*.json")
    (record,) = [file for file in records if ours[0] in file.read_text()]
    before = record.read_text()
    record.write_text(before.replace(ours[0], HOST_KEY).replace(ours[1], HOST_KEY))
    lab.forget()
    try:
        refused = lab.ssh(job.host, "true")
    finally:
        record.write_text(before)
        lab.forget()
    assert refused.returncode == 255
    assert code_of(refused) == "host-key-changed"


def test_an_image_without_a_server_and_a_user_without_a_name(lab: Lab, tmp_path: Path) -> None:
    installed = ["/usr/bin/python3", "-c", "import asyncssh"]
    if subprocess.run(installed, capture_output=True, check=False).returncode:
        pytest.skip("needs asyncssh")
    lock = locked_wheel(lab, tmp_path)
    hidden = "/usr/lib/python3/dist-packages/asyncssh /usr/lib/python3/dist-packages/cryptography"
    job = from_image(
        lab,
        "nameless",
        User="12345",
        Env=["PATH=/usr/bin:/bin"],
        Labels={"sm-proxy-lab.hide": f"{_SERVERS} {hidden} /usr/bin/base64"},
    )
    words = ("bootstrap", job.host, "--yes")
    done = lab.run(sys.executable, "-c", _RUN, lock, *words, timeout=180)
    assert done.returncode == 0, done.stderr.decode()
    login = done.stdout.decode().splitlines()[-1].split()
    assert login == ["ssh", f"user@{job.host}"]
    assert lab.ok(login[1], "id -u") == b"12345\n"


def test_a_session_that_is_cut_and_a_container_that_starts_again(lab: Lab) -> None:
    job = bare(lab, "cut")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with lab.faults(gateway={"pause_ms": 1000}):
        first = lab.popen(*SM_PROXY, "bootstrap", job.host, "--yes", **pipes)
        assert first.stderr is not None
        while b"a shell session is open" not in first.stderr.readline():
            assert first.poll() is None
        (session,) = lab.sessions()
        lab.python(f"client('ssm').terminate_session(SessionId={session!r})")
        _, said = first.communicate(timeout=60)
    assert first.returncode == 1
    assert b"sm-proxy: session-lost: " in said
    bootstrap(job)
    assert lab.ok(job.host, "echo in") == b"in\n"
    job.print("epoch 1")  # a newer stream: this container has started again
    lab.forget()
    refused = lab.ssh(job.host, "true")
    assert code_of(refused) == "no-address"
    assert f"sm-proxy bootstrap {job.host}" in last_line(refused)
