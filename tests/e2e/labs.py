"""A lab for the tests, and programs that run inside it.

`sm-proxy lab run` keeps the lab up around a shell that only waits. Other programs enter that
shell's network with nsenter (or run as they are, if the lab has no namespaces) and get the lab's
environment.

A lab costs 3 s of CPU, an ssh into it 0.5 s. So let a new test use the fixture `lab`, which all
tests of a worker share. If a test changes a container or writes to its log, it launches its own job
there (`lab.launch`), which also costs 0.5 s. Call AWS through `lab.python`: a new Python would
import botocore again. Start a separate lab (`running`) only if a test needs other options of
`lab run`, or looks at all jobs of the account.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
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
from types import TracebackType
from typing import Any

from sm_proxy_lab.machines import namespaces, reap
from tests.waits import await_true

SM_PROXY = [sys.executable, "-I", "-m", "sm_proxy"]
_WARM = Path(__file__).with_name("warm.py")
_READY_S = 180
_END_S = 10
LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_MARKER = '{"sm_proxy_marker"'
KEEPER = "sm-proxy keeper"
"""The short name of a process that keeps a session."""
_EPOCHS = itertools.count(9_000_000_000_000)
"""A node's newest stream wins, so each stream that a test writes gets a later name."""
_KEPT = """
import functools, gc, json, os, sys, time, traceback
gc.disable()
import botocore.session
from sm_proxy_lab.aws.control_client import ControlClient

GROUP = "/aws/sagemaker/TrainingJobs"
control = ControlClient(os.environ["AWS_ENDPOINT_URL"])
client = functools.cache(botocore.session.Session().create_client)

def describe(job):
    return client("sagemaker").describe_training_job(TrainingJobName=job)

def launch(job, words, nodes, environment, in_vpc, remote_debug, checkpoints):
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
        **({"RemoteDebugConfig": {"EnableRemoteDebug": True}} if remote_debug else {}),
        **({"CheckpointConfig": {"S3Uri": checkpoints}} if checkpoints else {}),
    )

def streams(prefix, group=GROUP):
    logs = client("logs")
    try:
        found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)
    except logs.exceptions.ResourceNotFoundException:  # made with the first line of the kind
        return []
    return [stream["logStreamName"] for stream in found["logStreams"]]

def log(prefix, group=GROUP):
    read = functools.partial(client("logs").get_log_events, logGroupName=group, startFromHead=True)
    return [
        event["message"]
        for stream in streams(prefix, group)
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


class Program(subprocess.Popen[bytes]):
    """A program in a lab. A test that fails may leave it: nothing else would end it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for its end; after a failure, end it."""
        if error is not None:
            self.end()
        super().__exit__(kind, error, trace)

    def end(self) -> None:
        """End it, if it still runs."""
        if self.poll() is None:
            self.terminate()
            try:
                self.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.kill()
                self.wait(60)


class Lab:
    """A running lab."""

    def __init__(self, environment: dict[str, str], process: str) -> None:
        self.environment = environment
        self.host = environment.get("SM_PROXY_LAB_HOST", "")  # an empty lab has no job
        self.job = environment.get("SM_PROXY_LAB_JOB", "")
        self.config = environment["SM_PROXY_LAB_SSH_CONFIG"]
        self.state = Path(environment["SM_PROXY_STATE_DIR"])
        self.netns = environment["SM_PROXY_LAB_NETWORK"] == "netns"
        self._enter = ["nsenter", f"--net={process}/ns/net", "--"] if self.netns else []
        self._python: subprocess.Popen[bytes] | None = None
        self._warm: subprocess.Popen[bytes] | None = None
        self._programs: list[Program] = []
        self._one_at_a_time = threading.Lock()
        self._same: Lab | None = None  # for another user of this lab: where its processes are
        self._terminals: dict[str, Lab] = {}
        self._launched: list[Job] = []
        self._names: Counter[str] = Counter()

    def terminal(self, name: str) -> Lab:
        """The same lab from another terminal, such as `inside`: see `sm_proxy_lab.terminals`."""
        if name not in self._terminals:
            there = self._terminals[name] = Lab(self.environment, "")
            there._enter = [*self._enter, self.environment[f"SM_PROXY_LAB_{name.upper()}"]]
        return self._terminals[name]

    def popen(self, *words: str, **options: Any) -> Program:
        """Start a program in the lab; it ends with the test at the latest."""
        process = self._start(*words, **options)
        for lab in filter(None, (self, self._same)):
            lab._programs.append(process)
        return process

    def _start(self, *words: str, **options: Any) -> Program:
        environment = {**self.environment, **options.pop("env", {})}
        return Program([*self._enter, *words], env=environment, **options)

    def end_programs(self) -> None:
        """End what a failed test has left of the programs that it has started."""
        while self._programs:
            self._programs.pop().end()
        for there in self._terminals.values():
            there.end_programs()

    def run(
        self, *words: str, stdin: bytes = b"", timeout: float = 60, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in the lab to its end.

        Raises:
            AssertionError: It has not ended after `timeout` seconds.
        """
        process = self._start(
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
        """Run the real ssh with the lab's config."""
        return self.run("ssh", "-F", self.config, *words, **options)

    def sm_proxy(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run sm-proxy as a user starts it."""
        return self.run(*SM_PROXY, *words, **options)

    def warm(
        self, *words: str, env: Mapping[str, str] | None = None, timeout: float = 180
    ) -> subprocess.CompletedProcess[bytes]:
        """Run sm-proxy without the cost of its start: see `warm.py`.

        Raises:
            AssertionError: It has not ended after `timeout` seconds.
        """
        if self._same:
            return self._same.warm(*words, env={**self.environment, **(env or {})}, timeout=timeout)
        if self._warm is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self._warm = self._start(sys.executable, "-I", str(_WARM), **pipes)
        out, err = (Path(self.config).with_name(f"warm.{kind}") for kind in ("out", "err"))
        asked = {"words": words, "env": {**self.environment, **(env or {})}}
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        self._warm.stdin.write(json.dumps({**asked, "out": str(out), "err": str(err)}).encode())
        self._warm.stdin.write(b"\n")
        self._warm.stdin.flush()
        ended, _, _ = select.select([self._warm.stdout], [], [], timeout)
        if not ended:
            self._kill_warm(self._warm)
        assert ended, f"{words} did not end: {out.read_bytes()!r} {err.read_bytes()!r}"
        status = int(self._warm.stdout.readline())
        done = subprocess.CompletedProcess(words, status, out.read_bytes(), err.read_bytes())
        out.unlink()
        err.unlink()
        return done

    def _kill_warm(self, warm: subprocess.Popen[bytes]) -> None:
        for pid in (*reap.descendants(warm.pid), warm.pid):
            os.kill(pid, signal.SIGKILL)
        warm.communicate()
        self._warm = None

    def ok(self, *words: str, **options: Any) -> bytes:
        """Run ssh, which must succeed; return its output."""
        done = self.ssh(*words, **options)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def by_daemon(self, *words: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run ssh until the daemon has served it, with the debug log in its stderr.

        On a very busy machine, an ssh does the work itself.
        """
        found: list[subprocess.CompletedProcess[bytes]] = []
        env = {**options.pop("env", {}), "SM_PROXY_LOG": "debug"}

        def served() -> bool:
            found.append(self.ssh(*words, env=env, **options))
            return b"no daemon" not in found[-1].stderr

        await_true(served, 60, lambda: found[-1].stderr)
        return found[-1]

    def control(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the lab's control client, from inside the lab's network."""
        return self.python(f"answer = control.{method}(*{arguments!r}, **{named!r})")

    def python(self, program: str) -> Any:
        """Run a program in a Python process that stays in the lab; return its variable `answer`.

        `answer` must be a JSON value. The program can use `control`, botocore's `client(service)`,
        `describe(job)`, `streams(prefix)`, and `log(prefix)`: the lines of these log streams (by
        default, those of training jobs).
        Variables of earlier programs are still defined.
        """
        if self._same:
            return self._same.python(program)
        with self._one_at_a_time:
            if self._python is None:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
                self._python = self._start(sys.executable, "-c", _KEPT, **pipes)
            assert self._python.stdin is not None
            assert self._python.stdout is not None
            self._python.stdin.write(json.dumps(program).encode() + b"\n")
            self._python.stdin.flush()
            good, answer = json.loads(self._python.stdout.readline() or '[false, "it has ended"]')
        assert good, answer
        return answer

    def unused(self, name: str) -> str:
        """A name for a new job, which no other test of this lab uses: with a number if needed."""
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}-{self._names[name]}"

    def launch(
        self,
        name: str,
        *words: str,
        nodes: int = 1,
        environment: Mapping[str, str | None] | None = None,
        in_vpc: bool = True,
        remote_debug: bool = False,
        checkpoints: str = "",
        keep: bool = False,
    ) -> Job:
        """Create a training job like the lab's own; return once it trains or has ended.

        Args:
            name: the job's name; if it is taken, a number is added.
            words: the container's entrypoint and arguments, each of at most 256 characters. Without
                them, it runs our entrypoint and the lab's program, and on return the log of every
                node has a marker.
            nodes: the number of containers.
            environment: changes to the Environment of the lab's own job; None removes a variable.
            in_vpc: whether the job has the VpcConfig of the lab's own job.
            remote_debug: whether its RemoteDebug is on.
            checkpoints: where its checkpoints are copied to, `s3://bucket/prefix`.
            keep: do not stop it at the end of the test.
        """
        job = Job(self, self.unused(name))
        asked = (job.name, list(words), nodes, dict(environment or {}), in_vpc, remote_debug)
        self.python(f"launch{(*asked, checkpoints)!r}")
        if not keep:
            self._launched.append(job)
        job.until("Training", "Completed", "Failed")
        if not words:
            await_true(lambda: job.log().count(_MARKER) == nodes, 60, job.log)
        return job

    def stop_launched(self) -> None:
        """Stop the launched jobs: they cost CPU, and `list --check` would try them."""
        for job in self._launched:
            if job.status() == "Training":
                job.stop()
        self._launched.clear()

    def end(self) -> None:
        """End the processes that stay in the lab, and what a failed test has left."""
        self.end_programs()
        for there in self._terminals.values():
            there.end()
        for kept in (self._python, self._warm):
            if kept is not None:
                kept.communicate(timeout=60)

    @contextlib.contextmanager
    def faults(self, **changes: Any) -> Iterator[None]:
        """Set these faults while the block runs."""
        self.control("faults", **changes)
        try:
            yield
        finally:
            self.control("clear_faults")
            self.forget("routes")  # a fault may have led to another route

    def sessions(self) -> list[str]:
        """The ids of the open sessions."""
        return Path(self.environment["SM_PROXY_LAB_SESSIONS"]).read_text().split()

    def forget(self, *purposes: str) -> None:
        """Empty the cache of jobs, bastions and routes, or of what is named."""
        for purpose in purposes or ("jobs", "bastions", "routes"):
            shutil.rmtree(
                Path(self.environment["SM_PROXY_CACHE_DIR"]) / purpose, ignore_errors=True
            )

    def forget_routes(self) -> None:
        """Forget which routes served or failed, so that the next connection chooses afresh."""
        for purpose in ("routes", "places"):
            shutil.rmtree(
                Path(self.environment["SM_PROXY_CACHE_DIR"]) / purpose, ignore_errors=True
            )

    def cut_clients(self) -> int:
        """Cut the client's websocket of every open session; return their number."""
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
        """All AWS calls so far."""
        whole, _, _ = Path(self.environment["SM_PROXY_LAB_CALLS"]).read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    @contextlib.contextmanager
    def with_daemon(self, **variables: str) -> Iterator[Lab]:
        """The lab of a user whose daemon serves; at the end the daemon and all of it has ended.

        Args:
            variables: more of the environment, such as SM_PROXY_KEEP_SESSION.
        """
        served = Lab({**self.environment, "SM_PROXY_DAEMON_IDLE": "10m", **variables}, "")
        served._enter = self._enter
        served._same = self
        try:
            yield served
        finally:
            served.end()
            await_true(served._is_without_daemon, 60, served.daemon_processes)

    def _is_without_daemon(self) -> bool:
        """Stop what there is; a daemon that has just been started listens later."""
        done = self.sm_proxy("daemon", "stop")
        assert done.returncode == 0, done.stderr
        return not self.daemon_processes()

    def daemons(self) -> list[int]:
        """The pids of this lab's daemons."""
        return lock_holders(self.state / "daemon")

    def await_daemon(self) -> int:
        """Wait until a daemon listens; its pid.

        On a busy machine, an ssh may end before it has started one: then the next one does.
        """
        for _ in range(6):
            with contextlib.suppress(AssertionError):
                await_true(self._is_served, 10)
                break
            self.ok(self.host, "true")
        await_true(self._is_served, 10)
        return self.daemons()[0]

    def _is_served(self) -> bool:
        return bool(self.daemons()) and any((self.state / "daemon").glob("*.sock"))

    def daemon_processes(self) -> list[int]:
        """The pids of this lab's daemons and of all that they have started."""
        if not (self.state / "daemon").exists():
            return []
        daemons = self.daemons()
        below = [pid for daemon in daemons for pid in reap.descendants(daemon)]
        orphans = [pid for pid in _processes() if self._started(pid, b"daemon")]
        return sorted({*daemons, *below, *orphans})

    def keepers(self) -> list[int]:
        """The pids of the processes that keep a session for this lab's daemon."""
        return [pid for pid in self.daemon_processes() if _comm(pid) == KEEPER]

    def helpers(self) -> list[int]:
        """The pids of this lab's `connect` processes, and of those that do their work."""
        daemons = self.daemons()
        work = [
            pid
            for pid in self.daemon_processes()
            if pid not in daemons and _comm(pid) not in {KEEPER, ""}
        ]
        return [*self.launchers(), *work]

    def launchers(self) -> list[int]:
        """The pids of this lab's `connect` processes: what ssh starts, and its forks."""
        return [pid for pid in _processes() if self._started(pid, b"connect")]

    def settle(self) -> None:
        """Wait until all helpers have ended: after ssh's end they still end their session."""

        def busy() -> list[int]:
            return [*self.carriers(), *self.helpers()]

        # Twice: a keeper may hand an end to a new process while they are listed.
        await_true(lambda: not (busy() or busy()), 60, busy)

    def carriers(self) -> list[int]:
        """The pids of the keepers that a connection is left to: they watch its ssh."""
        return [pid for pid in self.keepers() if _watches(pid)]

    def _started(self, pid: int, word: bytes) -> bool:
        """Whether a process has this word on its command line, and this lab's environment."""
        with contextlib.suppress(OSError):
            if word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return str(self.state).encode() in Path(f"/proc/{pid}/environ").read_bytes()
        return False


def _watches(pid: int) -> bool:
    """Whether a process watches another one."""
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if "pidfd" in str(path.readlink()):
                    return True
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
        """Wait until the job has one of these values of SecondaryStatus."""
        await_true(lambda: self.status() in statuses, 60, lambda: (self.status(), self.log()))

    def status(self) -> str:
        """Its SecondaryStatus."""
        return str(self.lab.python(f"answer = describe({self.name!r})['SecondaryStatus']"))

    def log(self) -> str:
        """The log of all its nodes."""
        return str(self.lab.python(f"answer = '\\n'.join(log({self.name + '/'!r}))"))

    def marker(self, node: str = "algo-1") -> dict[str, Any]:
        """The marker in a node's oldest log stream: the one that the container itself printed."""
        found: dict[str, Any] = self.lab.python(
            f"answer = next(json.loads(m) for m in log('{self.name}/{node}-') if {_MARKER!r} in m)"
        )
        return found

    def where(self, node: str = "algo-1") -> tuple[str, int]:
        """A node's address and port."""
        marker = self.marker(node)
        return marker["addresses"][0]["address"], marker["port"]

    def stop(self) -> None:
        """Stop the job with StopTrainingJob."""
        self.lab.python(f"client('sagemaker').stop_training_job(TrainingJobName={self.name!r})")

    def claim(self, stream: str = "", **changes: Any) -> None:
        """Write the node's marker, with these changes, to a log stream: see `print`."""
        self.print(json.dumps({**self.marker(), **changes}), stream)

    def print(self, line: str, stream: str = "") -> None:
        """Write a line to a log stream of the first node; by default to a new one."""
        event = {"timestamp": 1_790_000_000_000, "message": line}
        self.lab.control("put_logs", LOG_GROUP, stream or self.newer_stream(), [event])

    def newer_stream(self) -> str:
        """A name for a log stream of the first node that is newer than all others."""
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
            # A test run that is killed must not leave a lab.
            preexec_fn=lambda: namespaces.die_with_parent(parent, signal.SIGTERM),  # noqa: PLW1509
        )
    try:
        await_true(told.exists, _READY_S, log.read_text, alive=process)
        pairs = told.read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if pair)
        # The lab has its own pids, but our commands run outside: use the /proc of its init.
        proc = f"/proc/{reap.descendants(process.pid)[0]}/root/proc/"
        on_bastion = environment["SM_PROXY_LAB_ON_BASTION"]
        environment["SM_PROXY_LAB_ON_BASTION"] = on_bastion.replace("/proc/1/root/proc/", proc)
        # No test runs the startup files of the user's shell.
        (home := folder / "home").mkdir()
        environment["HOME"] = str(home)
        if "--image" not in options:
            _exchange_keys_fast(Path(environment["SM_PROXY_LAB_SSH_CONFIG"]))
        lab = Lab(environment, proc + Path(f"{told}.pid").read_text().strip())
        try:
            yield lab
        finally:
            lab.end()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _exchange_keys_fast(config: Path) -> None:
    """Let ssh use X25519 alone: with sntrup761, its default, it needs twice the CPU time.

    Its second name is the only one that the server of a space knows. Labs with an image, and
    `lab run` in tests, keep the default of ssh.
    """
    with config.open("a") as file:
        file.write("\nHost *\n    KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org\n")


def at(address: str) -> list[dict[str, Any]]:
    """A marker's `addresses`."""
    return [{"name": "eth0", "address": address, "prefix": 20}]


def last_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """Our last line on stderr; ssh may have written more lines after it."""
    said = done.stderr.decode()
    lines = [line for line in said.splitlines() if line.startswith("sm-proxy: ")]
    assert lines, said
    assert "Traceback" not in said, said
    return lines[-1]


def code_of(done: subprocess.CompletedProcess[bytes]) -> str:
    """The stable code in our last line."""
    return last_line(done).split(": ")[1]


def lock_holders(folder: Path) -> list[int]:
    """The pids of the processes that hold a lock in this folder: each daemon has one."""
    found = {path.stat().st_ino for path in folder.glob("*.lock")}
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [
        int(words[4])
        for words in locks
        if words[1] == "POSIX" and int(words[5].rpartition(":")[2]) in found
    ]


def _comm(pid: int) -> str:
    """A process's short name; empty if it has ended."""
    with contextlib.suppress(OSError):
        found = Path(f"/proc/{pid}/stat").read_text()  # pid (name) state ...
        name, _, rest = found.partition("(")[2].rpartition(")")
        return "" if rest.split()[0] in "ZX" else name
    return ""


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
