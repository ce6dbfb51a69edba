"""The faults for `doctor_faults_test`. Each one can be switched on and off."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_proxy_lab.account import ENDPOINT_GROUP
from tests.e2e.labs import Job, Lab, at
from tests.fakes import HOST_KEY
from tests.waits import await_true

Switch = Callable[[Lab], contextlib.AbstractContextManager[dict[str, Any]]]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        switch: sets the fault while its block runs; yields options for `ssh` and `doctor`.
        check: the id of the check that must fail.
        cause: the code that doctor reports.
        ours: the code in our helper's last line under `ssh`, if it differs from `cause`.
        ssh: a part of the error of ssh or of its shell, if our helper prints none.
        slow: ssh and doctor take long, so the test runs them concurrently.
    """

    switch: Switch
    check: str
    cause: str
    ours: str = ""
    ssh: str = ""
    slow: bool = False


def _options(**options: Any) -> Switch:
    """A fault in the environment or the host name; `ssh` and `doctor` get the same options."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        yield options

    return switched


def _aws(route: str = "auto", **faults: Any) -> Switch:
    """A fault of the lab's AWS, for a connection by `route`."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        with lab.faults(**faults):
            yield {"env": {"SM_PROXY_ROUTE": route}}

    return switched


def _api(on: str, off: str) -> Switch:
    """A fault set and removed by two programs.

    They can use a client of EC2 `e`, the bastion `b`, its security group `g`, its VPC `v`, and the
    security group `h` of the VPC's endpoints.
    """

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        lab.python(_HEAD + on)
        try:
            yield {}
        finally:
            lab.python(_HEAD + off)

    return switched


def _job(program: str, *, vpc: bool = True, log: str = "", until: str = "Training") -> Switch:
    """`ssh` and `doctor` are run for another job, which does not have our entrypoint.

    Args:
        program: the job's shell script.
        vpc: whether the job runs in the VPC.
        log: the first line of its newest log stream.
        until: the SecondaryStatus to wait for.
    """

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        job = lab.launch("other", "/bin/sh", "-c", f"trap 'exit 0' TERM; {program}", in_vpc=vpc)
        job.until(until)
        if log:
            job.print(log)
        yield {"host": job.host, "env": {"SM_PROXY_WAIT": "0"}}

    return switched


def _processes(lab: Lab, name: str) -> list[int]:
    """The pids of processes in the job's container with `name` in their command line."""

    def read(pid: int, file: str) -> str:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/{file}").read_text(errors="replace")
        return ""

    def serves(pid: int) -> bool:
        own = f"TRAINING_JOB_NAME={lab.job}\0" in read(pid, "environ")
        return own and "serve.sh" in read(pid, "cmdline")

    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    serving = {pid for pid in pids if serves(pid)}
    if name == "serve.sh":
        return sorted(serving)
    # sshd does not have the job's environment: find it as a child of serve.sh.
    parents = {pid: read(pid, "stat").rpartition(")")[2].split()[1:2] for pid in pids}
    children = [pid for pid in pids if parents[pid] and int(parents[pid][0]) in serving]
    return [pid for pid in children if name in read(pid, "cmdline")]


@contextlib.contextmanager
def _sshd_stopped(lab: Lab) -> Iterator[dict[str, Any]]:
    """The kernel accepts connections, but no banner comes."""
    (sshd,) = _processes(lab, "sshd")
    os.kill(sshd, signal.SIGSTOP)
    try:
        yield {}
    finally:
        os.kill(sshd, signal.SIGCONT)


@contextlib.contextmanager
def _sshd_killed(lab: Lab) -> Iterator[dict[str, Any]]:
    """Nothing listens: sshd is killed, and the program that restarts it is stopped."""
    serving = _processes(lab, "serve.sh")
    for pid in serving:
        os.kill(pid, signal.SIGSTOP)
    for pid in _processes(lab, "sshd"):
        os.kill(pid, signal.SIGKILL)
    try:
        yield {}
    finally:
        for pid in serving:
            os.kill(pid, signal.SIGCONT)
        await_true(lambda: lab.ssh(lab.host, "true").returncode == 0, 60)


