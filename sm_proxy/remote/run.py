"""Run a small script in a container over the user's ssh.

No ssh config is read: all options of our Host block are on the command line. Code in the job
controls the output, the text on ssh's stderr and the exit status, including 255. So the answer is
bounded, and the reason why our own ProxyCommand failed is never read from it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from sm_proxy import error_handler
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.identity import identities
from sm_proxy.jobs.container import Container
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import blocks, our_file

OUTPUT_LIMIT: Final = 2 << 20
TIMEOUT_S: Final = 90.0
_SSH_FAILED: Final = 255
_COMPLAINTS_LIMIT: Final = 64 << 10
_READ: Final = 16 << 10
_LINGER_S: Final = 2.0
"""How long we wait for our ProxyCommand to close stderr after ssh has ended."""


@dataclass(frozen=True)
class Answer:
    """The output of a script in the container, and its exit status.

    Attributes:
        status: of the script.
        output: its stdout, undecodable bytes replaced, OUTPUT_LIMIT bytes at most.
    """

    status: int
    output: str


def run_script(
    container: Container,
    settings: Settings,
    script: str,
    timeout: float = TIMEOUT_S,
    last_word: str = "",
) -> Answer:
    """Run a POSIX sh script in the container.

    Args:
        container: as the resolver found it.
        settings: of this run.
        script: for the stdin of `sh`; smaller than a pipe (64 KiB).
        timeout: for all of it, in seconds.
        last_word: the first word of the script's last line. Once it is there, a connection that is
            lost is no error: the script may end its own container.

    Raises:
        SmProxyError: ssh is missing or fails; if our own ProxyCommand failed, its code and text.
    """
    identities.ensure(settings)
    with tempfile.TemporaryDirectory(prefix="sm-proxy-") as folder:
        error_file = Path(folder, "error")
        process = subprocess.Popen(
            ssh_command(container, settings),
            env={**os.environ, error_handler.ERROR_FILE: str(error_file)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        complaints = _Complaints(process.stderr)
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            output = _exchanged(process, script)
            status = process.wait()
        finally:
            in_time = timer.is_alive()
            timer.cancel()
            process.kill()
            process.wait()
        complaint = complaints.text()
        ours = error_handler.read_handed_over(error_file)
    if not in_time:
        late = f"{container.host} did not answer within {timeout:.0f} s"
        raise SmProxyError("session-lost", late, f"Try: ssh {container.host}")
    if status == _SSH_FAILED and not _has_line(output, last_word):
        raise ours or _failure(container, complaint)
    return Answer(status, output)


def _has_line(output: str, first_word: str) -> bool:
    return bool(first_word) and any(
        line.split()[:1] == [first_word] for line in output.splitlines()
    )


@dataclass
class _Complaints:
    """The end of ssh's stderr; a thread reads it, so that ssh never waits for us."""

    stream: IO[bytes] | None
    _kept: bytes = b""
    _reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        if self.stream is None:  # cannot happen: Popen was given pipes
            return
        with self.stream:
            while data := self.stream.read1(_READ):  # type: ignore[attr-defined]
                self._kept = (self._kept + data)[-_COMPLAINTS_LIMIT:]

    def text(self) -> str:
        """The text, once ssh has ended."""
        self._reader.join(_LINGER_S)
        return self._kept.decode("utf-8", "replace")


def ssh_command(container: Container, settings: Settings) -> list[str]:
    """The ssh command: without a config file, with our options, without prompts."""
    program = shutil.which("ssh")
    if program is None:
        raise SmProxyError(
            "missing-dependency", "ssh is not on PATH", "Install the OpenSSH client."
        )
    # No ControlPath: a persistent master would keep our pipes open.
    lines = [line.strip() for line in blocks.option_lines(settings, our_file.own_program())]
    options = [word for line in ("BatchMode yes", *lines) for word in ("-o", line)]
    user = container.user or settings.user
    # `--` keeps ssh from reading a host name as an option.
    return [
        program,
        "-F",
        "none",
        "-T",
        "-a",
        "-x",
        "-l",
        user,
        *options,
        "--",
        container.host,
        "sh",
    ]


def _exchanged(process: subprocess.Popen[bytes], script: str) -> str:
    stdin: IO[bytes] | None = process.stdin
    stdout: IO[bytes] | None = process.stdout
    if stdin is None or stdout is None:  # cannot happen: Popen was given pipes
        return ""
    with stdout:
        try:
            with stdin:
                stdin.write(script.encode())
        except OSError:  # ssh has ended; its stderr says why
            pass
        output = stdout.read(OUTPUT_LIMIT)
    return output.decode("utf-8", "replace")


def _failure(container: Container, complaint: str) -> SmProxyError:
    """The error for an ssh that failed, with the last line of its stderr.

    A container could fake the two texts below. That is harmless: it can also cause both errors.
    """
    lines = [line for line in map(printable, complaint.splitlines()) if line]
    if any("IDENTIFICATION HAS CHANGED" in line for line in lines):
        return SmProxyError(
            "host-key-changed",
            f"the host key of {container.host} is not the one "
            + ("in the job's log" if container.host_keys else "pinned on first use"),
            "Another machine may be answering: find out which before you connect.",
        )
    if any("Permission denied" in line for line in lines):
        return SmProxyError(
            "login-refused",
            f"{container.host} refuses your key",
            container.key_advice,
        )
    last = lines[-1] if lines else "it printed no reason"
    return SmProxyError(
        "session-lost", f"ssh to {container.host} failed: {last}", f"Try: ssh -v {container.host}"
    )
