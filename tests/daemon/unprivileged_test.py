"""The daemon of a user who is not root: what /proc shows of a process then depends on much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.daemon import peers

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can become another user"
)

USER = 12345
PROGRAM = """
import contextlib, ctypes, fcntl, json, os, resource, signal, sys, termios, time, traceback
from sm_proxy import cli
from sm_proxy.daemon import launcher, place, preload, entry
from sm_proxy.local import process_identity

launcher.ANSWER_S = 60.0
preload.preload(lambda: None)  # the user may not be able to read these files
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # after setuid, a process cannot be dumped
daemon = os.fork()
if not daemon:
    try:
        os._exit(entry.serve(60, cli.main, lambda: None))
    finally:
        traceback.print_exc()
        os._exit(9)
(path, *_) = place.sockets(place.identity())
until = time.monotonic() + 60
while not os.path.exists(path) and time.monotonic() < until:
    time.sleep(0.02)
own, told = os.dup(1), os.pipe()
os.dup2(told[1], 2)
status = launcher.hand_over(["connect", "no-name-of-ours"])
os.dup2(own, 1)
os.close(told[1])
os.close(2)
said = os.read(told[0], 4096).decode()
looks = process_identity.start_time(daemon) != ""
try:
    hides = not open(f"/proc/{daemon}/environ", "rb").read()
except PermissionError:
    hides = True
os.kill(daemon, signal.SIGTERM)
os.waitpid(daemon, 0)
print(json.dumps({"status": status, "said": said, "looks": looks, "hides": hides}))
"""


@pytest.fixture
def home() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="sm-") as path:
        os.chown(path, USER, USER)
        yield path


@pytest.mark.parametrize("hidepid", ["0", "2"])
def test_a_user_is_served(home: str, hidepid: str) -> None:
    """With `hidepid`, a user sees only processes that can be dumped."""
    folders = {f"SM_PROXY_{kind}_DIR": f"{home}/{kind}" for kind in ("STATE", "CACHE", "CONFIG")}
    root = str(Path(peers.__file__).parents[2])
    mount = f'mount -t proc -o hidepid={hidepid} proc /proc; exec "$@"'
    words = ["unshare", "--mount", "sh", "-ec", mount, "sh", sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        [*words, str(USER)],
        env={"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": root, **folders},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["status"] == 1
    assert found["said"].startswith("sm-proxy: bad-name: ")
    assert found["looks"], "the next run must not take it for dead"
    assert found["hides"] == (hidepid == "0")
