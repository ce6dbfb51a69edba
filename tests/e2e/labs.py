"""A lab for the tests, and what runs inside it.

`sm-proxy lab run` keeps the lab up around a shell that only waits; everything else enters that
shell's network by nsenter (or runs as it is, where the lab has no namespaces) with the lab's
environment.

A lab costs 3 s of CPU, an ssh into it half a second. So write a new test against the fixture `lab`,
which all tests of a worker share. A test that changes a container, or writes to its log, launches
a job of its own there (`lab.launch`), which costs half a second too. Ask AWS through `lab.python`:
a new Python would import botocore again. A lab of its own (`running`) is for tests that need other
options of `lab run`, or that look at all jobs of the account.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sm_proxy_lab.machines import namespaces, reap
from tests.waits import await_true

SM_PROXY = [sys.executable, "-I", "-m", "sm_proxy"]
_WARM = Path(__file__).with_name("warm.py")
_READY_S = 180
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_MARKER = '{"sm_proxy_marker"'
_EPOCHS = itertools.count(9_000_000_000_000)
"""A node's newest stream wins: each that a test writes gets a later name than the one before."""
_KEPT = """
import functools, json, os, sys, time, traceback
import botocore.session
from sm_proxy_lab.aws.control_client import ControlClient

GROUP = "/aws/sagemaker/TrainingJobs"
control = ControlClient(os.environ["AWS_ENDPOINT_URL"])
client = functools.cache(botocore.session.Session().create_client)

def describe(job):
    return client("sagemaker").describe_training_job(TrainingJobName=job)

def launch(job, words, nodes, environment, in_vpc):
    like = describe(os.environ["SM_PROXY_LAB_JOB"])
    given = {**like.get("Environment", {}), **environment}
    same = ["RoleArn", "OutputDataConfig", "StoppingCondition", *["VpcConfig"] * in_vpc]
    client("sagemaker").create_training_job(
        TrainingJobName=job,
        AlgorithmSpecification={
            **like["AlgorithmSpecification"], **({"ContainerEntrypoint": words} if words else {})
        },
        Environment={name: value for name, value in given.items() if value is not None},
        ResourceConfig={**like["ResourceConfig"], "InstanceCount": nodes},
        **{name: like[name] for name in same},
    )

def streams(prefix):
    found = client("logs").describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=prefix)
    return [stream["logStreamName"] for stream in found["logStreams"]]

def log(prefix):
    read = functools.partial(client("logs").get_log_events, logGroupName=GROUP, startFromHead=True)
    return [
        event["message"]
        for stream in streams(prefix)
        for event in read(logStreamName=stream)["events"]
    ]

names = dict(globals())
for line in sys.stdin:
    try:
        names["answer"] = None
        exec(json.loads(line), names)
        told = json.dumps([True, names["answer"]])
    except Exception:
        told = json.dumps([False, traceback.format_exc()])
    print(told, flush=True)
"""
_WAITING = 'env -0 > "$0.part"; echo $$ > "$0.pid"; mv "$0.part" "$0"; exec sleep 3600'


