from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import file_lock, paths, private_files, process_identity
from sm_proxy.local.file_lock import locked

PROMPT_S = 5.0
"""The most seconds that the time in a note may differ from now."""
HOLDER = (
    "import sys\n"
    "from sm_proxy.local.file_lock import locked\n"
    "with locked('x'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def started() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group with a stopped process may get SIGHUP from the kernel
    )
    assert process.stdout is not None
    return process


@contextlib.contextmanager
def holder() -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock `x`, and releases it at the end."""
    process = started()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "WRITER_S", 0.2)


def refused(**options: Any) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught, locked("x", what="y", **options):
        pytest.fail("it was taken")
    return caught.value


def lock_file() -> Path:
    return paths.state_dir() / "x.lock"


def test_only_one_holds_it_and_a_kill_releases_it() -> None:
    with holder() as first:
        second = started()
        assert second.stdout is not None
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(0.3)
        first.send_signal(signal.SIGKILL)
        assert second.stdout.readline() == "held\n"
        second.communicate("")
        assert second.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_the_wait_for_a_stopped_holder_ends_and_names_it() -> None:
    with holder() as process:
        process.send_signal(signal.SIGSTOP)
        error = refused()
    assert error.code == "busy"
    named = rf"process {process.pid} \(since \d{{4}}-\d\d-\d\d [\d:]{{8}}\) holds the lock of y"
    assert re.match(named, error.message)
    assert str(lock_file()) in error.hint


def test_the_wait_names_the_holder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "_REPORT_AFTER_S", 0.05)
    with holder() as process:
        refused()
        waited = capsys.readouterr().err
        process.communicate("")
        with locked("x"):
            pass
    assert waited.count("\n") == 1
    assert waited.startswith(f"sm-proxy: waiting for process {process.pid} (since ")
    assert capsys.readouterr().err == ""


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_an_interrupted_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    before = descriptors()
    with holder():
        monkeypatch.setattr(time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt), locked("x"):
            pass
        monkeypatch.undo()
    assert descriptors() == before


def gone(process: dict[str, Any]) -> dict[str, Any]:
    return {**process, "pid": 1 << 22, "started": "1"}


def used_again(process: dict[str, Any]) -> dict[str, Any]:
    return {**process, "started": "1"}


def elsewhere(process: dict[str, Any]) -> dict[str, Any]:
    return {**process, "machine": "wagner/abc", "pid": 77}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (gone, "an unknown process holds"),
        (used_again, "an unknown process holds"),
        (elsewhere, "process 77 of wagner (since "),
    ],
)
def test_the_note_of_a_dead_holder_is_ignored(
    change: Callable[[dict[str, Any]], dict[str, Any]], words: str
) -> None:
    with holder():
        note = json.loads(lock_file().read_text())
        lock_file().write_text(json.dumps({**note, "process": change(note["process"])}))
        assert words in refused().message


@pytest.mark.parametrize(
    "note",
    [b"", b"\xff", b"[]", b"7", b"{}", b'{"process": 1, "since": 1}', b'{"process": {}}',
     b'{"process": {"machine": "a"}, "since": 1e999}', b'{"since": "x"}', b"[" * 100_000],
)  # fmt: skip
def test_a_damaged_note_is_ignored(note: bytes) -> None:
    with holder():
        lock_file().write_bytes(note)
        error = refused()
    assert error.code == "busy"
    assert "an unknown process" in error.message


def test_a_time_out_of_range_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with holder():
        note = json.loads(lock_file().read_text())
        lock_file().write_text(json.dumps({**note, "since": 1e300}))
        assert refused().code == "busy"


def test_the_note_is_removed_at_the_end() -> None:
    with locked("x"):
        note = json.loads(lock_file().read_text())
        assert note["process"] == process_identity.this_process()
        assert abs(note["since"] - time.time()) < PROMPT_S
    assert lock_file().read_text() == ""


def test_on_a_full_disk_only_the_holders_name_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "write", full)
    with locked("x"):
        assert "an unknown process" in refused(wait=False).message


def test_each_name_has_its_own_lock(tmp_path: Path) -> None:
    with locked("a"), locked("b"), locked("a", cache=tmp_path / "cache"):
        assert {path.name for path in paths.state_dir().iterdir()} == {"a.lock", "b.lock"}
        assert {path.name for path in (tmp_path / "cache").iterdir()} == {"a.lock"}


def test_a_folder_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "file"))
    error = refused()
    assert error.code == "config-read-only"
    assert "x.lock cannot be taken" in error.message


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_an_error(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", cannot)
    error = refused()
    assert error.code == "config-read-only"
    assert "SM_PROXY_STATE_DIR" in error.hint
    assert "no locks" in error.hint


def test_without_wait_a_held_lock_fails_at_once() -> None:
    with locked("x"), pytest.raises(SmProxyError, match="holds the lock"), locked("x", wait=False):
        pass
    with locked("x", wait=False):
        pass


def test_a_symlink_in_its_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    path = private_files.ensure_private_dir(paths.state_dir()) / "x.lock"
    path.symlink_to(elsewhere)
    error = refused()
    assert error.code == "config-read-only"
    assert "cannot be taken" in error.message
    assert not elsewhere.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no mkfifo")
def test_a_pipe_in_its_place_does_not_block() -> None:
    private_files.ensure_private_dir(paths.state_dir())
    os.mkfifo(lock_file())
    assert refused().code == "bad-permissions"


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)
@pytest.mark.parametrize("what", ["folder", "file"])
def test_another_users_file_is_not_locked(what: str) -> None:
    folder = private_files.ensure_private_dir(paths.state_dir())
    if what == "file":
        lock_file().touch(0o600)
    os.chown(lock_file() if what == "file" else folder, 12345, 12345)
    error = refused()
    assert error.code == "bad-permissions"
    assert "SM_PROXY_STATE_DIR" in error.hint


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="the load is unknown")
def test_a_cache_waits_longer_on_a_busy_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    read = Path.read_text
    running = [1]

    def read_text(path: Path, *words: Any, **named: Any) -> str:
        load = f"1.0 1.0 1.0 {running[0]}/900 4711\n"
        return load if str(path) == "/proc/loadavg" else read(path, *words, **named)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with locked("x", cache=tmp_path):
        for runnable, longest in [(1, 1), (3, 1), (9, 4), (900, 30)]:
            now[0], running[0] = 0.0, runnable
            assert refused(cache=tmp_path).code == "busy"
            assert longest <= now[0] < longest + 2, runnable


def _linked_twice(path: Path) -> None:
    path.write_bytes(b"")
    os.link(path, path.with_name("other"))


def _anybodys(path: Path) -> None:
    path.write_bytes(b"")
    path.chmod(0o666)


@pytest.mark.skipif(sys.platform == "win32", reason="no mkfifo")
@pytest.mark.parametrize(
    "make",
    [
        lambda path: os.mkfifo(path),  # noqa: PLW0108 - Windows has none when this is read
        Path.mkdir,
        lambda path: path.symlink_to("elsewhere"),
        _linked_twice,
        _anybodys,
    ],
)
def test_the_command_in_the_hint_makes_room_for_the_lock(make: Callable[[Path], None]) -> None:
    place = private_files.ensure_own_dir(paths.state_dir()) / "x.lock"
    make(place)
    with pytest.raises(SmProxyError) as caught, locked("x"):
        pass
    command = caught.value.hint.partition("then run: ")[2]
    subprocess.run(command, shell=True, check=True)  # noqa: S602 - what a user would type
    with locked("x"):
        pass
