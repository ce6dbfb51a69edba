"""Doctor in a healthy lab, and with faults that do not prevent an `ssh`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy_lab.machines import packet_filter
from sm_proxy_lab.machines.network import SERVICE_ADDRESSES
from tests import terminals
from tests.e2e import audit_test
from tests.e2e.doctor_faults import FAULTS, NO_ENDPOINTS, ROUTED
from tests.e2e.doctors import ON_LOOPBACK, examined, failed_of, is_healthy, shown
from tests.e2e.labs import SM_PROXY, Job, Lab, code_of, last_line, running
from tests.soak import cases
from tests.waits import await_true

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A separate lab: doctor would report failures of other tests from the state folder."""
    with running(tmp_path_factory.mktemp("doctor")) as own:
        yield own


def test_all_checks_pass_in_a_healthy_lab(lab: Lab) -> None:
    for words in ([lab.host], []):
        is_healthy(lab, *words)


def test_a_default_route_replaces_the_endpoints(lab: Lab) -> None:
    with NO_ENDPOINTS(lab), ROUTED(lab):
        lab.forget()
        lab.ok(lab.host, "true")
        data, status = examined(lab, lab.host)
    assert (data["cause"], status) == (None, 0)


_ENDPOINTS_DENIED = {"endpoint-groups": "ec2:DescribeVpcEndpoints"}
_DENIED = {
    "security-groups": "ec2:DescribeSecurityGroups",
    "endpoint-groups": "ec2:DescribeSecurityGroups",
    "network-acls": "ec2:DescribeNetworkAcls",
    "endpoints": "ec2:DescribeRouteTables",
    "agent": "ssm:DescribeInstanceInformation",
    "sagemaker:ListTrainingJobs": "sagemaker:ListTrainingJobs",
}
_TOGETHER = [_DENIED, _ENDPOINTS_DENIED]
_ALONE = [{check: action} for check, action in _DENIED.items()]


@pytest.mark.parametrize("denied", cases([*_TOGETHER, *_ALONE], _TOGETHER), ids="+".join)
def test_a_check_that_is_denied_is_skipped_with_the_reason(
    lab: Lab, denied: dict[str, str]
) -> None:
    with lab.faults(deny=list(denied.values())):
        data, status = examined(lab, lab.host)
    assert (data["cause"], status) == (None, 0)
    checks = {item["id"]: item for item in data["checks"]}
    for check, action in denied.items():
        if lab.netns or check not in ON_LOOPBACK:  # nothing filters a loopback address
            assert checks[check]["result"] == "skipped"
            assert action in checks[check]["reason"]


def test_an_unreachable_sts_endpoint_is_skipped(lab: Lab) -> None:
    """As behind a firewall that allows only the endpoints that a connection needs."""
    cut = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}
    lab.ok("-oBatchMode=yes", lab.host, "true", env=cut)
    data, status = examined(lab, lab.host, env=cut)
    assert (data["cause"], status) == (None, 0)
    (found,) = [item for item in data["checks"] if item["id"] == "credentials"]
    assert (found["result"], "127.0.0.1:9" in found["reason"]) == ("skipped", True)


def test_a_denied_resume_session_is_found(lab: Lab) -> None:
    """A connection works until its websocket is cut. Doctor still ends its own session."""
    with lab.faults(deny=["ssm:ResumeSession"]):
        words = ("ssh", "-F", lab.config, "-oBatchMode=yes", lab.host, "echo up; sleep 600")
        process = lab.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert lab.cut_clients() == 1
        _, said = process.communicate(timeout=60)
        assert b"sm-proxy: access-denied: " in said
        data, _ = examined(lab, lab.host)
    assert failed_of(data) == ["ssm:ResumeSession"]
    assert data["cause"] == "access-denied"
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_denied_terminate_session_is_found(lab: Lab) -> None:
    """But ssh does not fail."""
    with lab.faults(deny=["ssm:TerminateSession"]):
        lab.ok(lab.host, "true")
        data, _ = examined(lab, lab.host)
    assert failed_of(data) == ["ssm:TerminateSession"]
    assert data["cause"] == "access-denied"
    await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_named_bastion_needs_no_describe_instances(lab: Lab) -> None:
    bastion = lab.environment["SM_PROXY_LAB_BASTION"]
    lab.forget()
    with lab.faults(deny=["ec2:DescribeInstances"]):
        lab.ok(lab.host, "true", env={"SM_PROXY_BASTION": bastion})
        data, status = examined(lab, lab.host, env={"SM_PROXY_BASTION": bastion})
    assert (data["cause"], status) == (None, 0)
    results = {item["id"]: item["result"] for item in data["checks"]}
    assert (results["ec2:DescribeInstances"], results["agent"]) == ("skipped", "passed")


