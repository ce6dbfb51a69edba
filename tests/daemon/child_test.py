from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.daemon import child
from tests import terminals

LAUNCHER = """
import os, signal, socket, sys
daemon = socket.socket(socket.AF_UNIX)
daemon.connect(sys.argv[1])
daemon.recv(1)
other = os.fork()
if not other:
    os.setpgid(0, 0)
    signal.pause()
os.setpgid(other, other)
os.tcsetpgrp(0, other)
daemon.send(b"b")
daemon.recv(1)
os.kill(other, signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_launchers_terminal_is_ours_while_the_launcher_is_in_the_foreground(
    tmp_path: Path,
) -> None:
    ours, theirs = pty.openpty()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-c", LAUNCHER, tmp_path / "s"],
            stdin=theirs,
            **terminals.controlling(theirs),
        )
        listening.settimeout(30)
        connection, _ = listening.accept()
    with connection:
        connection.settimeout(30)
        assert child._in_foreground(connection)
        connection.send(b"a")
        assert connection.recv(1) == b"b"
        assert not child._in_foreground(connection)
        connection.send(b"c")
        assert launcher.wait(30) == 0
        with pytest.raises(OSError, match="No such"):
            child._in_foreground(connection)
    os.close(ours)
    os.close(theirs)
