"""The steps of `sm-proxy demo`: real OpenSSH programs reach a job in the lab; results are checked.

Runs as CMD of `sm-proxy lab run`. Each step prints the command as a user would type it, its result
and the time it took. A step that fails ends the demo with status 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session

_STEP_TIMEOUT_S = 60
_REQUEST_FIELDS = (
    "AlgorithmSpecification",
    "RoleArn",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "Environment",
)
_END = """
All of this used a real ssh, a real sshd, the real protocol of Session Manager,
and real AWS calls to an AWS that is simulated on this machine.
To do the same in your account:

    sm-proxy infra deploy      # once: network, bastion, roles; asks first
    sm-proxy setup             # once: a key, and the ssh config
    sm-proxy launch -- CMD     # CMD creates jobs: they get ssh
    ssh sm-<your job's name>

README.md and docs/index.md tell more.
"""


class StepError(Exception):
    """A step failed."""


class Demo:
    """The steps, in order, with one job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checkpoints = ""
        self._job = f"demo-{time.strftime('%H%M%S')}-{secrets.token_hex(2)}"
        self._host = f"sm-{self._job}"

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        """The title and the function of each step."""
        return [
            ("submit a training job with our public key in its Environment", self._submit),
            ("ssh into it, while it is still starting", self._shell),
            ("scp a checkpoint out of it", self._copy_down),
            ("scp a file into it", self._copy_up),
            ("sftp", self._sftp),
            ("rsync", self._rsync),
            ("a forwarded port", self._forward),
            ("what VS Code Remote-SSH does: a script on stdin and a SOCKS port", self._vscode),
        ]

    def _submit(self) -> str:
        client: Any = botocore.session.Session().create_client("sagemaker")
        pattern = client.describe_training_job(TrainingJobName=os.environ["SM_PROXY_LAB_JOB"])
        request = {name: pattern[name] for name in _REQUEST_FIELDS if name in pattern}
        print(f"$ aws sagemaker create-training-job --training-job-name {self._job} ...")  # noqa: T201
        client.create_training_job(TrainingJobName=self._job, **request)
        answer = client.describe_training_job(TrainingJobName=self._job)
        return f"{answer['TrainingJobArn']}\nstatus {answer['SecondaryStatus']}"

    def _shell(self) -> str:
        # Without namespaces, SM_PROXY_ML_DIR stands in for /opt/ml.
        script = "hostname; id -un; ls -d ${SM_PROXY_ML_DIR:-/opt/ml}/checkpoints"
        shown = self._run("ssh", self._host, script)
        self._checkpoints = shown.splitlines()[-1]
        return shown

    def _copy_down(self) -> str:
        source = f"{self._checkpoints}/checkpoint-1.bin"
        self._run("scp", "-q", f"{self._host}:{source}", str(self._folder))
        theirs = self._run("ssh", self._host, f"sha256sum {shlex.quote(source)}").split()[0]
        return _equal(self._folder / "checkpoint-1.bin", theirs)

    def _copy_up(self) -> str:
        (self._folder / "patch.bin").write_bytes(secrets.token_bytes(2 << 20))
        target = f"{self._checkpoints}/patch.bin"
        self._run("scp", "-q", str(self._folder / "patch.bin"), f"{self._host}:{target}")
        theirs = self._run("ssh", self._host, f"sha256sum {shlex.quote(target)}").split()[0]
        return _equal(self._folder / "patch.bin", theirs)

    def _sftp(self) -> str:
        batch = f"ls -l {self._checkpoints}\n"
        return self._run("sftp", "-q", "-b", "-", self._host, stdin=batch)

    def _rsync(self) -> str:
        target = self._folder / "synced"
        source = f"{self._host}:{self._checkpoints}/"
        self._run("rsync", "-a", source, str(target))
        return _equal(target / "patch.bin", _digest(self._folder / "patch.bin"))

    def _forward(self) -> str:
        port, (address, inner) = _free_port(), self._sshd()
        with self._background("-N", "-L", f"{port}:{address}:{inner}", self._host):
            return f"the container's own sshd on our port {port}: " + _greeting(port)

    def _vscode(self) -> str:
        port, inner = _free_port(), self._sshd()
        words = ("-T", "-D", str(port), "-o", "ConnectTimeout=15", self._host, "sh")
        with self._background(*words, script="echo the script says: $(uname -sr)\n") as process:
            said = process.stdout.readline().strip() if process.stdout else ""
            return f"{said}\nand through the SOCKS port: " + _greeting(port, socks_to=inner)

    def _sshd(self) -> tuple[str, int]:
        """Address and port of the container's sshd; in a lab it may not listen on 127.0.0.1."""
        address, port = self._run("ssh", self._host, "echo ${SSH_CONNECTION#* * }").split()
        return address, int(port)

    def _run(self, program: str, *words: str, stdin: str = "") -> str:
        line = self._line(program, words)
        done = subprocess.run(
            line,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_STEP_TIMEOUT_S,
        )
        sys.stdout.write(done.stderr)
        if done.returncode != 0:
            raise StepError(f"{program} ended with status {done.returncode}")
        return done.stdout.strip()

    @contextlib.contextmanager
    def _background(self, *words: str, script: str = "") -> Iterator[subprocess.Popen[str]]:
        line = self._line("ssh", words)
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            if process.stdin is not None:
                process.stdin.write(script)
                process.stdin.flush()
            yield process
        finally:
            process.terminate()
            process.communicate()

    @staticmethod
    def _line(program: str, words: tuple[str, ...]) -> list[str]:
        """Print a command; return it as a list."""
        print("$", program, *(shlex.quote(word) for word in words))  # noqa: T201
        return [program, *words]