def _file(name: str, change: Callable[[str], str | None]) -> Switch:
    """A file in the ssh folder is changed, or removed if `change` returns None."""

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
    """These halves (`""`, `.pub`) of the key belong to another key."""

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
def _passphrase(lab: Lab) -> Iterator[dict[str, Any]]:
    """The key has a passphrase. No agent has the key, and batch mode does not ask."""
    path = Path(lab.config).parent / "sm-proxy" / "id_ed25519"
    before = path.read_bytes()
    done = lab.run("ssh-keygen", "-q", "-p", "-P", "", "-N", "secret words", "-f", str(path))
    assert done.returncode == 0, done.stderr.decode()
    try:
        yield {"env": {"SSH_AUTH_SOCK": ""}}
    finally:
        path.write_bytes(before)


@contextlib.contextmanager
def _settings_torn(lab: Lab) -> Iterator[dict[str, Any]]:
    path = Path(lab.environment["SM_PROXY_CONFIG_DIR"]) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("region = \n")
    yield {}
    path.unlink()


def _told(line: Callable[[dict[str, Any]], str]) -> Switch:
    """The node's newest log stream has this line; afterwards a newer one has the true marker."""

    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        job = Job(lab, lab.job)
        job.print(line(job.marker()))
        try:
            yield {"env": {"SM_PROXY_WAIT": "0"}}
        finally:
            job.claim()
            lab.forget()  # the cache may have the fault

    return switched


