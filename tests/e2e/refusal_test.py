"""Bad input gets its code, one clear last line, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import SM_PROXY, Lab, await_true, code_of, last_line, running

pytestmark = pytest.mark.e2e


def refused(lab: Lab, host: str, **options: Any) -> tuple[str, str]:
    """What the real ssh shows for a host that cannot be reached: the code and our line."""
    lab.forget()
    done = lab.ssh(host, "true", **options)
    assert done.returncode == 255
    assert done.stdout == b""
    return code_of(done), last_line(done)


def test_no_such_job(lab: Lab) -> None:
    code, line = refused(lab, "sm-no-such-job")
    assert code == "job-not-found"
    assert "us-east-1" in line


def test_an_illegal_name_is_refused_before_any_call(lab: Lab) -> None:
    before = len(lab.calls())
    for host in ("sm-a_b", "sm-a--", "sm-a.nonsense", "sm-" + "x" * 64):
        code, _ = refused(lab, host)
        assert code == "bad-name"
    assert len(lab.calls()) == before


def test_no_such_node(lab: Lab) -> None:
    code, line = refused(lab, f"{lab.host}.algo-3")
    assert code == "bad-name"
    assert "algo-1 to algo-2" in line


@pytest.mark.parametrize(
    ("denied", "code"),
    [
        ("sagemaker:DescribeTrainingJob", "access-denied"),
        ("logs:DescribeLogStreams", "access-denied"),
        ("logs:GetLogEvents", "access-denied"),
        ("ec2:DescribeSubnets", "access-denied"),
        ("ec2:DescribeInstances", "access-denied"),
        ("ssm:StartSession", "access-denied"),
    ],
)
def test_a_denied_action_is_named(lab: Lab, denied: str, code: str) -> None:
    with lab.faults(deny=[denied]):
        found, line = refused(lab, lab.host)
    assert found == code
    assert denied in line


@pytest.mark.parametrize(
    ("policy", "action", "remedy"),
    [
        (
            "service control policy: Deny",
            "ssm:StartSession",
            "the administrators of the organization",
        ),
        ("VPC endpoint policy", "sagemaker:DescribeTrainingJob", "in the endpoint policy"),
        ("KMS key", "logs:GetLogEvents", "allow it in the policy of the key"),
    ],
)
def test_a_policy_that_no_iam_policy_outdoes_is_named(
    lab: Lab, policy: str, action: str, remedy: str
) -> None:
    with lab.faults(policies={policy: [action]}):
        code, line = refused(lab, lab.host)
    assert code == "access-denied"
    assert remedy in line
    lab.forget()
    lab.ok(lab.host, "true")  # that policy was all that stood in the way


def test_denied_instance_information_does_not_stop_us(lab: Lab) -> None:
    lab.forget()
    with lab.faults(deny=["ssm:DescribeInstanceInformation"]):
        lab.ok(lab.host, "true")


def test_expired_and_invalid_credentials(lab: Lab) -> None:
    with lab.faults(credentials="expired"):
        code, line = refused(lab, lab.host)
    assert code == "expired-credentials"
    assert "sm-proxy login" in line
    with lab.faults(credentials="invalid"):
        code, _ = refused(lab, lab.host)
    assert code == "no-credentials"


def test_no_credentials(lab: Lab) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nonexistent"}
    code, _ = refused(lab, lab.host, env=nothing)
    assert code == "no-credentials"


def test_a_throttled_call_is_tried_again(lab: Lab) -> None:
    lab.forget()
    with lab.faults(throttle={"sagemaker:DescribeTrainingJob": 2}):
        lab.ok(lab.host, "true")


@pytest.mark.parametrize("ping", ["ConnectionLost", "Inactive", "absent"])
def test_bastion_offline(lab: Lab, ping: str) -> None:
    with lab.faults(ping_status=ping):
        code, line = refused(lab, lab.host)
    assert code == "bastion-offline"
    assert lab.environment["SM_PROXY_LAB_BASTION"] in line


def test_agent_too_old(lab: Lab) -> None:
    with lab.faults(agent_version="3.1.501.0"):
        code, line = refused(lab, lab.host)
    assert code == "agent-too-old"
    assert "3.1.1374.0" in line


def test_named_bastion_is_diagnosed_only_after_the_failure(lab: Lab) -> None:
    named = {"SM_PROXY_BASTION": lab.environment["SM_PROXY_LAB_BASTION"]}
    lab.forget()
    before = len(lab.calls())
    lab.ok(lab.host, "true", env=named)
    operations = [call["operation"] for call in lab.calls()[before:]]
    assert "DescribeInstances" not in operations
    assert "DescribeInstanceInformation" not in operations
    with lab.faults(ping_status="ConnectionLost"):
        code, _ = refused(lab, lab.host, env=named)
    assert code == "bastion-offline"


def test_no_bastion(lab: Lab) -> None:
    instance = lab.environment["SM_PROXY_LAB_BASTION"]
    program = (
        "import botocore.session as b\n"
        "e=b.Session().create_client('ec2')\n"
        "t=[{'Key':'sm-proxy:role','Value':'%s'}]\n"
        f"e.create_tags(Resources=['{instance}'],Tags=t)\n"
    )
    try:
        assert lab.run(sys.executable, "-c", program % "other").returncode == 0
        code, line = refused(lab, lab.host)
    finally:
        assert lab.run(sys.executable, "-c", program % "bastion").returncode == 0
    assert code == "no-bastion"
    assert "sm-proxy:role=bastion" in line


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ("Failed", "job-failed", "AlgorithmError"),
        ("Completed", "job-ended", "Completed"),
        ("Stopped", "job-ended", "Stopped"),
    ],
)
def test_a_job_that_is_over(tmp_path: Path, status: str, code: str, words: str) -> None:
    with running(tmp_path, "--status", status) as ended:
        found, line = refused(ended, ended.host)
        assert found == code
        assert words in line


def test_a_job_that_has_not_started(tmp_path: Path) -> None:
    with running(tmp_path, "--status", "Downloading") as early:
        resolved = early.sm_proxy("resolve", early.host, "--json")
        assert resolved.returncode == 1
        assert json.loads(resolved.stdout)["error"]["code"] == "no-address"
        code, line = refused(early, early.host, env={"SM_PROXY_WAIT": "3"})
        assert code == "wait-timeout"
        assert "Downloading" in line


def test_ssh_that_goes_away_while_waiting_takes_the_helper_along(tmp_path: Path) -> None:
    with running(tmp_path, "--status", "Starting") as early:
        done = early.run("timeout", "-s", "KILL", "3", "ssh", "-F", early.config, early.host)
        assert done.returncode != 0
        early.settle()


def test_a_job_outside_a_vpc(lab: Lab) -> None:
    program = (
        "import botocore.session as b, os\n"
        "s=b.Session().create_client('sagemaker')\n"
        "r=s.describe_training_job(TrainingJobName=os.environ['SM_PROXY_LAB_JOB'])\n"
        "k=['AlgorithmSpecification','RoleArn','OutputDataConfig','ResourceConfig',"
        "'StoppingCondition']\n"
        "s.create_training_job(TrainingJobName='outside',**{n:r[n] for n in k})\n"
    )
    created = lab.run(sys.executable, "-c", program)
    assert created.returncode == 0, created.stderr
    code, line = refused(lab, "sm-outside")
    assert code == "no-vpc"
    assert "VpcConfig" in line


def script(path: Path, text: str) -> str:
    """A program for the container."""
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IRGRP | stat.S_IXGRP | 0o5)
    path.parent.chmod(0o755)
    return str(path)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1WPFtcsn2Qsy5Uf9dxpbUR8VuA4tOSFOdgbgjckIHq"


def marker(address: str, port: int, user: str, key: str = KEY) -> str:
    """A marker line as a container would print it."""
    return json.dumps(
        {
            "sm_proxy_marker": 1,
            "node": "algo-1",
            "addresses": [{"name": "eth0", "address": address, "prefix": 20}],
            "port": port,
            "user": user,
            "host_keys": [key],
            "features": [],
            "problems": [],
        }
    )


def claim(lab: Lab, line: str, later: int = 0) -> None:
    """Write a newer log stream for the job's first node, with this line as its first.

    Where several are written, each has to come `later` than the one before.
    """
    stream = f"{lab.job}/algo-1-{9_999_999_999_999 + later}"
    event = {"timestamp": 1_790_000_000_000, "message": line}
    lab.control("put_logs", "/aws/sagemaker/TrainingJobs", stream, [event])


def where(lab: Lab) -> tuple[str, int]:
    """Address and port of the job's first node."""
    found = re.match(r"algo-1=(.+):(\d+)", lab.environment["SM_PROXY_LAB_ADDRESSES"])
    assert found
    return found[1], int(found[2])