_SIGNALS = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", cases(_SIGNALS, _SIGNALS[:1]))
def test_an_interrupted_doctor_leaves_no_session_open(lab: Lab, number: signal.Signals) -> None:
    """As when its terminal is closed."""
    words = ("doctor", lab.host, "--ssh-config", lab.config)
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with FAULTS["sshd silent"].switch(lab):
        process = lab.popen(*SM_PROXY, *words, **pipes)
        await_true(lambda: bool(lab.sessions()), 60, alive=process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        # On a busy machine, it has said what it waits for: `... (10s)`.
        said = [line for line in err.splitlines() if not line.endswith(b"s)")]
        assert (process.returncode, out, said) == (130, b"", [])
        await_true(lambda: not lab.sessions(), 60, lab.sessions)


def test_a_block_that_shadows_one_context_does_not_affect_another(lab: Lab) -> None:
    """The second context's prefix leads to the same job."""
    own = Path(lab.config).parent / "sm-proxy" / "config"
    kept = {path: path.read_text() for path in (Path(lab.config), own)}
    name = f"second-{lab.job}"
    try:
        words = ("--ssh-config", lab.config, "--prefix", "second-", "--region", "us-east-1")
        user = lab.environment["SM_PROXY_LAB_USER"]
        done = lab.sm_proxy("config", "write", *words, "--user", user)
        assert done.returncode == 0, done.stderr.decode()
        lab.ok(name, "true")
        assert examined(lab, name)[0]["cause"] is None
        config = Path(lab.config)
        config.write_text(f"Host second-*\n    Port 24\nHost *\n{config.read_text()}")
        assert examined(lab, lab.host)[0]["cause"] is None
        for hosts in ([name], []):
            data, _ = examined(lab, *hosts)
            assert data["cause"] == "config-malformed"
            failed = next(item for item in data["checks"] if item["result"] == "failed")
            assert failed["id"] == "ssh-config"
            assert "Host second-*" in failed["reason"]
    finally:
        for path, text in kept.items():
            path.write_text(text)


@pytest.mark.parametrize(
    ("name", "line"),
    [("config", "# >>> sm-proxy >>>"), ("sm-proxy/config", "# <<< sm-proxy stubs <<<")],
)
def test_a_torn_mark_in_the_config_is_found(lab: Lab, name: str, line: str) -> None:
    path = Path(lab.config).parent / name
    before = path.read_text()
    try:
        path.write_text(f"{before}{line}\n")
        lab.ok(lab.host, "true")
        data, _ = examined(lab, lab.host)
    finally:
        path.write_text(before)
    failed = [item["id"] for item in data["checks"] if item["result"] == "failed"]
    assert (failed, data["cause"]) == (["config-marks"], "config-malformed")


def test_the_support_bundle_is_private_and_has_no_secret(lab: Lab, tmp_path: Path) -> None:
    """It has the checks, the host's connections and the debug log."""
    run = audit_test.Run(lab, tmp_path)
    report = tmp_path / "report.txt"
    assert run.ssh(lab.host, "true").returncode == 0
    lab.settle()
    lab.forget()
    with lab.faults(deny=["ssm:StartSession"]):
        assert run.ssh(lab.host, "true").returncode == 255
        words = ("doctor", lab.host, "--ssh-config", lab.config, "--bundle", str(report))
        assert run.sm_proxy(*words).returncode == 1
    text = report.read_text()
    assert report.stat().st_mode & 0o777 == 0o600
    checks = json.loads(text.split("## checks\n")[1].split("\n\n## ")[0])
    assert {item["id"]: item["result"] for item in checks}["tunnel"] == "failed"
    connections = text.split("## connections\n")[1].split("\n\n## ")[0].splitlines()
    assert [json.loads(line)["code"] for line in connections[:2]] == ["access-denied", "ok"]
    assert "session granted" in text.split("## debug.log\n")[1]
    known = {**run.secrets(), "access key id": audit_test.ACCESS_KEY, "account": "123456789012"}
    assert audit_test.leaks({"the report": text, "printed": ""}, known) == []


@pytest.mark.parametrize("path", cases(["a-file/report.txt", "."], ["."]))
def test_a_support_bundle_that_cannot_be_written_is_reported(
    lab: Lab, tmp_path: Path, path: str
) -> None:
    (tmp_path / "a-file").touch()
    words = ("--ssh-config", lab.config, "--bundle", str(tmp_path / path))
    done = lab.sm_proxy("doctor", *words, env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert done.returncode == 1
    assert code_of(done) == "config-read-only"
    assert str(tmp_path) in last_line(done)


_ROLE = """
[profile keys]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile mfa]
role_arn = arn:aws:iam::123456789012:role/research
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/me
"""


def test_doctor_does_not_ask_for_an_mfa_code(lab: Lab, tmp_path: Path) -> None:
    """There is a terminal, but doctor does not ask on it."""
    config = tmp_path / "config"
    config.write_text(_ROLE)
    unset = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "AWS_ACCESS_KEY_ID"), "")
    given = {**unset, "AWS_CONFIG_FILE": str(config), "SM_PROXY_PROFILE": "mfa"}
    near, far = pty.openpty()

    lab.forget()
    try:
        done = lab.ssh("-oBatchMode=yes", lab.host, "true", env=given, start_new_session=True)
        assert code_of(done) == "no-credentials"
        words = ("doctor", "--json", "--ssh-config", lab.config, lab.host)
        data, _ = shown(lab.sm_proxy(*words, env=given, **terminals.controlling(far)))
        os.set_blocking(near, False)
        with pytest.raises(BlockingIOError):  # nothing was written there
            os.read(near, 1000)
    finally:
        os.close(near)
        os.close(far)
    (failed,) = [item for item in data["checks"] if item["result"] == "failed"]
    assert (failed["id"], data["cause"]) == ("credentials", "no-credentials")
    assert "needs an MFA code from arn:aws:iam::123456789012:mfa/me" in failed["reason"]
    assert failed["ms"] < 40_000


