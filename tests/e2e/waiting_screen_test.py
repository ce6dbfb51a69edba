"""What the user's terminal shows while the real ssh waits for a job, and afterwards."""

from __future__ import annotations

import os
import pty

import pyte
import pytest

from tests import terminals
from tests.e2e.labs import Lab
from tests.waits import read_until

pytestmark = pytest.mark.e2e

COLUMNS = 60


def test_the_wait_is_one_line_that_leaves_nothing_in_the_shell(lab: Lab) -> None:
    job = lab.launch("screen")
    lab.control("set_status", job.name, "Downloading")
    lab.forget("jobs")
    near, far = pty.openpty()
    terminals.set_width(far, COLUMNS)

    words = ("ssh", "-tt", "-F", lab.config, f"sm-{job.name}", "echo inside; read -r _")
    ssh = lab.popen(
        *words, stdin=far, stdout=far, stderr=far,
        **terminals.controlling(far), env={"TERM": "xterm"},
    )  # fmt: skip
    os.close(far)
    screen = pyte.Screen(COLUMNS, 24)
    stream = pyte.ByteStream(screen)

    def shown(until: bytes) -> list[str]:
        stream.feed(read_until(near, until))
        return [line.rstrip() for line in screen.display if line.strip()]

    try:
        (line,) = shown(b" of 15m)")
        assert line.startswith(f"sm-proxy: waiting for {job.name}: ")
        lab.control("set_status", job.name, "Training")
        assert shown(b"inside\r\n") == ["inside"]
        os.write(near, b"\n")
        assert ssh.wait(60) == 0
    finally:
        ssh.kill()
        ssh.wait(60)
        os.close(near)
