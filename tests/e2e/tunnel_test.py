"""`sm-proxy tunnel` into a real container: a web server there, a lost session, and the ends."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest

from tests.e2e.labs import SM_PROXY, Lab
from tests.waits import await_true

SERVER = """
import http.server, os, socket
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6
server = Server(("::1", 0), http.server.SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
if os.fork():
    os._exit(0)
for number in range(3):
    os.dup2(os.open(os.devnull, os.O_RDWR), number)
server.serve_forever()
"""
"""It listens on IPv6 only, and ends with its container."""
_CUT = """
for session in control.sessions():
    client("ssm").terminate_session(SessionId=session)
"""


@contextlib.contextmanager
def tunnel(lab: Lab, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, which is ended with SIGTERM."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with lab.popen(*SM_PROXY, "tunnel", *words, **pipes) as process:
        try:
            yield process
        finally:
            process.terminate()


def fetched(lab: Lab, url: str) -> str:
    program = f"import urllib.request as web\nanswer = web.urlopen({url!r}, timeout=60).read()"
    return str(lab.python(f"{program}.decode()"))


def lines_until(stream: IO[bytes], words: str) -> str:
    """The lines up to the first one with these words."""
    lines = [""]
    while words not in lines[-1]:
        line = stream.readline().decode()
        assert line, lines
        lines.append(line)
    return "".join(lines)


def test_a_web_server_is_reached_until_the_job_ends(lab: Lab) -> None:
    """A session that is lost is replaced behind the same URL."""
    job = lab.launch("served")
    port = int(lab.ok(job.host, f"python3 -c {shlex.quote(SERVER)}"))
    with tunnel(lab, job.host, f"0:{port}", "0:9") as process:
        out, err = process.stdout, process.stderr
        assert out is not None
        assert err is not None
        url, dead = (out.readline().decode().strip() for _ in range(2))
        assert url.startswith("http://127.0.0.1:")
        assert "Directory listing" in fetched(lab, url)
        with pytest.raises(AssertionError):
            fetched(lab, dead)
        assert "nothing listens on port 9 in" in lines_until(err, "port 9")
        lab.python(_CUT)
        assert "connection is lost" in lines_until(err, "connected again")
        assert "Directory listing" in fetched(lab, url)
        lab.control("set_status", job.name, "Completed")
        lab.python(_CUT)
        lines_until(err, "is Completed")
        assert process.wait(60) == 0


def test_ctrl_c_ends_it_without_a_word(lab: Lab) -> None:
    with tunnel(lab, lab.host, "0:9") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == 130
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
