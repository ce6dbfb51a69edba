"""Each failure has its code and one clear last line, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.labs import SM_PROXY, Job, Lab, at, code_of, last_line, running
from tests.fakes import HOST_KEY
from tests.soak import cases, only_in_soak
from tests.waits import await_true

pytestmark = pytest.mark.e2e


def refused(lab: Lab, host: str, **options: Any) -> tuple[str, str]:
    """Let the real ssh fail; return the code in our last line, and that line."""
    lab.forget()
    done = lab.ssh(host, "true", **options)
    assert done.returncode == 255
    assert done.stdout == b""
    return code_of(done), last_line(done)


def test_a_missing_job_is_reported_with_the_region(lab: Lab) -> None:
    code, line = refused(lab, "sm-no-such-job")
    assert code == "job-not-found"
    assert "us-east-1" in line


def test_an_illegal_name_is_refused_before_any_call(lab: Lab) -> None:
    before = len(lab.calls())
    for host in cases(("sm-a_b", "sm-a--", "sm-a.nonsense", "sm-" + "x" * 64), ["sm-a.nonsense"]):
        code, _ = refused(lab, host)
        assert code == "bad-name"
    assert len(lab.calls()) == before


def test_a_missing_node_is_reported_with_the_jobs_nodes(lab: Lab) -> None:
    code, line = refused(lab, f"{lab.host}.algo-3")
    assert code == "bad-name"
    assert "algo-1 to algo-2" in line


_ACTIONS = [
    "sagemaker:DescribeTrainingJob",
    "logs:DescribeLogStreams",
    "logs:GetLogEvents",
    "ec2:DescribeSubnets",
    "ec2:DescribeInstances",
    "ssm:StartSession",
]


@pytest.mark.parametrize("denied", cases(_ACTIONS, [_ACTIONS[0], _ACTIONS[-1]]))
def test_a_denied_action_is_named(lab: Lab, denied: str) -> None:
    """Without the soak, each of the others fails an ssh in `doctor_faults_test`."""
    with lab.faults(deny=[denied]):
        found, line = refused(lab, lab.host)
    assert found == "access-denied"
    assert denied in line


_POLICIES = [
    ("service control policy: Deny", "ssm:StartSession", "the administrators of the organization"),
    ("VPC endpoint policy", "sagemaker:DescribeTrainingJob", "in the endpoint policy"),
    ("KMS key", "logs:GetLogEvents", "allow it in the policy of the key"),
]


@pytest.mark.parametrize(("policy", "action", "remedy"), cases(_POLICIES, _POLICIES[1:2]))
def test_a_policy_that_iam_cannot_override_is_named(
    lab: Lab, policy: str, action: str, remedy: str
) -> None:
    with lab.faults(policies={policy: [action]}):
        code, line = refused(lab, lab.host)
    assert code == "access-denied"
    assert remedy in line
    lab.forget()
    lab.ok(lab.host, "true")  # that policy was the only obstacle


def test_ssh_connects_when_instance_information_is_denied(lab: Lab) -> None:
    lab.forget()
    with lab.faults(deny=["ssm:DescribeInstanceInformation"]):
        lab.ok(lab.host, "true")


def test_expired_and_invalid_credentials_are_told_apart(lab: Lab) -> None:
    with lab.faults(credentials="expired"):
        code, line = refused(lab, lab.host)
    assert code == "expired-credentials"
    assert "sm-proxy login" in line
    with lab.faults(credentials="invalid"):
        code, _ = refused(lab, lab.host)
    assert code == "no-credentials"


def test_missing_credentials_are_reported(lab: Lab) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nonexistent"}
    code, _ = refused(lab, lab.host, env=nothing)
    assert code == "no-credentials"


def test_a_throttled_call_is_tried_again(lab: Lab) -> None:
    lab.forget()
    with lab.faults(throttle={"sagemaker:DescribeTrainingJob": 2}):
        lab.ok(lab.host, "true")


@pytest.mark.parametrize("ping", cases(["ConnectionLost", "Inactive", "absent"], ["absent"]))
def test_a_bastion_that_is_offline_is_named(lab: Lab, ping: str) -> None:
    with lab.faults(ping_status=ping):
        code, line = refused(lab, lab.host)
    assert code == "bastion-offline"
    assert lab.environment["SM_PROXY_LAB_BASTION"] in line


def test_an_agent_that_is_too_old_to_forward_is_reported(lab: Lab) -> None:
    with lab.faults(agent_version="3.1.501.0"):  # the bastion's own sshd would still serve
        code, line = refused(lab, lab.host, env={"SM_PROXY_ROUTE": "bastion"})
    assert code == "route-unusable"
    assert "3.1.1374.0" in line


def test_a_named_bastion_is_examined_only_after_a_failure(lab: Lab) -> None:
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


def test_a_missing_bastion_is_reported_with_the_tag(lab: Lab) -> None:
    instance = lab.environment["SM_PROXY_LAB_BASTION"]
    program = (
        f"client('ec2').create_tags(Resources=[{instance!r}],"
        " Tags=[{'Key': 'sm-proxy:role', 'Value': %r}])"
    )
    lab.python(program % "other")
    try:
        code, line = refused(lab, lab.host)
    finally:
        lab.python(program % "bastion")
    assert code == "no-bastion"
    assert "sm-proxy:role=bastion" in line


@pytest.mark.parametrize(
    ("program", "status", "code", "words"),
    [
        ("exit 3", "Failed", "job-failed", "AlgorithmError"),
        ("true", "Completed", "job-ended", "Completed"),
    ],
)
def test_a_job_that_has_ended_is_reported(
    lab: Lab, program: str, status: str, code: str, words: str
) -> None:
    job = lab.launch("over", "/bin/sh", "-c", program)
    job.until(status)
    found, line = refused(lab, job.host)
    assert found == code
    assert words in line
    assert (f"`sm-proxy relaunch {job.host}`" in line) is (status == "Failed")


def test_a_job_that_was_stopped_is_reported(lab: Lab) -> None:
    job = lab.launch("stopped", "/bin/sh", "-c", "trap 'exit 0' TERM; echo up; sleep 600 & wait")
    await_true(lambda: "up" in job.log(), 60)  # before its trap, process 1 ignores SIGTERM
    job.stop()
    job.until("Stopped")
    code, line = refused(lab, job.host)
    assert code == "job-ended"
    assert "Stopped" in line


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose job has no container yet."""
    with running(tmp_path_factory.mktemp("early"), "--status", "Downloading") as held:
        yield held


