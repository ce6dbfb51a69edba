"""The daemon's socket and its lock."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy.daemon import listening, peers, place
from sm_proxy.daemon.file_watch import LOOK_S, Watch
from sm_proxy.daemon.listening import Listening
from sm_proxy.local import poll
from tests.waits import await_true

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

ANOTHER = """
import sys
from sm_proxy.daemon import listening
found = listening.listen("me", 5)
print(found and found.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    folders = [str(tmp_path / "a" / "b"), str(tmp_path / "c")]
    monkeypatch.setattr(place, "_folders", lambda: folders)
    return folders


def one_more(whose: str) -> str:
    """What one more daemon prints, which ends at once."""
    command = [sys.executable, "-c", ANOTHER.replace("me", whose)]
    done = subprocess.run(command, text=True, input="", stdout=subprocess.PIPE, check=True)
    return done.stdout


def listen() -> Listening:
    found = listening.listen("me", 5)
    assert found is not None
    return found


def test_a_daemon_listens_for_its_user_only(places: list[str]) -> None:
    found = listen()
    assert str(found.path.parent) == places[0]
    assert found.path.lstat().st_mode & 0o777 == 0o600
    assert found.path.parent.lstat().st_mode & 0o777 == 0o700
    with contextlib.closing(peers.connect(str(found.path), 5)):
        found.listener.accept()[0].close()
    assert not found.is_gone()
    found.remove()
    assert not list(Path(places[0]).iterdir())


def test_a_daemon_that_is_not_ready_is_not_waited_for(tmp_path: Path) -> None:
    """It takes a second to import everything; a launcher works itself meanwhile."""
    folder = tmp_path / "state" / "daemon"
    folder.mkdir(mode=0o700, parents=True)
    Path(place.sockets("me")[0]).touch()  # of a killed daemon
    seen: list[object] = []

    def prepare() -> None:
        seen.extend(folder.glob("*.sock"))
        seen.append(one_more("me"))

    found = listening.listen("me", 5, prepare)
    assert found is not None
    assert seen == ["None\n"]
    found.remove()


def test_a_daemon_that_is_not_ready_is_waited_for_before_it_is_stopped(tmp_path: Path) -> None:
    assert not listening.is_starting("me")
    slow = ANOTHER.replace(
        '"me", 5', '"me", 5, lambda: print("begins", flush=True, end=sys.stdin.readline())'
    )
    with subprocess.Popen(
        [sys.executable, "-c", slow], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        await_true(lambda: listening.is_starting("me"), 60)
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        assert daemon.stdout.readline() == "begins\n"
        assert daemon.stdout.readline().startswith(str(tmp_path))
        assert not listening.is_starting("me")
        daemon.kill()
    await_true(lambda: not listening.is_starting("me"), 60)


def test_a_start_is_claimed_until_the_daemon_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = listening.claim_start("me")
    assert claim is not None
    assert listening.is_starting("me")
    with pytest.raises(BlockingIOError):
        listening.claim_start("me")
    monkeypatch.setenv(listening.CLAIM, str(claim))
    listening.end_start()
    assert listening.CLAIM not in os.environ
    assert not listening.is_starting("me")
    listening.end_start()  # a daemon that somebody starts by hand has no claim


def test_the_umask_is_as_before() -> None:
    before = os.umask(0o22)
    try:
        listen().remove()
        assert os.umask(0o22) == 0o22
    finally:
        os.umask(before)


def test_there_is_one_daemon_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ANOTHER]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        path = first.stdout.readline().strip()
        assert path == place.sockets("me")[0]
        assert listening.listen("me", 5) is None
        other = listening.listen("another version", 5)
        assert other is not None
        other.remove()
        first.kill()
    assert os.path.lexists(path)  # it could not remove it
    found = listen()
    assert str(found.path) == path
    found.remove()


def test_files_of_killed_daemons_of_other_versions_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "daemon"
    folder.mkdir(mode=0o700, parents=True)
    for name in ("killed.sock", "killed.lock", "unlocked.lock"):
        (folder / name).touch(0o600)
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        alive = Path(other.stdout.readline().strip())
        found = listening.listen("another version", 5)
        assert found is not None
        names = {
            path.with_suffix(kind) for path in (alive, found.path) for kind in (".sock", ".lock")
        }
        assert set(folder.iterdir()) == names
        assert one_more("another version") == "None\n"  # our lock is still held
        found.remove()
        other.kill()


def test_a_fork_does_not_keep_the_lock() -> None:
    """It may carry a connection for days after the daemon was killed."""
    found = listen()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(found._lock)
    listen().remove()
    os.close(writing)
    os.waitpid(child, 0)
    os.close(reading)
    found.listener.close()


def test_the_next_place_is_taken_if_one_cannot_be_used(places: list[str], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    found = listen()
    assert str(found.path.parent) == places[1]
    found.remove()


def test_a_folder_of_others_is_not_taken(places: list[str]) -> None:
    Path(places[0]).mkdir(mode=0o700, parents=True)
    Path(places[0]).chmod(0o770)
    Path(places[1]).symlink_to(places[0])
    assert listening.listen("me", 5) is None


def test_a_place_that_takes_no_socket_is_left(
    places: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bind = socket.socket.bind

    def full(self: socket.socket, path: str) -> None:
        if path.startswith(places[0]):
            raise OSError(28, "No space left on device")
        bind(self, path)

    monkeypatch.setattr(socket.socket, "bind", full)
    found = listen()
    assert str(found.path.parent) == places[1]
    found.remove()


def test_a_socket_that_launchers_refuse_is_noticed() -> None:
    found = listen()
    found.path.chmod(0o666)
    if sys.platform == "linux":
        assert poll.wait(found.watch.filenos(), [], [], 60).readable
    assert found.is_gone()
    found.remove()
    assert not list(found.path.parent.iterdir())


def test_a_socket_that_is_replaced_or_removed_is_noticed() -> None:
    found = listen()
    found.path.rename(found.path.with_name("away"))
    assert found.is_gone()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(found.path))
        assert found.is_gone()
        found.remove()
        assert found.path.exists()  # it is not ours


def test_a_daemon_whose_folder_was_removed_leaves_the_files_of_the_next_one() -> None:
    lost = listen()
    lost.path.parent.rename(lost.path.parent.with_name("away"))
    found = listen()
    names = set(found.path.parent.iterdir())
    lost.remove()
    assert set(found.path.parent.iterdir()) == names
    found.remove()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
@pytest.mark.parametrize("how", ["remove", "replace", "move"])
def test_the_removal_of_a_file_is_noticed_at_once(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    for each in (path, other):
        each.touch()
    ways: dict[str, Callable[[], object]] = {
        "remove": path.unlink,
        "replace": lambda: other.replace(path),
        "move": lambda: path.rename(tmp_path / "new"),
    }
    watch = Watch(path)
    with (tmp_path / "more").open("w") as more:
        others = [more.fileno()]  # it can always be read
        assert not watch.is_due(poll.wait([*watch.filenos(), *others], [], [], 60).readable)
        ways[how]()
        assert watch.is_due(poll.wait([*watch.filenos(), *others], [], [], 60).readable)
        assert not watch.is_due(poll.wait([*watch.filenos(), *others], [], [], 60).readable)
    assert watch.look_s == math.inf
    watch.close()


def test_where_no_file_can_be_watched_it_is_looked_for_each_minute(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "none")
    assert watch.look_s == LOOK_S
    assert watch.filenos() == []
    assert watch.is_due([])
    assert not watch.is_due([0])
