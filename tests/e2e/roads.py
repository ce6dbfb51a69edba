"""Situations in which a route serves, and what users do over it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.e2e.labs import Lab
from tests.soak import SOAK
from tests.waits import await_true

SIZE: Final = (8 << 20) if SOAK else 200_000
VPN_CLIENTS: Final = "10.255.0.0/22"
REMOTE_HOST_DOCUMENT: Final = "AWS-StartPortForwardingSessionToRemoteHost"
BASTION_DOCUMENTS: Final = [REMOTE_HOST_DOCUMENT, "AWS-StartSSHSession"]
_MAKE_ENDPOINT: Final = """
_NAME = "InstanceConnectEndpointId"
_subnets = describe(os.environ["SM_PROXY_LAB_JOB"])["VpcConfig"]["Subnets"]
_made = client("ec2").create_instance_connect_endpoint(SubnetId=_subnets[0])
answer = _made["InstanceConnectEndpoint"][_NAME]
"""
FREE_PORT: Final = (
    "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s: answer = s.getsockname()[1]"
)
_SOCKS: Final = """
import socket, sys
port, address, inner = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
s = socket.create_connection(("127.0.0.1", port))
s.sendall(b"\\5\\1\\0")
s.recv(2)
s.sendall(b"\\5\\1\\0\\1" + socket.inet_aton(address) + inner.to_bytes(2, "big"))
s.recv(10)
print(s.makefile().readline())
"""


_JOIN: Final = """
from botocore.utils import IMDSFetcher
def join(name):
    fetcher, ec2 = IMDSFetcher(), client("ec2")
    token = fetcher._fetch_metadata_token()
    own = fetcher._get_request("latest/meta-data/instance-id", None, token).text
    found = ec2.describe_security_groups()["SecurityGroups"]
    groups = {group["GroupName"]: group["GroupId"] for group in found}
    ec2.modify_instance_attribute(InstanceId=own, Groups=[groups[name]])
