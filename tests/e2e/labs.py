"""A lab for the tests, and what runs inside it.

`sm-proxy lab run` keeps the lab up around a shell that only waits; everything else enters that
shell's network by nsenter (or runs as it is, where the lab has no namespaces) with the lab's
environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sm_proxy_lab.machines import namespaces

SM_PROXY = [sys.executable, "-I", "-m", "sm_proxy"]
_READY_S = 180
_KEPT = """
import functools, json, os, sys, traceback
import botocore.session
from sm_proxy_lab.aws.control_client import ControlClient
control = ControlClient(os.environ["AWS_ENDPOINT_URL"])
client = functools.cache(botocore.session.Session().create_client)
names = {"control": control, "client": client}
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

    def __init__(self, environment: dict[str, str], pid: int) -> None:
        self.environment = environment
        self.host = environment["SM_PROXY_LAB_HOST"]
        self.job = environment["SM_PROXY_LAB_JOB"]
        self.config = environment["SM_PROXY_LAB_SSH_CONFIG"]
        self.state = Path(environment["SM_PROXY_STATE_DIR"])
        self.netns = environment["SM_PROXY_LAB_NETWORK"] == "netns"
        self._enter = ["nsenter", f"--net=/proc/{pid}/ns/net", "--"] if self.netns else []
        self._python: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

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
        """Our own command line."""
        return self.run(*SM_PROXY, *words, **options)

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

        There are `control`, and `client(service)` of botocore; names last from program to program.
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

    def end(self) -> None:
        """End what is kept inside."""
        if self._python is not None:
            self._python.communicate(timeout=60)

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
        """Remove what was remembered of jobs and bastions, so that the next look asks again."""
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
        """Wait for the helpers, who outlive their ssh: they end their session and write it down."""
        await_true(lambda: not self.helpers(), 60, self.helpers)

    def _is_helper(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            variables = Path(f"/proc/{pid}/environ").read_bytes()
            return b"connect" in words and str(self.state).encode() in variables
        return False


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
        lab = Lab(environment, int(Path(f"{told}.pid").read_text()))
        try:
            yield lab
        finally:
            lab.end()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def await_true(
    condition: Callable[[], bool],
    seconds: float,
    explain: Callable[[], object] = str,
    alive: subprocess.Popen[Any] | None = None,
) -> None:
    """Wait until `condition()`; fail with `explain()` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        ended = alive is not None and alive.poll() is not None
        assert not ended, f"it ended early: {explain()}"
        assert time.monotonic() < deadline, f"it took more than {seconds} s: {explain()}"
        time.sleep(0.02)


def listens(path: Path) -> bool:
    """Whether somebody takes connections to a Unix socket: its file is there a moment earlier."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


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
