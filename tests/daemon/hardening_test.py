from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.daemon import hardening, place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

PROGRAM = """
import ctypes, json, os, resource, subprocess, sys
from pathlib import Path
from sm_proxy.daemon import hardening, place

def can_be_read():
    "Whether another process of this user can read the environment of this one."
    looked = os.fork()
    if not looked:
        try:
            Path(f"/proc/{os.getppid()}/environ").read_bytes()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(looked, 0)[1] == 0

def fork_can_be_read():
    fork = os.fork()
    if not fork:
        os._exit(can_be_read())
    return bool(os.waitpid(fork, 0)[1])

resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
os.setuid(12345)
libc = ctypes.CDLL(None)
libc.prctl(4, 1, 0, 0, 0)  # after setuid, a process cannot be dumped
found = [can_be_read()]
hardening.forbid_dumps()
found += [can_be_read(), fork_can_be_read()]
program = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
started = subprocess.check_output(["/usr/bin/env", "sh", "-c", "cat /proc/$$/environ | wc -c"])
print(json.dumps([*found, int(started) > 0, resource.getrlimit(resource.RLIMIT_CORE)]))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="root may read everything, on Linux"
)
def test_another_process_of_the_user_cannot_read_its_memory() -> None:
    done = subprocess.check_output([sys.executable, "-c", PROGRAM])
    before, after, fork, program, limit = json.loads(done)
    assert before
    assert not after
    assert not fork
    assert program, "a program that it starts can be traced again"
    assert limit == [0, 1 << 20]


def test_no_core_file_is_written(tmp_path: Path) -> None:
    program = """
import os, resource, sys
from sm_proxy.daemon import hardening, place
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
hardening.forbid_dumps()
os.abort()
"""
    root = Path(hardening.__file__).parents[2]
    done = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(root)}
    )
    _, status = os.waitpid(done.pid, 0)
    done.returncode = -os.WTERMSIG(status)
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mount", "hides"),
    [
        ("22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n", False),
        ("22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw,hidepid=invisible\n", True),
        ("22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw,gid=5,hidepid=2\n", True),
        ("22 28 0:21 / /x/proc/hidepid=2 rw - ext4 /dev/sda rw\n", False),
    ],
)
def test_a_process_stays_visible_to_its_own_user(
    mount: str, hides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next run would take it for dead, and end its session."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: mount)
    assert hardening._hides_processes() is hides


def test_the_daemon_starts_without_the_secrets_of_the_first_asker() -> None:
    given = {
        "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "GITHUB_TOKEN": "g",
        "SSH_AUTH_SOCK": "/a", "HTTPS_PROXY": "http://user:password@proxy", "AWS_PROFILE": "p",
        "HOME": "/home/u", "SM_PROXY_STATE_DIR": "/s", "LD_LIBRARY_PATH": "/l", "LC_ALL": "C",
    }  # fmt: skip
    kept = hardening.clean_environment(given)
    assert {name: kept[name] for name in given if name in kept} == {
        name: given[name] for name in ("HOME", "LC_ALL", "LD_LIBRARY_PATH", "SM_PROXY_STATE_DIR")
    }
    assert kept["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_the_daemon_keeps_all_that_makes_its_place() -> None:
    """Else no launcher would find it."""
    given = dict.fromkeys(
        (*place.AT_START, "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "SHIV_ROOT"), "x"
    )
    assert given.items() <= hardening.clean_environment(given).items()
