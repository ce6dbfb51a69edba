"""Run one script in the container, over an ssh of its own."""

from __future__ import annotations

import contextlib
import threading
from typing import Final

from sm_proxy.errors import SmProxyError
from sm_proxy.ssh_config.ssh_command import SSH_FAILED
from sm_proxy.transfer.ssh.connection import Answer
from sm_proxy.transfer.ssh.ssh_process import SshProcess
from sm_proxy.transfer.ssh.wire import Wire

OUTPUT_LIMIT: Final = 64 << 20
_ENCODING: Final = ("utf-8", "surrogateescape")
_CHUNK: Final = 1 << 16


def run(process: SshProcess, host: str, text: str, timeout: float) -> Answer:
    """Start ssh with `sh`, and give it a script.

    Args:
        process: not started yet.
        host: for messages.
        text: of any length: it is sent while the answer is read.
        timeout: for the script, in seconds.

    Raises:
        SmProxyError: `session-lost`, ssh failed or the script took too long; `copy-failed`, it
            printed too much.
    """
    process.start(["sh"])
    wire = process.wire
    wire.silence_s = 2 * timeout  # the timer ends it before
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        wire.close()

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()
    threading.Thread(target=_send, args=(wire, text.encode(*_ENCODING)), daemon=True).start()
    try:
        output = _output(wire, host)
        status = process.exit_status() if wire.ended else None
    finally:
        timer.cancel()
    if is_late.is_set():
        what = f"{host} did not answer within {timeout:.0f} s"
        raise SmProxyError("session-lost", what, f"Try: ssh {host}")
    if status is None or status == SSH_FAILED:
        raise process.lost_error()
    return Answer(status, output.decode(*_ENCODING))


def _send(wire: Wire, script: bytes) -> None:
    left = memoryview(script)
    with contextlib.suppress(OSError):  # ssh has ended; its stderr says why
        while left:
            left = left[wire.send(left[:_CHUNK]) :]
        wire.finish()


def _output(wire: Wire, host: str) -> bytes:
    output = bytearray()
    with contextlib.suppress(TimeoutError):
        while data := wire.recv(_CHUNK):
            output += data
            if len(output) > OUTPUT_LIMIT:
                what = f"a script on {host} printed more than {OUTPUT_LIMIT >> 20} MiB"
                raise SmProxyError("copy-failed", what, "Copy fewer files at once.")
    return bytes(output)