class Lab:
    """A running lab."""

    def __init__(self, environment: dict[str, str], process: str) -> None:
        self.environment = environment
        self.host = environment["SM_PROXY_LAB_HOST"]
        self.job = environment["SM_PROXY_LAB_JOB"]
        self.config = environment["SM_PROXY_LAB_SSH_CONFIG"]
        self.state = Path(environment["SM_PROXY_STATE_DIR"])
        self.netns = environment["SM_PROXY_LAB_NETWORK"] == "netns"
        self._enter = ["nsenter", f"--net={process}/ns/net", "--"] if self.netns else []
        self._python: subprocess.Popen[bytes] | None = None
        self._warm: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()
        self._launched: list[Job] = []
        self._names: Counter[str] = Counter()

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a program inside."""
        environment = {**self.environment, **options.pop("env", {})}
        return subprocess.Popen([*self._enter, *words], env=environment, **options)

    def run(
        self, *words: str, stdin: bytes = b"", timeout: float = 60, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program inside to its end."""
        process = self.popen(
            *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{words} did not end: {out!r} {err!r}") from None
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def ssh(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """The real ssh with the lab's config."""
        return self.run("ssh", "-F", self.config, *words, **options)

    def sm_proxy(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Our own command line, as a user starts it."""
        return self.run(*SM_PROXY, *words, **options)

    def warm(
        self, *words: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Our own command line, without the cost of its start: see `warm.py`."""
        if self._warm is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._warm = self.popen(sys.executable, "-I", str(_WARM), **pipes)
        out, err = (Path(self.config).with_name(f"warm.{kind}") for kind in ("out", "err"))
        asked = {"words": words, "env": {**self.environment, **(env or {})}}
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        self._warm.stdin.write(json.dumps({**asked, "out": str(out), "err": str(err)}).encode())
        self._warm.stdin.write(b"\n")
        self._warm.stdin.flush()
        status = int(self._warm.stdout.readline())
        done = subprocess.CompletedProcess(words, status, out.read_bytes(), err.read_bytes())
        out.unlink()
        err.unlink()
        return done

    def ok(self, *words: str, **options: Any) -> bytes:
        """What ssh prints, which must succeed."""
        done = self.ssh(*words, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def control(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the lab's control client, from inside the lab's network."""
        return self.python(f"answer = control.{method}(*{arguments!r}, **{named!r})")

    def python(self, program: str) -> Any:
        """Run a program in the one Python that is kept inside; its `answer`, which JSON can say.

        It has `control`, `client(service)` of botocore, `describe(job)`, `streams(prefix)`, and
        `log(prefix)`: the lines of these log streams. Its names last from one program to the next.
        """
        with self._one_at_a_time:
            if self._python is None:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
                self._python = self.popen(sys.executable, "-c", _KEPT, **pipes)
            assert self._python.stdin is not None
            assert self._python.stdout is not None
            self._python.stdin.write(json.dumps(program).encode() + b"\n")
            self._python.stdin.flush()
            good, answer = json.loads(self._python.stdout.readline() or '[false, "it has ended"]')
        assert good, answer
        return answer

    def launch(
        self,
        name: str,
        *words: str,
        nodes: int = 1,
        environment: Mapping[str, str | None] | None = None,
        in_vpc: bool = True,
        keep: bool = False,
    ) -> Job:
        """Create a training job like the lab's own; return once it trains, or has ended.

        Args:
            name: the job's name; where an earlier one has it, a number follows.
            words: the container's entrypoint and arguments, each of at most 256 characters; none:
                the lab's own program behind our entrypoint, whose marker is in the log of every
                node on return.
            nodes: how many containers.
            environment: changes the Environment of the lab's own job; None removes a variable.
            in_vpc: whether the job has the VpcConfig of the lab's own.
            keep: let it run when the test is over.
        """
        self._names[name] += 1
        job = Job(self, name if self._names[name] == 1 else f"{name}-{self._names[name]}")
        self.python(f"launch{(job.name, list(words), nodes, dict(environment or {}), in_vpc)!r}")
        if not keep:
            self._launched.append(job)
        job.until("Training", "Completed", "Failed")
        if not words:
            await_true(lambda: job.log().count(_MARKER) == nodes, 60, job.log)
        return job

    def stop_launched(self) -> None:
        """Stop the jobs that were launched: they cost time, and `list --check` tries them."""
        for job in self._launched:
            if job.status() == "Training":
                job.stop()
        self._launched.clear()

    def end(self) -> None:
        """End what is kept inside."""
        for kept in (self._python, self._warm):
            if kept is not None:
                kept.communicate(timeout=60)

    @contextlib.contextmanager
    def faults(self, **changes: Any) -> Iterator[None]:
        """The lab with these faults."""
        self.control("faults", **changes)
        try:
            yield
        finally:
            self.control("clear_faults")

    def sessions(self) -> list[str]:
        """Ids of the sessions that are open now."""
        return Path(self.environment["SM_PROXY_LAB_SESSIONS"]).read_text().split()

    def forget(self) -> None:
        """Empty the cache of jobs and bastions, so that the next look-up asks AWS again."""
        for purpose in ("jobs", "bastions"):
            shutil.rmtree(
                Path(self.environment["SM_PROXY_CACHE_DIR"]) / purpose, ignore_errors=True
            )

    def cut_clients(self) -> int:
        """Cut the client's websocket of every open session; returns how many were cut."""
        told = 0
        for session in self.sessions():
            answer = self._gateway(op="cut", session=session, side="client")
            told += "error" not in answer
        return told

    def _gateway(self, **request: Any) -> dict[str, Any]:
        folder = Path(self.environment["SM_PROXY_LAB_SESSIONS"]).parent
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(folder / "gateway.sock"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline())
        return answer

    def calls(self) -> list[dict[str, Any]]:
        """Every AWS call so far."""
        whole, _, _ = Path(self.environment["SM_PROXY_LAB_CALLS"]).read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def helpers(self) -> list[int]:
        """Pids of `connect` processes of this lab."""
        return [pid for pid in _processes() if self._is_helper(pid)]

    def settle(self) -> None:
        """Wait for the helpers: they outlive their ssh, to end the session and log it."""
        await_true(lambda: not self.helpers(), 60, self.helpers)

    def _is_helper(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            variables = Path(f"/proc/{pid}/environ").read_bytes()
            return b"connect" in words and str(self.state).encode() in variables
        return False


@dataclass(frozen=True)
class Job:
    """A training job in a lab."""

    lab: Lab
    name: str

    @property
    def host(self) -> str:
        """Its host name for ssh."""
        return f"sm-{self.name}"

    def until(self, *statuses: str) -> None:
        """Wait until it has one of these values of SecondaryStatus."""
        await_true(lambda: self.status() in statuses, 60, lambda: (self.status(), self.log()))

    def status(self) -> str:
        """Its SecondaryStatus."""
        return str(self.lab.python(f"answer = describe({self.name!r})['SecondaryStatus']"))

    def log(self) -> str:
        """The log of all its nodes."""
        return str(self.lab.python(f"answer = '\\n'.join(log({self.name + '/'!r}))"))

    def marker(self, node: str = "algo-1") -> dict[str, Any]:
        """The marker in a node's oldest log stream: what the container itself has printed."""
        found: dict[str, Any] = self.lab.python(
            f"answer = next(json.loads(m) for m in log('{self.name}/{node}-') if {_MARKER!r} in m)"
        )
        return found

    def where(self, node: str = "algo-1") -> tuple[str, int]:
        """A node's address and port."""
        marker = self.marker(node)
        return marker["addresses"][0]["address"], marker["port"]

    def stop(self) -> None:
        """Ask for its end, as StopTrainingJob does."""
        self.lab.python(f"client('sagemaker').stop_training_job(TrainingJobName={self.name!r})")

    def claim(self, stream: str = "", **changes: Any) -> None:
        """Print the node's marker, changed in these fields, to a log stream: see `print`."""
        self.print(json.dumps({**self.marker(), **changes}), stream)

    def print(self, line: str, stream: str = "") -> None:
        """Write a line to a log stream of the first node; by default to a new one."""
        event = {"timestamp": 1_790_000_000_000, "message": line}
        self.lab.control("put_logs", LOG_GROUP, stream or self.newer_stream(), [event])

    def newer_stream(self) -> str:
        """A name for a log stream of the first node that counts as newer than all before."""
        return f"{self.name}/algo-1-{next(_EPOCHS)}"


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Lab]:
    """Keep a lab up while the block runs."""
    told = folder / "environment"
    command = [*SM_PROXY, "lab", "run", *options, "--", "sh", "-c", _WAITING, str(told)]
    log, parent = folder / "lab.log", os.getpid()
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            # A test run that is killed leaves no lab behind.
            preexec_fn=lambda: namespaces.die_with_parent(parent, signal.SIGTERM),  # noqa: PLW1509
        )
    try:
        await_true(told.exists, _READY_S, log.read_text, alive=process)
        pairs = told.read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if pair)
        # The lab has pids of its own, and our commands run outside: look through its init's /proc.
        proc = f"/proc/{reap.descendants(process.pid)[0]}/root/proc/"
        on_bastion = environment["SM_PROXY_LAB_ON_BASTION"]
        environment["SM_PROXY_LAB_ON_BASTION"] = on_bastion.replace("/proc/1/root/proc/", proc)
        lab = Lab(environment, proc + Path(f"{told}.pid").read_text().strip())
        try:
            yield lab
        finally:
            lab.end()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def at(address: str) -> list[dict[str, Any]]:
    """A marker's `addresses`."""
    return [{"name": "eth0", "address": address, "prefix": 20}]


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """Our last line on stderr: ssh adds lines of its own after it."""
    said = done.stderr.decode()
    lines = [line for line in said.splitlines() if line.startswith("sm-proxy: ")]
    assert lines, said
    assert "Traceback" not in said, said
    return lines[-1]


def code_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """The stable code in our last line."""
    return last_line(done).split(": ")[1]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