def test_the_network_enforces_security_groups_and_routes(lab: Lab) -> None:
    """The packets of other programs on the bastion are filtered, too."""
    if not lab.netns or packet_filter.program() is None:
        pytest.skip("only the gateway applies the records")
    address, port = Job(lab, lab.job).where()
    on_bastion = lab.environment["SM_PROXY_LAB_ON_BASTION"].split()

    def dialled(host: str, to: int, seconds: int = 30) -> str:
        dial = f"import socket; socket.create_connection(({host!r}, {to}), {seconds})"
        done = lab.run(*on_bastion, sys.executable, "-c", dial)
        return done.stderr.decode().strip().rpartition("\n")[2].partition(":")[0]

    endpoint = SERVICE_ADDRESSES["ssm"]
    assert (dialled(address, port), dialled(endpoint, 443)) == ("", "ConnectionRefusedError")
    with FAULTS["job's group lets nobody in"].switch(lab):
        assert dialled(address, port, 1) == "TimeoutError"
    with FAULTS["endpoint's group lets nobody in"].switch(lab):
        assert dialled(endpoint, 443, 1) == "TimeoutError"
    with NO_ENDPOINTS(lab):
        assert dialled(endpoint, 443) == "OSError"  # no route
    assert (dialled(address, port), dialled(endpoint, 443)) == ("", "ConnectionRefusedError")
