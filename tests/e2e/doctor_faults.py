"""The faults that `doctor_test` puts into its lab, each switched on and off again."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.labs import Lab
from tests.e2e.refusal_test import claim, marker, where

Switch = Callable[[Lab], contextlib.AbstractContextManager[dict[str, Any]]]


@dataclass(frozen=True)
class Fault:
    """One thing that is broken.

    Attributes:
        switch: breaks it; gives what `ssh` and `doctor` are to be run with.
        check: the check that has to fail.
        cause: the code that doctor gives.
        ours: the code in the last line of our helper under `ssh`, where it is another one.
        ssh: the words of ssh itself, or of the shell it starts, where our helper has no say.
    """

    switch: Switch
    check: str
    cause: str
    ours: str = ""
    ssh: str = ""


def _options(**options: Any) -> Switch:
    """Only the environment or the host differs; `ssh` and `doctor` get the same."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        yield options

    return switched


def _front(**faults: Any) -> Switch:
    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        with lab.faults(**faults):
            yield {}

    return switched


def _api(on: str, off: str) -> Switch:
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


def _file(name: str, change: Callable[[str], str | None]) -> Switch:
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


def _other_key(*halves: str) -> Switch:
    """These halves of the key are those of another one."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        folder = Path(lab.config).parent / "sm-proxy"
        other = folder / "other"
        lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other))
        for half in halves:
            (folder / f"id_ed25519{half}").rename(folder / f"kept{half}")
            (folder / f"other{half}").rename(folder / f"id_ed25519{half}")
        try:
            yield {}
        finally:
            for half in halves:
                (folder / f"kept{half}").replace(folder / f"id_ed25519{half}")
            for half in ("", ".pub"):
                (folder / f"other{half}").unlink(missing_ok=True)

    return switched


@contextlib.contextmanager
def _settings_torn(lab: Lab) -> Iterator[dict[str, Any]]:
    path = Path(lab.environment["SM_PROXY_CONFIG_DIR"]) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("region = \n")
    yield {}
    path.unlink()


def _foreign_log(line: Callable[[Lab], str]) -> Switch:
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

FAULTS: dict[str, Fault] = {
    "settings file torn": Fault(_settings_torn, "settings", "bad-setting"),
    "shadowed by Host *": Fault(
        _file("config", _shadow("Host *\n    ProxyCommand /nonexistent/proxy\n")),
        "ssh-config",
        "config-malformed",
        ssh="/nonexistent/proxy: No such file",
    ),
    "shadowed by the AWS Toolkit": Fault(
        _file("config", _shadow("Host sm-*\n    ProxyCommand '/x/sagemaker_connect' '%h'\n")),
        "ssh-config",
        "config-malformed",
        ssh="/x/sagemaker_connect: No such file",
    ),
    "Include gone": Fault(
        _file("config", lambda _: ""),
        "ssh-config",
        "config-malformed",
        ssh="Could not resolve hostname",
    ),
    "option unknown to ssh": Fault(
        _file("config", _shadow("Nonsense yes\n")),
        "ssh-config",
        "config-malformed",
        ssh="Bad configuration option: nonsense",
    ),
    "our block gone": Fault(
        _file("sm-proxy/config", lambda _: None),
        "ssh-config",
        "config-malformed",
        ssh="Could not resolve hostname",
    ),
    "program moved": Fault(
        _file("sm-proxy/config", lambda text: text.replace("/bin/sm-proxy", "/bin/moved")),
        "program",
        "config-malformed",
        ssh="/bin/moved: No such file",
    ),
    "key open to others": Fault(
        _open_key, "permissions", "bad-permissions", ssh="UNPROTECTED PRIVATE KEY FILE"
    ),
    "key gone": Fault(
        _file("sm-proxy/id_ed25519", lambda _: None), "key", "no-identity", ssh="no such identity"
    ),
    "halves of two keys": Fault(
        _other_key(""), "key", "no-identity", ssh="contents do not match public"
    ),
    "key not authorised": Fault(
        _other_key("", ".pub"), "login", "key-refused", ssh="Permission denied (publickey)"
    ),
    "another user": Fault(_options(login="nobody"), "user", "wrong-user"),
    "no such region": Fault(
        _file("sm-proxy/config", lambda text: text.replace("us-east-1", "nowhere")),
        "region",
        "bad-setting",
        ours="job-not-found",
    ),
    "another region": Fault(
        _file("sm-proxy/config", lambda text: text.replace("us-east-1", "eu-west-1")),
        "job",
        "job-not-found",
    ),
    "endpoint refuses": Fault(
        _options(env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}),
        "endpoint",
        "network",
    ),
    "proxy variable": Fault(
        _options(env={"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}),
        "endpoint",
        "network",
    ),
    "no credentials": Fault(_options(env=_NO_KEYS), "credentials", "no-credentials"),
    "credentials expired": Fault(
        _front(credentials="expired"), "credentials", "expired-credentials"
    ),
    "credentials unknown": Fault(_front(credentials="invalid"), "credentials", "no-credentials"),
    "clock wrong": Fault(_front(clock_skew_s=900), "clock", "no-credentials"),
    **{
        f"{action} denied": Fault(_front(deny=[action]), action, "access-denied")
        for action in (
            *("sagemaker:DescribeTrainingJob", "logs:DescribeLogStreams", "logs:GetLogEvents"),
            *("ec2:DescribeSubnets", "ec2:DescribeInstances"),
        )
    },
    "ssm:StartSession denied": Fault(_front(deny=["ssm:StartSession"]), "tunnel", "access-denied"),
    "throttled": Fault(
        _front(throttle={"sagemaker:DescribeTrainingJob": 10_000}),
        "sagemaker:DescribeTrainingJob",
        "throttled",
    ),
    "no such job": Fault(_options(host="sm-no-such-job"), "job", "job-not-found"),
    "no such node": Fault(_options(suffix=".algo-7"), "job", "bad-name"),
    "bastion untagged": Fault(
        _api(_TAG.format("other"), _TAG.format("bastion")),
        "bastion",
        "no-bastion",
    ),
    "bastion stopped": Fault(
        _api("e.stop_instances(InstanceIds=[b])", "e.start_instances(InstanceIds=[b])"),
        "bastion",
        "no-bastion",
    ),
    "agent away": Fault(_front(ping_status="ConnectionLost"), "agent", "bastion-offline"),
    "agent too old": Fault(_front(agent_version="3.1.501.0"), "agent", "agent-too-old"),
    "websocket refused": Fault(_front(gateway={"refuse_upgrade": 403}), "tunnel", "session-lost"),
    "job's group lets nobody in": Fault(
        _api(
            f"e.revoke_security_group_ingress(GroupId=g,IpPermissions={_SELF})",
            f"e.authorize_security_group_ingress(GroupId=g,IpPermissions={_SELF})",
        ),
        "security-groups",
        "sshd-silent",
    ),
    "bastion's group lets nothing out": Fault(
        _api(
            f"e.revoke_security_group_egress(GroupId=g,IpPermissions={_ANY})",
            f"e.authorize_security_group_egress(GroupId=g,IpPermissions={_ANY})",
        ),
        "security-groups",
        "sshd-silent",
    ),
    "endpoints gone": Fault(
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
    "log names another host key": Fault(
        _foreign_log(lambda lab: marker(*where(lab), lab.environment["SM_PROXY_LAB_USER"])),
        "host-key",
        "host-key-changed",
        ssh="REMOTE HOST IDENTIFICATION HAS CHANGED",
    ),
}
