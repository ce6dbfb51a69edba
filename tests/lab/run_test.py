"""`lab run` and `lab up` from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.local import process_identity
from tests.e2e.labs import SM_PROXY, Lab, lock_holders, running
from tests.lab.conftest import ISOLATED, NETWORKS, Runner
from tests.soak import SOAK, only_in_soak
from tests.waits import await_true

PYTHON = [sys.executable, "-c"]
DESCRIBE = """
import boto3, json, os
name = os.environ["SM_PROXY_LAB_JOB"]
job = boto3.client("sagemaker").describe_training_job(TrainingJobName=name)
print(json.dumps({"steps": [step["Status"] for step in job["SecondaryStatusTransitions"]],
    "status": job["TrainingJobStatus"], "reason": job.get("FailureReason")}))
"""
KILLED = """
import signal, sys
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGUSR1)
"""
OVER = """
import boto3, os, time
sm, name = boto3.client("sagemaker"), os.environ["SM_PROXY_LAB_JOB"]
while sm.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress":
    time.sleep(0.1)
"""
LOG = """
import boto3, json
logs = boto3.client("logs")
group = "/aws/sagemaker/TrainingJobs"
for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
    name, token, lines = stream["logStreamName"], "", []
    while True:
        more = {"nextToken": token} if token else {}
        page = logs.get_log_events(
            logGroupName=group, logStreamName=name, startFromHead=True, **more
        )
        lines += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    print(json.dumps({"stream": name, "lines": lines}))