def test_a_job_that_has_not_started_is_reported_after_the_wait(early: Lab) -> None:
    resolved = early.sm_proxy("resolve", early.host, "--json")
    assert resolved.returncode == 1
    assert json.loads(resolved.stdout)["error"]["code"] == "no-address"
    code, line = refused(early, early.host, env={"SM_PROXY_WAIT": "1"})
    assert code == "wait-timeout"
    assert "Downloading" in line


def test_the_helper_ends_when_ssh_is_killed_while_it_waits(early: Lab) -> None:
    early.forget()
    before = len(early.calls())
    process = early.popen("ssh", "-F", early.config, early.host, stdin=subprocess.DEVNULL)
    await_true(lambda: len(early.calls()) > before, 60, alive=process)
    process.kill()
    process.wait()
    early.settle()


def test_a_job_outside_a_vpc_is_reported(lab: Lab) -> None:
    job = lab.launch("outside", "/bin/sh", "-c", "sleep 600", in_vpc=False)
    code, line = refused(lab, job.host)
    assert code == "no-vpc"
    assert "VpcConfig" in line


@only_in_soak  # doctor_faults_test and host_key_test let ssh fail like this, too
def test_a_log_with_a_wrong_host_key_does_not_let_ssh_connect(lab: Lab) -> None:
    job = lab.launch("hostile")
    job.claim(host_keys=[HOST_KEY])
    done = lab.ssh(job.host, "true")
    assert done.returncode == 255
    assert b"HOST IDENTIFICATION HAS CHANGED" in done.stderr or (
        b"Host key verification failed" in done.stderr
    )


