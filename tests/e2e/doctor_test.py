"""Real faults in one lab: each first makes a real `ssh` fail, then doctor names its cause."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.labs import Lab, await_true, running
from tests.e2e.refusal_test import claim, marker, where

pytestmark = pytest.mark.e2e

Fault = Callable[[Lab], contextlib.AbstractContextManager[dict[str, Any]]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all faults."""
    with running(tmp_path_factory.mktemp("doctor")) as own:
        yield own


def examined(lab: Lab, *words: str, **options: Any) -> tuple[dict[str, Any], int]:
    done = lab.sm_proxy("doctor", "--json", "--ssh-config", lab.config, *words, **options)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return json.loads(done.stdout)["data"], done.returncode


def test_a_healthy_lab_has_nothing_wrong(lab: Lab) -> None:
    for words in ([lab.host], []):
        data, status = examined(lab, *words)
        wrong = [item for item in data["checks"] if item["result"] != "passed"]
        assert [item["id"] for item in wrong] == ["last-failure"]
        assert (data["cause"], status) == (None, 0)


# -- the faults: name -> (how it is switched on, the failing check, the cause) --


def _options(**options: Any) -> Fault:
    """Only the environment or the host differs; `ssh` and `doctor` get the same."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        yield options

    return switched


def _front(**faults: Any) -> Fault:
    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        with lab.faults(**faults):
            yield {}

    return switched


def _api(on: str, off: str) -> Fault:
    """Two programs with a client of EC2 `e`, the bastion `b` and its group `g`."""
    head = (
        "import botocore.session as s, os\n"
        "e=s.Session().create_client('ec2'); b=os.environ['SM_PROXY_LAB_BASTION']\n"
        "i=e.describe_instances(InstanceIds=[b])['Reservations'][0]['Instances'][0]\n"
        "g=i['SecurityGroups'][0]['GroupId']; v=i['VpcId']\n"
    )

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        done = lab.run(sys.executable, "-c", head + on)
        assert done.returncode == 0, done.stderr.decode()
        try:
            yield {}
        finally:
            done = lab.run(sys.executable, "-c", head + off)
            assert done.returncode == 0, done.stderr.decode()

    return switched


def _file(name: str, change: Callable[[str], str | None]) -> Fault:
    """A file of the ssh folder is different; None: gone."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        path = Path(lab.config).parent / name
        before, mode = path.read_text(), path.stat().st_mode
        after = change(before)
        if after is None:
            path.unlink()
        else:
            path.write_text(after)
        try:
            yield {}
        finally:
            path.write_text(before)
            path.chmod(mode)

    return switched


@contextlib.contextmanager
def _open_key(lab: Lab) -> Iterator[dict[str, Any]]:
    path = Path(lab.config).parent / "sm-proxy" / "id_ed25519"
    path.chmod(0o644)
    yield {}
    path.chmod(0o600)


@contextlib.contextmanager
def _other_key(lab: Lab) -> Iterator[dict[str, Any]]:
    path = Path(lab.config).parent / "sm-proxy" / "id_ed25519"
    kept = path.with_name("kept")
    path.rename(kept)
    lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path.with_name("other")))
    path.with_name("other").rename(path)
    try:
        yield {}
    finally:
        kept.replace(path)


@contextlib.contextmanager
def _settings_torn(lab: Lab) -> Iterator[dict[str, Any]]:
    path = Path(lab.environment["SM_PROXY_CONFIG_DIR"]) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("region = \n")
    yield {}
    path.unlink()