"""


@dataclass(frozen=True)
class Road:
    """A host, and the terminal from which a user reaches it.

    Attributes:
        there: the lab, from that terminal.
        host: the host name.
        env: variables of the user's shell, such as SM_PROXY_ROUTE.
    """

    there: Lab
    host: str
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a program that uses ssh's config."""
        return self.there.run(*self._shell(), *words, timeout=300, **options)

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start such a program."""
        return self.there.popen(*self._shell(), *words, **options)

    def _shell(self) -> list[str]:
        """Words that set the variables in the terminal: it has some of its own."""
        return ["env", *(f"{name}={value}" for name, value in self.env.items())]

    def ok(self, *words: str, **options: Any) -> bytes:
        """Run such a program, which must succeed; return its output."""
        done = self.run(*words, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def ssh(self, *words: str, **options: Any) -> bytes:
        """Run ssh, which must succeed; return its output."""
        return self.ok("ssh", "-F", self.there.config, *words, **options)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """An ssh that is connected while the block runs."""
        with _started(self, self.host, "echo up; cat") as process:
            assert _line(process) == "up"
            yield

    def resolve(self) -> dict[str, Any]:
        """The data of `resolve --json`."""
        done = self.run(sys.executable, "-I", "-m", "sm_proxy", "resolve", self.host, "--json")
        answer = json.loads(done.stdout)
        assert answer["ok"], answer["error"]
        return dict(answer["data"])

    def through(self) -> list[str]:
        """The routes of the connections since `start_over`, by the log of connections."""
        return [str(record["through"]).partition(" ")[0] for record in self.records()]

    def records(self) -> list[dict[str, Any]]:
        """The log of the connections since `start_over`."""
        self.there.settle()
        lines = [line for log in self._logs() for line in log.read_text().splitlines()]
        return [json.loads(line) for line in lines]

    def start_over(self) -> None:
        """Forget the connections so far: a full log loses the oldest, so they cannot be counted."""
        self.there.settle()
        for log in self._logs():
            log.unlink()

    def _logs(self) -> list[Path]:
        name = hashlib.sha256(self.host.encode()).hexdigest()[:32]
        newer = self.there.state / "connections" / f"{name}.jsonl"
        return [log for log in (newer.with_name(f"{newer.name}.1"), newer) if log.exists()]


# ---- what users do; each checks that the bytes are the same at both ends ----


def scp(road: Road, folder: Path, inside: str) -> None:
    """Copy a file up, and down again."""
    sent, got = folder / "sent", folder / "got"
    sent.write_bytes(secrets.token_bytes(SIZE))
    words = ("scp", "-qF", road.there.config)
    road.ok(*words, str(sent), f"{road.host}:{inside}/scp.bin")
    road.ok(*words, f"{road.host}:{inside}/scp.bin", str(got))
    assert got.read_bytes() == sent.read_bytes()


def sftp(road: Road, folder: Path, inside: str) -> None:
    """Put and get a file in one batch."""
    sent, got = folder / "sent", folder / "got"
    sent.write_bytes(secrets.token_bytes(SIZE))
    batch = f"put {sent} {inside}/sftp.bin\nget {inside}/sftp.bin {got}\n"
    road.ok("sftp", "-qF", road.there.config, "-b", "-", road.host, stdin=batch.encode())
    assert got.read_bytes() == sent.read_bytes()


def rsync(road: Road, folder: Path, inside: str) -> None:
    """Copy a folder up, and down again."""
    sent, got = folder / "up", folder / "down"
    sent.mkdir()
    (sent / "a file").write_bytes(secrets.token_bytes(SIZE))
    shell = f"ssh -F {road.there.config}"
    road.ok("rsync", "-a", "-e", shell, f"{sent}/", f"{road.host}:{inside}/synced/")
    road.ok("rsync", "-a", "-e", shell, f"{road.host}:{inside}/synced/", f"{got}/")
    assert (got / "a file").read_bytes() == (sent / "a file").read_bytes()


def forwarding(road: Road, folder: Path, inside: str) -> None:
    """Reach a port of the container through `-L`."""
    port, (_, inner) = road.there.python(FREE_PORT), _sshd(road)
    words = ("-T", "-L", f"{port}:127.0.0.1:{inner}", road.host, "echo up; cat")
    with _started(road, *words) as process:
        assert _line(process) == "up"
        program = f"import socket; print(socket.create_connection(('127.0.0.1', {port})).recv(4))"
        assert road.run(sys.executable, "-c", program).stdout == b"b'SSH-'\n"


def vs_code(road: Road, folder: Path, inside: str) -> None:
    """Start as VS Code's Remote-SSH does: a script on stdin of a shell, and a SOCKS proxy."""
    port, payload = road.there.python(FREE_PORT), secrets.token_hex(SIZE // 4)
    words = ("-v", "-T", "-D", str(port), "-o", "ConnectTimeout=15", road.host, "bash")
    with _started(road, *words) as process:
        assert process.stdin is not None
        script = f"cat > {inside}/script.txt <<'EOF'\n{payload}\nEOF\n"
        script += f'echo "up ${{SSH_CONNECTION#* * }}"; sha256sum {inside}/script.txt\n'
        process.stdin.write(script.encode())
        process.stdin.flush()
        word, address, inner = _line(process).split()
        assert word == "up"
        assert _line(process).split()[0] == hashlib.sha256(f"{payload}\n".encode()).hexdigest()
        if "." in address:  # SOCKS has another form for IPv6
            said = road.run(sys.executable, "-c", _SOCKS, str(port), address, inner)
            assert said.stdout.startswith(b"SSH-2.0-"), said.stderr


TOOLS: Final[dict[str, Callable[[Road, Path, str], None]]] = {
    "vs_code": vs_code,
    "scp": scp,
    "sftp": sftp,
    "rsync": rsync,
    "forwarding": forwarding,
}


@contextlib.contextmanager
def _started(road: Road, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """An ssh that runs while the block does; its stderr is thrown away."""
    process = road.popen(
        "ssh", "-F", road.there.config, *words,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        process.communicate(timeout=60)


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def _sshd(road: Road) -> tuple[str, int]:
    resolved = road.resolve()
    return str(resolved["address"]), int(resolved["port"])


# ---- situations ----


@contextlib.contextmanager
def direct(lab: Lab) -> Iterator[Road]:
    """A terminal inside the VPC."""
    yield Road(lab.terminal("inside"), lab.host)


@contextlib.contextmanager
def bastion(lab: Lab) -> Iterator[Road]:
    """The laptop."""
    yield Road(lab, lab.host)


@contextlib.contextmanager
def remote_debug(lab: Lab) -> Iterator[Road]:
    """A job outside any VPC, with RemoteDebug."""
    job = lab.launch("debugged", in_vpc=False, remote_debug=True)
    target = f"sagemaker-training-job:{job.name}_algo-1"
    await_true(
        lambda: (
            lab.python(f"answer = client('ssm').get_connection_status(Target={target!r})['Status']")
            == "connected"
        ),
        60,
    )
    yield Road(lab, job.host)


@contextlib.contextmanager
def bastion_ssh(lab: Lab) -> Iterator[Road]:
    """The account forbids the bastion's document for port forwarding to other hosts."""
    with lab.faults(deny_documents=[REMOTE_HOST_DOCUMENT]):
        yield Road(lab, lab.host)


@contextlib.contextmanager
def instance_connect(lab: Lab) -> Iterator[Road]:
    """The account forbids all documents for the bastion, and there is an endpoint instead."""
    with connect_endpoint(lab), lab.faults(deny_documents=BASTION_DOCUMENTS):
        yield Road(lab, lab.host)


@contextlib.contextmanager
def connect_endpoint(lab: Lab) -> Iterator[str]:
    """An Instance Connect Endpoint in the subnet of the lab's own job; yields its id."""
    known = Path(lab.environment["SM_PROXY_CACHE_DIR"]) / "connect-endpoints"
    shutil.rmtree(known, ignore_errors=True)
    name = lab.python(_MAKE_ENDPOINT)
    try:
        yield name
    finally:
        lab.settle()
        lab.python(f"client('ec2').delete_instance_connect_endpoint(**{{_NAME: {name!r}}})")
        shutil.rmtree(known, ignore_errors=True)


ROADS: Final[dict[str, Callable[[Lab], contextlib.AbstractContextManager[Road]]]] = {
    "direct": direct,
    "bastion": bastion,
    "remote-debug": remote_debug,
    "bastion-ssh": bastion_ssh,
    "instance-connect": instance_connect,
}


# ---- networks in which the best route is another one ----


@contextlib.contextmanager
def notebook(lab: Lab) -> Iterator[Road]:
    """A notebook instance in the VPC."""
    yield Road(lab.terminal("notebook"), lab.host)


@contextlib.contextmanager
def studio(lab: Lab) -> Iterator[Road]:
    """A Studio space whose traffic goes through the VPC."""
    yield Road(lab.terminal("studio"), lab.host)


@contextlib.contextmanager
def home(lab: Lab) -> Iterator[Road]:
    """A home whose LAN has the VPC's addresses, and a foreign sshd at the container's."""
    yield Road(lab.terminal("home"), lab.host)


@contextlib.contextmanager
def vpn(lab: Lab) -> Iterator[Road]:
    """A VPN into the VPC."""
    yield Road(lab.terminal("vpn"), lab.host)


@contextlib.contextmanager
def vpn_refused(lab: Lab) -> Iterator[None]:
    """The job's security group does not let the VPN in any more."""
    rule = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": VPN_CLIENTS}]}
    call = f"(GroupId=describe({lab.job!r})['VpcConfig']['SecurityGroupIds'][0],"
    call += f"IpPermissions=[{rule!r}])"
    lab.python(f"client('ec2').revoke_security_group_ingress{call}")
    try:
        yield
    finally:
        lab.python(f"client('ec2').authorize_security_group_ingress{call}")


@contextlib.contextmanager
def no_bastion(lab: Lab) -> Iterator[None]:
    """The account has no bastion."""
    words = f"(Resources=[{lab.environment['SM_PROXY_LAB_BASTION']!r}],"
    words += "Tags=[{'Key': 'sm-proxy:role', 'Value': 'bastion'}])"
    lab.python(f"client('ec2').delete_tags{words}")
    lab.forget("bastions")
    try:
        yield
    finally:
        lab.python(f"client('ec2').create_tags{words}")
        lab.forget("bastions", "routes")


@contextlib.contextmanager
def instance_refused(inside: Lab) -> Iterator[None]:
    """The instance inside the VPC is in a security group that the job does not let in."""
    inside.python(_JOIN + "join('sm-proxy-lab-endpoints')")
    try:
        yield
    finally:
        inside.python(_JOIN + "join('sm-proxy-lab')")


@contextlib.contextmanager
def offline_bastion(lab: Lab) -> Iterator[Road]:
    """The bastion's agent is not connected, but the job has RemoteDebug."""
    job = lab.launch("debugged", remote_debug=True)
    with lab.faults(ping_status="ConnectionLost"):
        yield Road(lab, job.host)