def test_an_address_outside_the_subnets_is_never_connected_to(lab: Lab) -> None:
    job = lab.launch("hostile")
    before = len(lab.calls())
    for address in ("169.254.169.254", "8.8.8.8", "0.0.0.0", "fe80::1"):  # noqa: S104
        job.claim(addresses=at(address), port=22)
        code, line = refused(lab, job.host)
        assert code == "address-refused"
        assert address in line
    assert "StartSession" not in [call["operation"] for call in lab.calls()[before:]]


def test_a_port_where_nothing_listens_is_reported(lab: Lab) -> None:
    job = lab.launch("closed")
    job.claim(port=9)
    code, _ = refused(lab, job.host)
    assert code == "connect-refused"
    waited = lab.sm_proxy("wait", job.host, "--timeout", "1")
    assert (waited.returncode, code_of(waited)) == (1, "connect-refused")
    jobs = json.loads(lab.sm_proxy("list", "--check", "--json").stdout)["data"]["jobs"]
    (listed,) = [item for item in jobs if item["job"] == job.name]
    assert listed["reachable"] is False
    assert listed["reason"].startswith("connect-refused: ")
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


_SILENT = """
import socket, time
s = socket.create_server((%r, %d))
print("silent", flush=True)
time.sleep(600)
"""


@pytest.fixture
def silent(lab: Lab) -> Job:
    """A job whose server accepts connections, but never sends a byte."""
    job = lab.launch("silent")
    address, port = job.where()
    serve(lab, job.host, _SILENT % (address, port + 1), "silent")
    job.claim(port=port + 1)
    lab.forget()
    return job


@only_in_soak  # doctor_faults_test stops an sshd
def test_a_server_that_stays_silent_is_reported(lab: Lab, silent: Job) -> None:
    code, line = refused(lab, silent.host)
    assert code == "sshd-silent"
    assert "is sshd running?" in line


def test_a_stopped_command_leaves_no_session_with_a_silent_server(lab: Lab, silent: Job) -> None:
    for words in (("wait", silent.host), ("list", "--check")):
        leaves_no_session_when_it_is_stopped(lab, *words)


def serve(lab: Lab, host: str, program: str, ready: str) -> None:
    """Start a Python program in a container; return once it has printed `ready`."""
    started = lab.ok(
        host,
        "cat > $HOME/p.py; nohup python3 $HOME/p.py > $HOME/p.log 2>&1 &"
        f" while ! grep -q {ready} $HOME/p.log; do sleep 0.05; done; rm $HOME/p.*",
        stdin=program.encode(),
    )
    assert started == b""


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
    b"": "closes the connection without a greeting",
    b"Exceeded MaxStartups\r\n": "its MaxStartups",
    b"Not allowed at this time\r\n": "PerSourcePenalties",
    b"HTTP/1.1 400 Bad Request\r\n\r\n": "a web server answers",
    b"SSH-2.0-Ope": "closed the connection within its greeting",
}
_ANSWERING = """
import socket, threading
def serve(listener, answer):
    while True:
        peer = listener.accept()[0]
        peer.sendall(answer)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(99): pass
for i, answer in enumerate(%r, %d):
    s = socket.create_server((%r, i))
    threading.Thread(target=serve, args=(s, answer)).start()
print("ready", flush=True)
"""


def test_a_server_without_an_ssh_banner_is_explained(lab: Lab) -> None:
    job = lab.launch("odd")
    address, port = job.where()
    serve(lab, job.host, _ANSWERING % (list(ANSWERS), port + 1, address), "ready")
    for number, words in enumerate(ANSWERS.values(), port + 1):
        done = lab.ssh("-p", str(number), job.host, "true")
        assert code_of(done) == "sshd-silent"
        assert words in last_line(done)
    job.claim(port=port + 1)
    done = lab.warm("doctor", job.host, "--json", "--ssh-config", lab.config)
    assert json.loads(done.stdout)["data"]["cause"] == "sshd-silent"
    assert b"closes the connection without a greeting" in done.stdout


def test_a_container_that_has_not_logged_an_address_is_reported(lab: Lab) -> None:
    job = lab.launch("bare", "/bin/sh", "-c", "echo hello; sleep 600")
    for wait, expected in (("0", "no-address"), ("1", "wait-timeout")):
        code, line = refused(lab, job.host, env={"SM_PROXY_WAIT": wait})
        assert code == expected
        assert "entrypoint" in line