def _foreign_log(line: Callable[[Lab], str]) -> Fault:
    """A stream that is newer than the container's, removed again by hiding it in the past."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        claim(lab, line(lab))
        yield {}

    return switched


def _shadow(block: str) -> Callable[[str], str]:
    return lambda before: f"{block}\n{before}"


_ANY = "[{'IpProtocol':'-1','IpRanges':[{'CidrIp':'0.0.0.0/0'}]}]"
_SELF = "[{'IpProtocol':'-1','UserIdGroupPairs':[{'GroupId':g}]}]"
_NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nonexistent"}
_TAG = "e.create_tags(Resources=[b],Tags=[{{'Key':'sm-proxy:role','Value':'{0}'}}])\n"

FAULTS: dict[str, tuple[Fault, str, str]] = {
    "settings file torn": (_settings_torn, "settings", "bad-setting"),
    "shadowed by Host *": (
        _file("config", _shadow("Host *\n    ProxyCommand nc %h %p\n")),
        "ssh-config",
        "config-malformed",
    ),
    "shadowed by the AWS Toolkit": (
        _file("config", _shadow("Host sm-*\n    ProxyCommand '/x/sagemaker_connect' '%h'\n")),
        "ssh-config",
        "config-malformed",
    ),
    "Include gone": (_file("config", lambda _: ""), "ssh-config", "config-malformed"),
    "option unknown to ssh": (
        _file("config", _shadow("Nonsense yes\n")),
        "ssh-config",
        "config-malformed",
    ),
    "our block gone": (_file("sm-proxy/config", lambda _: None), "ssh-config", "config-malformed"),
    "program moved": (
        _file("sm-proxy/config", lambda text: text.replace("/bin/sm-proxy", "/bin/moved")),
        "program",
        "config-malformed",
    ),
    "key open to others": (_open_key, "permissions", "bad-permissions"),
    "key gone": (_file("sm-proxy/id_ed25519", lambda _: None), "key", "no-identity"),
    "key not authorised": (_other_key, "login", "key-refused"),
    "another user": (_options(login="nobody"), "user", "wrong-user"),
    "no such region": (
        _file("sm-proxy/config", lambda text: text.replace("us-east-1", "nowhere")),
        "region",
        "bad-setting",
    ),
    "another region": (
        _file("sm-proxy/config", lambda text: text.replace("us-east-1", "eu-west-1")),
        "job",
        "job-not-found",
    ),
    "endpoint refuses": (
        _options(env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}),
        "endpoint",
        "network",
    ),
    "proxy variable": (
        _options(env={"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}),
        "endpoint",
        "network",
    ),
    "no credentials": (_options(env=_NO_KEYS), "credentials", "no-credentials"),
    "credentials expired": (_front(credentials="expired"), "credentials", "expired-credentials"),
    "credentials unknown": (_front(credentials="invalid"), "credentials", "no-credentials"),
    "clock wrong": (_front(clock_skew_s=900), "clock", "no-credentials"),
    **{
        f"{action} denied": (_front(deny=[action]), action, "access-denied")
        for action in (
            *("sagemaker:DescribeTrainingJob", "logs:DescribeLogStreams", "logs:GetLogEvents"),
            *("ec2:DescribeSubnets", "ec2:DescribeInstances"),
        )
    },
    "ssm:StartSession denied": (_front(deny=["ssm:StartSession"]), "tunnel", "access-denied"),
    "throttled": (
        _front(throttle={"sagemaker:DescribeTrainingJob": 10_000}),
        "sagemaker:DescribeTrainingJob",
        "throttled",
    ),
    "no such job": (_options(host="sm-no-such-job"), "job", "job-not-found"),
    "no such node": (_options(suffix=".algo-7"), "job", "bad-name"),
    "bastion untagged": (
        _api(_TAG.format("other"), _TAG.format("bastion")),
        "bastion",
        "no-bastion",
    ),
    "bastion stopped": (
        _api("e.stop_instances(InstanceIds=[b])", "e.start_instances(InstanceIds=[b])"),
        "bastion",
        "no-bastion",
    ),
    "agent away": (_front(ping_status="ConnectionLost"), "agent", "bastion-offline"),
    "agent too old": (_front(agent_version="3.1.501.0"), "agent", "agent-too-old"),
    "websocket refused": (_front(gateway={"refuse_upgrade": 403}), "tunnel", "session-lost"),
    "job's group lets nobody in": (
        _api(
            f"e.revoke_security_group_ingress(GroupId=g,IpPermissions={_SELF})",
            f"e.authorize_security_group_ingress(GroupId=g,IpPermissions={_SELF})",
        ),
        "security-groups",
        "sshd-silent",
    ),
    "bastion's group lets nothing out": (
        _api(
            f"e.revoke_security_group_egress(GroupId=g,IpPermissions={_ANY})",
            f"e.authorize_security_group_egress(GroupId=g,IpPermissions={_ANY})",
        ),
        "security-groups",
        "sshd-silent",
    ),
    "endpoints gone": (
        _api(
            "n=[x['VpcEndpointId'] for x in e.describe_vpc_endpoints()['VpcEndpoints']]\n"
            "e.delete_vpc_endpoints(VpcEndpointIds=n)",
            "[e.create_vpc_endpoint(VpcId=v,VpcEndpointType='Interface',SubnetIds=[i['SubnetId']],"
            "ServiceName='com.amazonaws.us-east-1.'+n) for n in ('ssm','ssmmessages')]",
        ),
        "agent",
        "bastion-offline",
    ),
    # The last ones leave a newer log stream behind, each a newer one than the one before.
    "log names another host key": (
        _foreign_log(lambda lab: marker(*where(lab), lab.environment["SM_PROXY_LAB_USER"])),
        "host-key",
        "host-key-changed",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_ssh_and_doctor_names_it(lab: Lab, name: str) -> None:
    fault, check, code = FAULTS[name]
    with fault(lab) as options:
        host = options.get("host", lab.host) + options.get("suffix", "")
        login = f"{options['login']}@" if "login" in options else ""
        environment = {"env": options["env"]} if "env" in options else {}
        shutil.rmtree(Path(lab.environment["SM_PROXY_STATE_DIR"]), ignore_errors=True)
        lab.forget()
        done = lab.ssh("-oBatchMode=yes", login + host, "true", **environment)
        assert done.returncode == 255, f"ssh does not fail: {done.stderr.decode()}"
        data, status = examined(lab, login + host, **environment)
    failed = [item for item in data["checks"] if item["result"] == "failed"]
    assert [item["id"] for item in failed][:1] == [check], json.dumps(data["checks"], indent=1)
    assert (data["cause"], status) == (code, 1)
    assert failed[0]["fix"]
    assert not any(item["reason"].startswith("the check itself") for item in data["checks"])
    await_true(lambda: not lab.sessions(), 10, lab.sessions)
