from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.local import file_lock, paths, private_files
from sm_proxy.state.cache import Cache

SOON = 3600.0
ENVELOPE = b'{"version": 1, "key": "%s", "expires": %%s, "record": %%s}' % (
    hashlib.sha256(b"a").hexdigest()[:32].encode()
)


def files() -> list[Path]:
    return sorted((paths.cache_dir() / "things").glob("*.json"))


def test_a_saved_record_is_loaded() -> None:
    cache = Cache("things")
    cache.save("a", "b", record={"x": [1]}, expires=time.time() + SOON)
    assert cache.load("a", "b") == {"x": [1]}
    assert cache.load("a") is None
    assert cache.load("ab") is None
    assert [path.stat().st_mode & 0o777 for path in files()] == [0o600]
    assert files()[0].parent.stat().st_mode & 0o777 == 0o700


def test_an_expired_record_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache("things")
    cache.save("a", record={}, expires=time.time() - 1)
    assert files() == []
    cache.save("a", record={}, expires=time.time() + SOON)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SOON + 1)
    assert cache.load("a") is None
    assert files() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 1}',
        b'{"version": 2, "key": ["a"], "expires": 9e9, "record": {}}',
        b'{"version": 1, "key": ["other"], "expires": 9e9, "record": {}}',
        ENVELOPE % (b'"never"', b"{}"),
        ENVELOPE % (b"NaN", b"{}"),
        ENVELOPE % (b"Infinity", b"{}"),
        ENVELOPE % (b"1e999", b"{}"),
        ENVELOPE % (b"9" * 400, b"{}"),
        ENVELOPE % (b"[9e9]", b"{}"),
        ENVELOPE % (b"9e9", b"[]"),
        ENVELOPE.replace(b": 1,", b": 2,") % (b"9e9", b"{}"),
    ],
)
def test_a_bad_record_is_ignored_and_removed(content: bytes) -> None:
    cache = Cache("things")
    cache.save("a", record={}, expires=time.time() + SOON)
    files()[0].write_bytes(content)
    assert cache.load("a") is None
    assert files() == []


def test_a_good_record_in_place_of_a_bad_one_is_loaded() -> None:
    cache = Cache("things")
    cache.save("a", record={}, expires=time.time() + SOON)
    files()[0].write_bytes(ENVELOPE % (b"9e9", b'{"x": 1}'))
    assert cache.load("a") == {"x": 1}


def test_the_key_itself_is_not_written() -> None:
    Cache("things").save("https://user:password@x", record={}, expires=time.time() + SOON)
    assert "password" not in files()[0].read_text()


def test_sweeping_removes_only_expired_records() -> None:
    cache = Cache("things")
    for name in ("a", "b", "c"):
        cache.save(name, record={"name": name}, expires=time.time() + SOON)
    first, second = files()[:2]
    first.write_bytes(b"{torn")
    envelope = json.loads(second.read_bytes())
    second.write_text(json.dumps({**envelope, "expires": 1}))
    cache.sweep()
    assert len(files()) == 1


def test_an_unwritable_folder_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(private_files, "write_private", refuse)
    cache = Cache("things")
    cache.save("a", record={}, expires=time.time() + SOON)
    assert cache.load("a") is None
    with cache.alone("a"):
        cache.forget("a")


@pytest.mark.parametrize("plant", ["folder", "record", "symlink", "hard link", "owner"])
def test_a_file_that_another_user_could_write_is_ignored(
    plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record says where to connect to and which host keys to accept."""
    cache = Cache("things")
    cache.save("a", record={"planted": True}, expires=time.time() + SOON)
    assert cache.load("a") == {"planted": True}
    (path,) = files()
    if plant == "folder":
        path.parent.chmod(0o770)
    elif plant == "record":
        path.chmod(0o620)
    elif plant == "owner":
        me = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    else:
        elsewhere = path.rename(tmp_path / "elsewhere")
        if plant == "symlink":
            path.symlink_to(elsewhere)
        else:
            path.hardlink_to(elsewhere)
    assert cache.load("a") is None


def test_nothing_is_written_to_a_folder_that_others_can_write(tmp_path: Path) -> None:
    folder = private_files.ensure_private_dir(paths.cache_dir() / "things")
    folder.chmod(0o777)
    Cache("things").save("a", record={}, expires=time.time() + SOON)
    assert list(folder.iterdir()) == []


def test_a_folder_that_everybody_could_swap_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as SM_PROXY_CACHE_DIR=/tmp/cache, if /tmp had no sticky bit."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(shared / "cache"))
    cache = Cache("things")
    cache.save("a", record={}, expires=time.time() + SOON)
    assert cache.load("a") is None
    shared.chmod(0o1777)
    cache.save("a", record={}, expires=time.time() + SOON)
    assert cache.load("a") == {}


def lock_of(cache: Cache, *key: str) -> Path:
    with cache.alone(*key):
        (path,) = (paths.cache_dir() / "things").glob("*.lock")
    return path


def test_the_wait_for_another_process_is_short(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_lock, "CACHE_S", 0.1)
    cache = Cache("things")
    with Cache("things").alone("a"):
        with cache.alone("a"):
            assert "asking AWS as well" in capsys.readouterr().err
        monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited again"))
        with cache.alone("a"), cache.alone("b"):
            assert capsys.readouterr().err == ""


def test_two_keys_have_two_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    cache = Cache("things")
    with contextlib.ExitStack() as stack:
        for number in range(100):
            stack.enter_context(cache.alone(str(number)))


def test_locks_older_than_a_day_are_swept() -> None:
    cache = Cache("things")
    path = lock_of(cache, "a")
    cache.sweep()
    assert path.exists()
    os.utime(path, (1, 1))
    cache.sweep()
    assert not path.exists()


class Silent:
    """An AWS that accepts connections and never answers, and our processes that call it."""

    def __init__(self, folder: Path) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        host, port = self._listener.getsockname()
        self._environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "eu-west-1",
        }
        self._log = folder / "stderr"

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start one of our commands."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", "sm_proxy", *words],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
                start_new_session=True,  # the kernel may send SIGHUP to a group with one stopped
            )
        self.processes.append(process)
        return process

    def asked(self, within: float) -> None:
        """Wait until one more process has connected."""
        self._listener.settimeout(within)
        self._taken.append(self._listener.accept()[0])

    def await_output(self, words: str, times: int) -> None:
        """Wait until the processes have printed `words` so many times."""
        until = time.monotonic() + 60
        while (printed := self._log.read_text()).count(words) < times:
            assert time.monotonic() < until, printed
            time.sleep(0.05)

    def end(self) -> None:
        """Kill the processes and close the sockets."""
        for process in self.processes:
            process.kill()
            process.communicate()
        for taken in (self._listener, *self._taken):
            taken.close()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Silent]:
    """An AWS that never answers."""
    found = Silent(tmp_path)
    yield found
    found.end()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_stopped_connection_does_not_block_others(silent: Silent) -> None:
    first = silent.start("connect", "--user", "root", "sm-my-job", "22")
    silent.asked(60)
    first.send_signal(signal.SIGSTOP)
    silent.start("resolve", "sm-my-job")
    silent.asked(60)  # this is the second process: the first one is stopped
    silent.start("connect", "--user", "root", "sm-my-job", "22")
    silent.await_output(f"process {first.pid} (since ", 2)


def test_several_runs_ask_a_silent_aws_concurrently(silent: Silent) -> None:
    for _ in range(5):
        silent.start("resolve", "sm-my-job")
    silent.asked(60)
    silent.await_output("asking AWS as well", 4)
