"""Run a small script in a container over the user's ssh.

Code in the job controls the output, the text on ssh's stderr and the exit status, including 255. So
the answer is bounded, and the reason why our own ProxyCommand failed is never read from it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from sm_proxy import error_handler
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.jobs.container import Container
from sm_proxy.local import waits
from sm_proxy.settings import Settings
from sm_proxy.ssh_config.ssh_command import SSH_FAILED, Complaints, failure, ssh_command

OUTPUT_LIMIT: Final = 2 << 20
TIMEOUT_S: Final = 90.0


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
            ssh_command(container, settings, ["sh"]),
            env={**os.environ, error_handler.ERROR_FILE: str(error_file)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        complaints = Complaints(process.stderr)
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            with waits.waiting(f"waiting for an answer from {container.host}", timeout):
                answer = _exchanged(process, script)
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
    if status == SSH_FAILED and not _has_line(answer, last_word):
        raise ours or failure(container, complaint)
    return Answer(status, answer)


def _has_line(output: str, first_word: str) -> bool:
    return bool(first_word) and any(
        line.split()[:1] == [first_word] for line in output.splitlines()
    )


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