"""
SSH = """
    address=${SM_PROXY_LAB_ADDRESSES#*=}; address=${address%% *}; port=${address#*:}
    key=$(dirname "$SM_PROXY_LAB_SSH_CONFIG")/sm-proxy/id_ed25519
    in_container() {
        $SM_PROXY_LAB_ON_BASTION ssh -F none -p "$port" -i "$key" -o IdentitiesOnly=yes \
            -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
            "$SM_PROXY_LAB_USER@${address%:*}" "$@"
    }
"""


def program(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + textwrap.dedent(text))
    path.chmod(0o755)
    return str(path)


@only_in_soak
def test_the_lab_ignores_the_users_python_environment(lab: Runner, tmp_path: Path) -> None:
    for name in ("logging", "asyncio", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of somebody else')\n")
    foreign = {"PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "error"}
    words = ("run", "--status", "Starting", "--network", NETWORKS[0], "--")
    done = subprocess.run(
        [sys.executable, "-I", "-m", "sm_proxy", "lab", *words, "printenv", *foreign],
        env={**os.environ, **foreign, "TMPDIR": str(lab.folder)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}\nerror\n"), done.stderr


def test_a_missing_cmd_gives_status_127(lab: Runner) -> None:
    status, _, errors = lab.run("--status", "Starting", "--", "/no/such/cmd")
    assert status == 127
    assert errors == "sm-proxy lab: /no/such/cmd: command not found\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--job", "a.b"],
        ["--nodes", "65"],
        ["--status", "Odd"],
        ["--cluster", "pod:workers"],
        [],
        ["--empty", "--nodes", "2"],
    ],
)
def test_wrong_options_give_status_2(lab: Runner, words: list[str]) -> None:
    assert lab.run(*words, *(["--", "true"] if words else []))[0] == 2


@pytest.fixture(scope="module", params=NETWORKS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A lab with a job of two nodes."""
    folder = tmp_path_factory.mktemp("shared")
    words = ("--network", request.param, "--job", "MyJob-7", "--nodes", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_PROFILE", "not-to-be-used")
        with running(folder, *words) as lab:
            assert Path(lab.environment["SM_PROXY_LAB_CALLS"]).read_bytes() == b""
            yield lab
    assert (folder / "lab.log").read_text() == ""


def test_cmd_gets_the_environment_of_the_lab(shared: Lab) -> None:
    found, mode = shared.environment, shared.environment["SM_PROXY_LAB_NETWORK"]
    assert found["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    assert "AWS_PROFILE" not in found
    assert "127.0.0.1" in found["NO_PROXY"]
    assert found["SM_PROXY_LAB_JOB"] == "MyJob-7"
    assert found["SM_PROXY_LAB_HOST"] == "sm-MyJob-7"
    assert found["SM_PROXY_LAB_BASTION"].startswith("i-")
    assert found["SM_PROXY_LAB_CONTROL"] == found["AWS_ENDPOINT_URL"] + "/_lab/"
    addresses = dict(pair.split("=") for pair in found["SM_PROXY_LAB_ADDRESSES"].split())
    assert list(addresses) == ["algo-1", "algo-2"]
    if mode == "netns":
        assert addresses["algo-1"].startswith("10.0.")
        assert addresses["algo-1"].endswith(":22")
        assert "SM_PROXY_ALLOW_LOOPBACK" not in found
    else:
        assert mode == "loopback"
        assert addresses["algo-1"].startswith("127.")
        assert int(addresses["algo-1"].rpartition(":")[2]) >= 1024
        assert found["SM_PROXY_ALLOW_LOOPBACK"] == "1"
    folder = str(Path(found["SM_PROXY_LAB_SESSIONS"]).parent)
    for name in ("CONFIG_DIR", "CACHE_DIR", "STATE_DIR", "LAB_SSH_CONFIG", "LAB_CALLS"):
        assert found[f"SM_PROXY_{name}"].startswith(f"{folder}/")


def test_ssh_enters_the_container_from_the_bastion(shared: Lab) -> None:
    script = f"""{SSH}
        in_container 'id -un; echo "$SM_CURRENT_HOST $SM_HOSTS $TRAINING_JOB_NAME"
            echo "$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" | cut -c 1-16
            wc -c < "${{SM_PROXY_ML_DIR:-/opt/ml}}/checkpoints/checkpoint-1.bin"'
        echo "$SM_PROXY_LAB_USER" """
    done = shared.run("sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, b"")
    user, *rest, expected = done.stdout.decode().splitlines()
    assert user == expected
    assert rest == ['algo-1 ["algo-1", "algo-2"] MyJob-7', "/v2/credentials/", "4194304"]


def test_a_container_has_its_own_files_and_processes(shared: Lab) -> None:
    if not shared.netns:
        pytest.skip("only namespaces make it private")
    script = f"""{SSH}
        in_container 'hostname; for d in /root /tmp /etc/ssh; do ls -A $d; done; ls /opt/ml
            touch /root/x /etc/ssh/x /run/x /etc/profile.d/x; pgrep -c sshd >/dev/null && echo sees
            cat /etc/profile.d/sm-proxy.sh | wc -l; ls /proc | grep -c "^[0-9]*$"'
        ls /etc/profile.d /etc/ssh /run /root | grep -x -e x -e sm-proxy.sh
        ip -4 -o addr | grep -v ' lo ' ; ip route; ping -c 1 -W 1 10.0.144.1 2>&1 | tail -1 """
    done = shared.run("sh", "-c", script)
    assert done.returncode in {0, 1, 2}
    lines = done.stdout.decode().splitlines()
    assert lines[:6] == ["algo-1", "checkpoints", "code", "input", "model", "output"]
    assert lines[6:8] in (["sees", "1"], ["1"], ["1", lines[7]])
    assert "x" not in lines
    assert not [line for line in lines if " inet " in line]


def test_a_status_before_training_is_kept_and_a_signal_ends_cmd_with_128_plus_n(
    lab: Runner,
) -> None:
    code, output, _ = lab.run("--status", "Downloading", "--", *PYTHON, DESCRIBE + KILLED)
    assert code == 128 + signal.SIGUSR1
    found = json.loads(output)
    assert (found["status"], found["steps"]) == (
        "InProgress",
        ["Starting", "Pending", "Downloading"],
    )


@only_in_soak
def test_the_log_of_an_ended_job_has_its_marker(lab: Runner) -> None:
    code, output, _ = lab.run("--status", "MaxRuntimeExceeded", "--", *PYTHON, DESCRIBE + LOG)
    assert code == 0
    job, log = (json.loads(line) for line in output.splitlines())
    assert job["status"] == "Stopped"
    assert job["steps"] == [
        *("Starting", "Pending", "Downloading", "Training", "Stopping"),
        *("Uploading", "MaxRuntimeExceeded"),
    ]
    assert any("sm_proxy_marker" in line for line in log["lines"])


def test_the_jobs_program_fails_with_its_own_reason_and_lines_surround_the_marker(
    lab: Runner, tmp_path: Path
) -> None:
    train = program(
        tmp_path / "train",
        """
        echo "one"; echo "two" >&2
        echo "out of luck" > "${SM_PROXY_ML_DIR:-/opt/ml}/output/failure"
        while [ ! -e "${SM_PROXY_RUN_DIR:-/run/sm-proxy}/ready" ]; do sleep 0.1; done
        sleep 0.3; exit 9
        """,
    )
    script = OVER + DESCRIBE + LOG
    words = ["--log-lines-before", "30", "--log-lines", "2000"]
    _, output, _ = lab.run(*words, "--train", train, "--job", "j", "--", *PYTHON, script)
    job, log = (json.loads(line) for line in output.splitlines())
    assert job["status"] == "Failed"
    assert job["reason"] == "AlgorithmError: out of luck, exit code: 9"
    assert log["stream"].startswith("j/algo-1-")
    lines = log["lines"]
    assert {"one", "two"} <= set(lines)
    at = [number for number, line in enumerate(lines) if "sm_proxy_marker" in line]
    assert 30 <= at[0] < 35  # on a busy machine the program's own lines may come first
    assert len(at) == 1
    assert len(lines) > 2031


@only_in_soak
def test_a_bare_image_logs_only_the_programs_lines(lab: Runner, tmp_path: Path) -> None:
    train = program(
        tmp_path / "train", "echo '    inet 10.0.159.150/19 scope global eth0'; sleep 99"
    )
    script = f"""{LOG}
import os, subprocess, sys
sys.stdout.flush()
subprocess.run([*{SM_PROXY!r}, "relaunch", os.environ["SM_PROXY_LAB_HOST"], "--dry-run", "--json"])
"""
    _, output, _ = lab.run("--bare", "--train", train, "--", *PYTHON, script)
    log, relaunched = map(json.loads, output.splitlines())
    assert log["lines"] == ["    inet 10.0.159.150/19 scope global eth0"]
    container = relaunched["data"]["request"]["AlgorithmSpecification"]
    assert container["ContainerArguments"] == ["/opt/program/train", "train"], "as in its image"


@only_in_soak
def test_an_api_call_takes_the_latency_twice(lab: Runner) -> None:
    # The shortest of several: a busy machine delays some, not all.
    script = """
import boto3, os, time
sm, name = boto3.client("sagemaker"), os.environ["SM_PROXY_LAB_JOB"]
def seconds():
    began = time.monotonic()
    sm.describe_training_job(TrainingJobName=name)
    return time.monotonic() - began
print(min(seconds() for _ in range(3)))
"""
    words = ("--latency-ms", "50", "--status", "Starting", "--")
    _, output, _ = lab.run(*words, *PYTHON, script + DESCRIBE)
    least, job = output.splitlines()
    assert 0.1 <= float(least) < 1
    assert json.loads(job)["steps"] == ["Starting"]


def test_jobs_that_cmd_creates_run_and_stop(shared: Lab) -> None:
    entrypoint = ("/opt/sm-proxy/entrypoint.sh", "sh", "-c")
    ends = shared.launch("ends", *entrypoint, "exit 0")
    fails = shared.launch("fails", *entrypoint, "exit 7")
    runs = shared.launch("runs")
    ends.until("Completed")
    fails.until("Failed")
    reason = shared.python(f"answer = describe({fails.name!r})['FailureReason']")
    assert reason == "AlgorithmError: , exit code: 7"
    # Process 1 of a container ignores SIGTERM until it has set its trap.
    await_true(lambda: "training" in runs.log(), 60, runs.log)
    assert runs.status() == "Training"
    runs.stop()
    runs.until("Stopped")


def test_several_labs_run_at_once(lab: Runner, shared: Lab) -> None:
    """A lab, in the soak two of them, starts while another one runs."""
    if shared.netns and not SOAK:
        pytest.skip("namespaces share no addresses, and the tests' workers run labs at once")
    words = ("--network", shared.environment["SM_PROXY_LAB_NETWORK"], "--")
    started = [
        lab.start(*words, "sh", "-c", f"{SSH}\nin_container id -un") for _ in range(1 + SOAK)
    ]
    for process in started:
        output, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")
        assert output
    assert lab.left() == []
    assert shared.ok(shared.host, "id -un")


@pytest.mark.skipif(ISOLATED, reason="network namespaces are permitted here")
def test_the_lab_fails_if_network_namespaces_are_not_permitted(lab: Runner) -> None:
    status, _, errors = lab.run("--network", "netns", "--", "true")
    assert status == 125
    assert "not permitted" in errors


def test_lab_up_prints_exports_for_another_shell(lab: Runner) -> None:
    process = lab.start("--job", "up-job", what="up")
    assert process.stderr is not None
    assert process.stdout is not None
    assert "ssh sm-up-job;" in process.stderr.readline()
    exports = ""
    while "SM_PROXY_STATE_DIR" not in exports:
        exports += process.stdout.readline()
    script = f"""{exports}{SSH}
        in_container id -un
        SM_PROXY_DAEMON_IDLE=1h ssh "$SM_PROXY_LAB_HOST" true && echo "$AWS_PROFILE" && "$@" || exit
        cd "$SM_PROXY_STATE_DIR/daemon" && until test -S *.sock; do sleep 0.1; done; pwd"""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *PYTHON, DESCRIBE],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(lab.folder), "AWS_PROFILE": "mine"},
    )
    assert done.returncode == 0, done.stderr
    user, profile, job, daemons = done.stdout.splitlines()
    assert (bool(user), profile) == (True, "")
    assert json.loads(job)["status"] == "InProgress"
    (daemon,) = lock_holders(Path(daemons))
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(timeout=60) == 130
    assert lab.left() == []
    await_true(lambda: not process_identity.start_time(daemon), 60)