def _changed(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda true: json.dumps({**true, **changes})


def _plain_address(true: dict[str, Any]) -> str:
    """A line of `ip addr`: it has an address, but no host key."""
    return f"    inet {true['addresses'][0]['address']}/20 brd 10.0.159.255 scope global eth0"


@contextlib.contextmanager
def _included_shadow(lab: Lab) -> Iterator[dict[str, Any]]:
    other = Path(lab.config).parent / "other.conf"
    other.write_text("Host *\n    ProxyCommand /nonexistent/proxy\n")
    with _file("config", _shadow(f"Include {other}"))(lab):
        yield {}
    other.unlink()


@contextlib.contextmanager
def _no_known_hosts(lab: Lab) -> Iterator[dict[str, Any]]:
    """A file has the path of the folder for host keys."""
    place = Path(lab.config).parent / "sm-proxy" / "known_hosts.d"
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("")
    yield {}
    place.unlink()


def _aws_config(text: str, **env: str) -> Switch:
    @contextlib.contextmanager
    def switched(lab: Lab) -> Iterator[dict[str, Any]]:
        path = Path(lab.config).parent / "aws-config"
        path.write_text(text)
        yield {"env": {"AWS_CONFIG_FILE": str(path), **env}}
        path.unlink()

    return switched


def _shadow(block: str) -> Callable[[str], str]:
    return lambda before: f"{block}\n{before}"


_HEAD = (
    "import os\n"
    "e = client('ec2'); b = os.environ['SM_PROXY_LAB_BASTION']\n"
    "i = e.describe_instances(InstanceIds=[b])['Reservations'][0]['Instances'][0]\n"
    "g = i['SecurityGroups'][0]['GroupId']; v = i['VpcId']\n"
    f"f = [{{'Name': 'group-name', 'Values': [{ENDPOINT_GROUP!r}]}}]\n"
    "h = e.describe_security_groups(Filters=f)['SecurityGroups'][0]['GroupId']\n"
)
_ENDPOINTS_OFF = (
    "n = [x['VpcEndpointId'] for x in e.describe_vpc_endpoints()['VpcEndpoints']"
    " if x['VpcEndpointType'] == 'Interface' and x['ServiceName'].endswith({0!r})]\n"
    "e.delete_vpc_endpoints(VpcEndpointIds=n)\n"
)
_ENDPOINTS_ON = (
    "[e.create_vpc_endpoint(VpcId=v, VpcEndpointType='Interface', SubnetIds=[i['SubnetId']],"
    " SecurityGroupIds=[h], ServiceName='com.amazonaws.us-east-1.' + n) for n in {0!r}]\n"
)
ROUTED = _api(
    "w = e.create_internet_gateway()['InternetGateway']['InternetGatewayId']\n"
    "e.attach_internet_gateway(InternetGatewayId=w, VpcId=v)\n"
    "f = [{'Name': 'vpc-id', 'Values': [v]}]\n"
    "t = e.describe_route_tables(Filters=f)['RouteTables'][0]['RouteTableId']\n"
    "r = {'DestinationCidrBlock': '0.0.0.0/0'}\n"
    "p = e.create_subnet(VpcId=v, CidrBlock='10.0.0.0/20')['Subnet']['SubnetId']\n"
    "o = e.create_route_table(VpcId=v)['RouteTable']['RouteTableId']\n"
    "a = e.associate_route_table(RouteTableId=o, SubnetId=p)['AssociationId']\n"
    "e.create_route(RouteTableId=o, GatewayId=w, **r)\n"
    "x = e.allocate_address(Domain='vpc')['AllocationId']\n"
    "q = e.create_nat_gateway(SubnetId=p, AllocationId=x)['NatGateway']['NatGatewayId']\n"
    "e.create_route(RouteTableId=t, NatGatewayId=q, **r)\n",
    "e.delete_route(RouteTableId=t, **r)\n"
    "e.delete_nat_gateway(NatGatewayId=q)\n"
    "e.disassociate_route_table(AssociationId=a)\n"
    "e.delete_route_table(RouteTableId=o)\n"
    "n = e.describe_network_interfaces(Filters=[{'Name': 'subnet-id', 'Values': [p]}])\n"
    "[e.delete_network_interface(NetworkInterfaceId=m['NetworkInterfaceId'])"
    " for m in n['NetworkInterfaces']]\n"
    "e.delete_subnet(SubnetId=p)\n",
)
"""A default route from the bastion's subnet to a NAT gateway."""
NO_ENDPOINTS = _api(_ENDPOINTS_OFF.format(""), _ENDPOINTS_ON.format(("ssm", "ssmmessages", "s3")))


def _denied(first: int, last: int, *, egress: bool) -> Switch:
    """The subnets' network ACL denies TCP to these ports."""
    found = (
        "f = [{'Name': 'vpc-id', 'Values': [v]}]\n"
        "k = {'NetworkAclId': e.describe_network_acls(Filters=f)['NetworkAcls'][0]['NetworkAclId'],"
        f" 'RuleNumber': 50, 'Egress': {egress}}}\n"
    )
    ports = f"PortRange={{'From': {first}, 'To': {last}}}"
    return _api(
        f"{found}e.create_network_acl_entry(**k, Protocol='6', RuleAction='deny',"
        f" CidrBlock='0.0.0.0/0', {ports})\n",
        f"{found}e.delete_network_acl_entry(**k)\n",
    )


_SLEEP = "sleep 600 & wait"
_OUTSIDE = json.dumps(
    {
        "sm_proxy_marker": 1,
        "node": "algo-1",
        "addresses": at("203.0.113.7"),
        "port": 22,
        "user": "root",
        "host_keys": [HOST_KEY],
    }
)
_ANY = "[{'IpProtocol':'-1','IpRanges':[{'CidrIp':'0.0.0.0/0'}]}]"
_SELF = "[{'IpProtocol':'-1','UserIdGroupPairs':[{'GroupId':g}]}]"
_HTTPS = "[{'IpProtocol':'tcp','FromPort':443,'ToPort':443,'UserIdGroupPairs':[{'GroupId':g}]}]"
_NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nonexistent"}
_TAG = "e.create_tags(Resources=[b],Tags=[{{'Key':'sm-proxy:role','Value':'{0}'}}])\n"

# Of those with the same check and codes, script/test runs the first: a quick one, or one that no
# test of doctor alone covers.
FAULTS: dict[str, Fault] = {
    "settings file torn": Fault(_settings_torn, "settings", "bad-setting"),
    "shadowed by Host *": Fault(
        _file("config", _shadow("Host *\n    ProxyCommand /nonexistent/proxy\n")),
        "ssh-config",
        "config-malformed",
        ssh="/nonexistent/proxy: ",
    ),
    "shadowed by the AWS Toolkit": Fault(
        _file("config", _shadow("Host sm-*\n    ProxyCommand '/x/sagemaker_connect' '%h'\n")),
        "ssh-config",
        "config-malformed",
        ssh="/x/sagemaker_connect: ",
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
        _file("sm-proxy/config", lambda text: text.replace(" -I -m ", "-moved -I -m ")),
        "program",
        "config-malformed",
        ssh="-moved: ",
    ),
    "key open to others": Fault(
        _open_key, "permissions", "bad-permissions", ssh="UNPROTECTED PRIVATE KEY FILE"
    ),
    "halves of two keys": Fault(
        _other_key(""), "key", "no-identity", ssh="contents do not match public"
    ),
    "key gone": Fault(
        _file("sm-proxy/id_ed25519", lambda _: None), "key", "no-identity", ssh="no such identity"
    ),
    "key behind a passphrase": Fault(
        _passphrase, "login", "key-refused", ssh="Permission denied (publickey)"
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
    "no such job": Fault(_options(host="sm-no-such-job"), "job", "job-not-found"),
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
    "credentials expired": Fault(_aws(credentials="expired"), "credentials", "expired-credentials"),
    "credentials unknown": Fault(_aws(credentials="invalid"), "credentials", "no-credentials"),
    "clock wrong": Fault(_aws(clock_skew_s=900), "clock", "no-credentials"),
    **{
        f"{action} denied": Fault(_aws(deny=[action]), action, "access-denied")
        for action in (
            *("sagemaker:DescribeTrainingJob", "logs:DescribeLogStreams", "logs:GetLogEvents"),
            *("ec2:DescribeSubnets", "ec2:DescribeInstances"),
        )
    },
    "ssm:StartSession denied": Fault(_aws(deny=["ssm:StartSession"]), "tunnel", "access-denied"),
    "throttled": Fault(
        _aws(throttle={"sagemaker:DescribeTrainingJob": 10_000}),
        "sagemaker:DescribeTrainingJob",
        "throttled",
        slow=True,
    ),
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
    "agent offline": Fault(_aws(ping_status="ConnectionLost"), "agent", "bastion-offline"),
    "agent too old": Fault(  # too old to forward: the bastion's own sshd needs a session only
        _aws(route="bastion", agent_version="3.1.501.0"),
        "agent",
        "agent-too-old",
        ours="route-unusable",
    ),
    "websocket refused": Fault(_aws(gateway={"refuse_upgrade": 403}), "tunnel", "session-lost"),
    "bastion's group lets nothing out": Fault(
        _api(
            f"e.revoke_security_group_egress(GroupId=g,IpPermissions={_ANY})",
            f"e.authorize_security_group_egress(GroupId=g,IpPermissions={_ANY})",
        ),
        "security-groups",
        "sshd-silent",
        slow=True,
    ),
    "job's group lets nobody in": Fault(
        _api(
            f"e.revoke_security_group_ingress(GroupId=g,IpPermissions={_SELF})",
            f"e.authorize_security_group_ingress(GroupId=g,IpPermissions={_SELF})",
        ),
        "security-groups",
        "sshd-silent",
    ),
    "endpoint's group lets nobody in": Fault(
        _api(
            f"e.revoke_security_group_ingress(GroupId=h,IpPermissions={_HTTPS})",
            f"e.authorize_security_group_ingress(GroupId=h,IpPermissions={_HTTPS})",
        ),
        "endpoint-groups",
        "bastion-offline",
    ),
    "network ACL lets nothing in": Fault(
        _denied(22, 22, egress=False),
        "network-acls",
        "sshd-silent",
        slow=True,
    ),
    "network ACL lets no answer out": Fault(
        _denied(32768, 60999, egress=True),
        "network-acls",
        "sshd-silent",
        slow=True,
    ),
    "no endpoints and no default route": Fault(NO_ENDPOINTS, "endpoints", "bastion-offline"),
    "one endpoint of two": Fault(
        _api(_ENDPOINTS_OFF.format(".ssmmessages"), _ENDPOINTS_ON.format(("ssmmessages",))),
        "endpoints",
        "bastion-offline",
    ),
    "job ended": Fault(_job("true", until="Completed"), "job", "job-ended"),
    "job failed": Fault(_job("exit 3", until="Failed"), "job", "job-failed"),
    "job outside a VPC": Fault(_job(_SLEEP, vpc=False), "vpc", "no-vpc"),
    "no marker in the log": Fault(_job(f"echo hello; {_SLEEP}"), "marker", "no-address"),
    "address outside the subnets": Fault(_job(_SLEEP, log=_OUTSIDE), "marker", "address-refused"),
    "sshd silent": Fault(_sshd_stopped, "banner", "sshd-silent", slow=True),
    "log names a closed port": Fault(_told(_changed(port=9)), "banner", "connect-refused"),
    "sshd not running": Fault(_sshd_killed, "banner", "connect-refused"),
    "shadowed in an included file": Fault(
        _included_shadow,
        "ssh-config",
        "config-malformed",
        ssh="/nonexistent/proxy: ",
    ),
    "another jump host": Fault(
        _file("config", _shadow("Host sm-*\n    ProxyJump 127.0.0.1:1\n")),
        "ssh-config",
        "config-malformed",
        ssh="Connection refused",
    ),
    "another known_hosts": Fault(
        _file("config", _shadow("UserKnownHostsFile /dev/null\n")),
        "ssh-config",
        "config-malformed",
        ssh="Host key verification failed",
    ),
    "known_hosts.d is a file": Fault(_no_known_hosts, "permissions", "config-read-only"),
    "no such profile": Fault(
        _options(env={"AWS_PROFILE": "nobody"}), "credentials", "no-credentials"
    ),
    "credential helper gone": Fault(
        _aws_config("[default]\ncredential_process = /nonexistent/helper\n", **_NO_KEYS),
        "credentials",
        "aws-error",
    ),
    "AWS config torn": Fault(_aws_config("[torn\n"), "credentials", "aws-error"),
    "no such bastion": Fault(
        _options(env={"SM_PROXY_BASTION": "i-0123456789abcdef0"}),
        "bastion",
        "no-bastion",
        ours="bastion-offline",
    ),
    "session ended by its owner": Fault(
        _aws(gateway={"close_with_text": "ended by its owner"}), "tunnel", "session-lost"
    ),
    "log names no host key": Fault(_told(_plain_address), "expected-key", "host-key-unknown"),
    "log masks the address": Fault(
        _aws(masked_logs="10[.][0-9.]+", deny=["logs:Unmask"]), "marker", "no-address"
    ),
    "log names no server": Fault(
        _told(_changed(port=0, problems=["no sshd in this image"])), "marker", "no-address"
    ),
    "log names the metadata service": Fault(
        _told(_changed(addresses=at("169.254.169.254"))),
        "marker",
        "address-refused",
    ),
    "log names another host key": Fault(
        _told(_changed(host_keys=[HOST_KEY])),
        "host-key",
        "host-key-changed",
        slow=True,
    ),
}


_RECORDS = (
    _HEAD
    + """
import json
f = [{'Name': 'vpc-id', 'Values': [v]}]
kept = {
    'groups': e.describe_security_groups(Filters=f)['SecurityGroups'],
    'acls': e.describe_network_acls(Filters=f)['NetworkAcls'],
    'routes': [x['Routes'] for x in e.describe_route_tables(Filters=f)['RouteTables']],
    'endpoints': sorted(
        (x['ServiceName'], [y['GroupId'] for y in x['Groups']])
        for x in e.describe_vpc_endpoints(Filters=f)['VpcEndpoints'] if x['State'] == 'available'
    ),
    'bastion': [i['State'], i['Tags'], i['SecurityGroups']],
}
answer = [json.dumps(kept, default=str, sort_keys=True), control.faults()]
"""
)


def left_behind(lab: Lab) -> dict[str, Any]:
    """The state of the lab after a fault: AWS records, faults, and ssh's files (no times)."""
    folder = Path(lab.config).parent
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "known_hosts.d"
    ]
    records, faults = lab.python(_RECORDS)
    return {
        "records": records,
        "faults": faults,
        "files": {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode)
            for path in files
        },
    }