def main() -> int:
    """Run the steps; return 0 if all succeed, else 1."""
    with tempfile.TemporaryDirectory(prefix="sm-proxy-demo-") as name:
        for number, (title, step) in enumerate(Demo(Path(name)).steps(), 1):
            print(f"\n{number}. {title}")  # noqa: T201
            started = time.monotonic()
            try:
                shown = step()
            except (StepError, OSError, subprocess.SubprocessError) as error:
                print(f"FAILED: {error}")  # noqa: T201
                return 1
            print(f"{shown}\n({time.monotonic() - started:.1f} s)", flush=True)  # noqa: T201
    print(_END)  # noqa: T201
    return 0


def _equal(ours: Path, theirs: str) -> str:
    if _digest(ours) != theirs:
        raise StepError(f"{ours.name} differs from the file in the container")
    return f"{ours.name}: {ours.stat().st_size} bytes, sha256 {theirs[:16]}... on both sides"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _greeting(port: int, socks_to: tuple[str, int] | None = None) -> str:
    """Return sshd's first line, from a local port or through a SOCKS 5 proxy (RFC 1928) there.

    Raises:
        StepError: No sshd answered.
    """
    _await_listener(port)
    with socket.create_connection(("127.0.0.1", port), timeout=_STEP_TIMEOUT_S) as connection:
        if socks_to is not None:
            _socks_connect(connection, *socks_to)
        line = connection.makefile().readline().strip()
    if not line.startswith("SSH-"):
        raise StepError(f"no sshd answered on port {port}: {line!r}")
    return line


def _await_listener(port: int) -> None:
    deadline = time.monotonic() + _STEP_TIMEOUT_S
    with socket.socket() as probe:
        while probe.connect_ex(("127.0.0.1", port)) != 0:
            if time.monotonic() > deadline:
                raise StepError(f"nothing listens on port {port}")
            time.sleep(0.1)


def _socks_connect(connection: socket.socket, address: str, port: int) -> None:
    connection.sendall(b"\x05\x01\x00")
    connection.recv(2)
    target = socket.inet_aton(address) + port.to_bytes(2, "big")
    connection.sendall(b"\x05\x01\x00\x01" + target)
    answer = connection.recv(10)
    if answer[:2] != b"\x05\x00":
        raise StepError("the SOCKS port did not connect")


if __name__ == "__main__":
    sys.exit(main())
