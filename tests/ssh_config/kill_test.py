"""A writer that is killed at any moment leaves the complete old or new file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak import SOAK

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

STEP = 1 if SOAK else 6
"""The first call of a kind and every sixth one; script/soak kills at each."""
KILLS = 200 if SOAK else 60
"""How many times the writer is killed at a random moment."""
SCENE = """
import os, random, signal, sys, time
from pathlib import Path
from sm_proxy import config_writer
from sm_proxy.local import paths
from sm_proxy.settings import Settings

folder = Path(sys.argv[1])
user = folder / "config"
settings = Settings(ssh_dir=str(folder / "sm-proxy"))
own = folder / "sm-proxy" / "config"
plain = b"Host a\\n  User me\\n" * 500

def write():
    with config_writer.writers_lock():
        config_writer.apply(config_writer.plan(user, settings, ["/bin/true"]))

def remove():
    with config_writer.writers_lock():
        config_writer.apply(config_writer.plan_removal(user, settings))

user.write_bytes(plain)
user.chmod(0o600)
write()
written, block = user.read_bytes(), own.read_bytes()
assert written.endswith(plain) and len(written) > len(plain)

def check():
    assert user.read_bytes() in (plain, written)
    assert not own.exists() or own.read_bytes() == block
    for kept in (paths.state_dir() / "backups").glob("[!.]*"):
        known = (plain,) if kept.name.endswith(".original") else (plain, written)
        assert kept.read_bytes() in known, kept
    for left in folder.rglob("*"):  # no wildcard of an Include reads what begins with a dot
        known = {"config", "sm-proxy", "sm-proxy/config"}
        assert str(left.relative_to(folder)) in known or left.name.startswith("."), left
        assert not left.is_file() or left.stat().st_mode & 0o077 == 0, left

def left_over():
    return [left for top in (folder, paths.state_dir()) for left in top.rglob(".*.sm-proxy-*")]

def forked(work):
    pid = os.fork()
    if not pid:
        try:
            work()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    return pid
"""

EVERY_CALL = """
WATCHED = ("open", "os.", "tempfile.", "fcntl.", "shutil.")
UNWATCHED = ("fsync", "close", "fchown", "stat", "lstat", "fstat", "access", "readlink")
ours, theirs = os.pipe()

class Torn:  # every write may end in its middle
    def __init__(self, file, count):
        self.file, self.count = file, count

    def write(self, content):
        self.count("write")
        for part in (content[: len(content) // 2], content[len(content) // 2 :]):
            self.file.write(part)
            self.file.flush()
            self.count("written")
        return len(content)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.count("closed")

    def __getattr__(self, name):
        return getattr(self.file, name)

def dying(action, number, pipe):
    def work():
        left = [number]
        def count(name):
            left[0] -= 1
            if left[0] == 0 or number == 0:
                os.write(pipe, name.encode() + b"\\n")
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        def wrapped(name):
            real = getattr(os, name)
            def call(*words, **named):
                count(name)
                return real(*words, **named)
            setattr(os, name, call)
        for name in UNWATCHED:
            wrapped(name)
        opened = os.fdopen
        os.fdopen = lambda *words: Torn(opened(*words), count)
        sys.addaudithook(lambda event, _: event.startswith(WATCHED) and count(event))
        action()
    return work

def calls(action):
    reading, writing = os.pipe()
    os.waitpid(forked(dying(action, 0, writing)), 0)
    os.close(writing)
    return os.fdopen(reading).read().split()

for action, before in ((write, remove), (remove, write)):
    before()
    names = calls(action)
    numbers = [
        number
        for number, name in enumerate(names, 1)
        if number % int(sys.argv[2]) == 0 or name not in names[: number - 1]
    ]
    for number in (*numbers, 2 * len(names)):
        before()
        pid = forked(dying(action, number, theirs))
        _, status = os.waitpid(pid, 0)
        check()
        action()  # the next writer succeeds
        for left in left_over():  # otherwise each run would have more files to look at
            os.utime(left, (1, 1))
        assert user.read_bytes() == (written if action is write else plain)
        if os.WIFEXITED(status):
            assert status == 0, status  # the writer made fewer calls this time
            continue
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert os.WIFEXITED(status), "it never came to its end"
assert not left_over(), "what is old is cleaned away"
os.close(theirs)
print(os.fdopen(ours).read())
"""

RANDOM = """
def busy():
    while True:
        remove()
        write()

seen = set()
number, kills = 0, int(sys.argv[3])
while number < kills or len(seen) < 2:  # where the disk is slow, it is given more time
    number += 1
    pid = forked(busy)
    time.sleep(random.uniform(0, 0.01 * 2 ** (number / kills)))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), status
    check()
    seen.add(user.read_bytes())
    write()
    assert (user.read_bytes(), own.read_bytes()) == (written, block)
print(len(seen))
"""


def played(tmp_path: Path, program: str) -> str:
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    command = [sys.executable, "-c", SCENE + program, str(folder), str(STEP), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_killed_at_every_call(tmp_path: Path) -> None:
    died_at = played(tmp_path, EVERY_CALL).split()
    assert len(died_at) > 100 // STEP
    changing = {"open", "write", "written", "fsync", "closed", "os.chmod", "os.rename", "os.remove"}
    looking = {"lstat", "access", "os.scandir", "fcntl.flock"}
    if sys.version_info >= (3, 11):  # pathlib of 3.10 keeps the os.stat it was imported with
        looking.add("stat")
    assert changing | looking <= set(died_at)


def test_killed_at_any_moment(tmp_path: Path) -> None:
    assert played(tmp_path, RANDOM) == "2"
