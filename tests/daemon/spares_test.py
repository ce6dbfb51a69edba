"""A spare process of the daemon, from its own side."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the daemon is of POSIX")

PROGRAM = "from sm_proxy.daemon import spares; print(spares.wait_for_job())"


def test_a_spare_process_ends_quietly_with_the_daemon() -> None:
    """The daemon has not read what says that this process is ready, so the socket is reset."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        spare = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=theirs.fileno(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        theirs.close()
        ours.settimeout(60)
        assert ours.recv(1, socket.MSG_PEEK)
        ours.close()
        out, err = spare.communicate(timeout=60)
    assert (spare.returncode, out, err) == (0, b"None\n", b"")