def test_what_a_hostile_log_may_claim(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        address, port = where(own)
        user = own.environment["SM_PROXY_LAB_USER"]
        # Another host key than the container has: ssh itself refuses.
        claim(own, marker(address, port, user))
        done = own.ssh(own.host, "true")
        assert done.returncode == 255
        assert b"HOST IDENTIFICATION HAS CHANGED" in done.stderr or (
            b"Host key verification failed" in done.stderr
        )


@pytest.mark.parametrize("address", ["169.254.169.254", "8.8.8.8", "0.0.0.0", "fe80::1"])  # noqa: S104
def test_an_address_outside_the_subnets_is_never_dialled(tmp_path: Path, address: str) -> None:
    with running(tmp_path) as own:
        claim(own, marker(address, 22, own.environment["SM_PROXY_LAB_USER"]))
        code, line = refused(own, own.host)
        assert code == "address-refused"
        assert address in line
        assert not any(call["operation"] == "StartSession" for call in own.calls())


def test_nothing_listens_on_the_port(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        address, _ = where(own)
        claim(own, marker(address, 9, own.environment["SM_PROXY_LAB_USER"]))
        code, _ = refused(own, own.host)
        assert code == "connect-refused"
        waited = own.sm_proxy("wait", own.host, "--timeout", "1")
        assert (waited.returncode, code_of(waited)) == (1, "connect-refused")
        (job,) = json.loads(own.sm_proxy("list", "--check", "--json").stdout)["data"]["jobs"]
        assert job["reachable"] is False
        assert job["reason"].startswith("connect-refused: ")
        await_true(lambda: not own.sessions(), 60, own.sessions)


def test_something_silent_listens_on_the_port(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        address, port = where(own)
        program = (
            "import socket,time\n"
            f"s=socket.create_server(('{address}',{port + 1}))\n"
            "print('silent',flush=True)\n"
            "time.sleep(600)\n"
        )
        started = own.ok(
            own.host,
            "cat > $HOME/silent.py; nohup python3 $HOME/silent.py > $HOME/silent.log 2>&1 &"
            " while ! grep -q silent $HOME/silent.log; do sleep 0.1; done; rm $HOME/silent.*",
            stdin=program.encode(),
        )
        assert started == b""
        claim(own, marker(address, port + 1, own.environment["SM_PROXY_LAB_USER"]))
        code, line = refused(own, own.host)
        assert code == "sshd-silent"
        assert "is sshd running?" in line
        for words in (("wait", own.host), ("list", "--check")):
            leaves_no_session_when_it_is_stopped(own, *words)


def leaves_no_session_when_it_is_stopped(lab: Lab, *words: str) -> None:
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = lab.popen(*SM_PROXY, *words, **pipes)
    await_true(lambda: bool(lab.sessions()), 60, alive=process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


ANSWERS = {
    b"": "hangs up without a greeting",
    b"Exceeded MaxStartups\r\n": "its MaxStartups",
    b"Not allowed at this time\r\n": "PerSourcePenalties",
    b"HTTP/1.1 400 Bad Request\r\n\r\n": "a web server answers",
    b"SSH-2.0-Ope": "in the middle of its greeting",
}


def test_what_answers_and_does_not_greet(tmp_path: Path) -> None:
    with running(tmp_path) as own:
        address, port = where(own)
        program = (
            "import socket, threading\n"
            "def serve(listener, answer):\n"
            "    while True:\n"
            "        peer = listener.accept()[0]\n"
            "        peer.sendall(answer)\n"
            "        peer.shutdown(socket.SHUT_WR)\n"
            "        while peer.recv(99): pass\n"
            f"for i, answer in enumerate({list(ANSWERS)!r}, {port + 1}):\n"
            f"    s = socket.create_server(('{address}', i))\n"
            "    threading.Thread(target=serve, args=(s, answer)).start()\n"
            "print('ready', flush=True)\n"
        )
        started = "cat > $HOME/p.py; nohup python3 $HOME/p.py > $HOME/p.log 2>&1 &"
        wait = " while ! grep -q ready $HOME/p.log; do sleep 0.1; done"
        own.ok(own.host, started + wait, stdin=program.encode())
        for number, words in enumerate(ANSWERS.values(), port + 1):
            done = own.ssh("-p", str(number), own.host, "true")
            assert code_of(done) == "sshd-silent"
            assert words in last_line(done)
        claim(own, marker(address, port + 1, own.environment["SM_PROXY_LAB_USER"]))
        done = own.sm_proxy("doctor", own.host, "--json", "--ssh-config", own.config)
        assert json.loads(done.stdout)["data"]["cause"] == "sshd-silent"
        assert b"hangs up without a greeting" in done.stdout


def test_a_bare_container_names_no_address_yet(tmp_path: Path) -> None:
    program = script(tmp_path / "train", "echo hello; sleep 600\n")
    with running(tmp_path, "--bare", "--train", program) as bare:
        for wait, expected in (("0", "no-address"), ("3", "wait-timeout")):
            code, line = refused(bare, bare.host, env={"SM_PROXY_WAIT": wait})
            assert code == expected
            assert "entrypoint" in line
