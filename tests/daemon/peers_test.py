from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.daemon import peers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

OTHER = 12345
as_root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root gives files away"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "d"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def listener(folder: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "s"))
        (folder / "s").chmod(0o600)
        listener.listen()
        yield listener


def at(folder: Path) -> str:
    return str(folder / "s")


def test_our_own_socket_is_connected_to(folder: Path, listener: socket.socket) -> None:
    ours = peers.connect(at(folder), 5)
    with contextlib.closing(ours), listener.accept()[0] as theirs:
        assert ours.gettimeout() == 5
        assert peers.refuse_foreign_user(ours) == peers.refuse_foreign_user(theirs) == os.getpid()
        peers.refuse_stranger(theirs)
        theirs.sendall(b"x")
        assert ours.recv(2) == b"x"


def open_to_others(folder: Path) -> None:
    folder.chmod(0o750)


def writable(folder: Path) -> None:
    folder.chmod(0o702)


def swappable(folder: Path) -> None:
    folder.parent.chmod(0o777)


def a_link(folder: Path) -> None:
    folder.rename(folder.with_name("real"))
    folder.symlink_to("real")


def a_file(folder: Path) -> None:
    folder.rename(folder.with_name("real"))
    folder.touch(0o600)


def anothers(folder: Path) -> None:
    os.chown(folder, OTHER, OTHER)


def socket_open_to_others(folder: Path) -> None:
    (folder / "s").chmod(0o666)


def socket_of_another(folder: Path) -> None:
    os.chown(folder / "s", OTHER, OTHER)


def socket_is_a_link(folder: Path) -> None:
    (folder / "s").rename(folder / "real")
    (folder / "s").symlink_to("real")


def socket_is_a_file(folder: Path) -> None:
    (folder / "s").unlink()
    (folder / "s").touch(0o600)


def socket_is_a_pipe(folder: Path) -> None:
    (folder / "s").unlink()
    os.mkfifo(folder / "s", 0o600)


REFUSED: list[tuple[Callable[[Path], None], str]] = [
    (open_to_others, "others may enter"),
    (writable, "others may enter"),
    (swappable, "everybody may write"),
    (a_link, "not a folder"),
    (a_file, "not a folder"),
    (socket_open_to_others, "others may connect"),
    (socket_is_a_link, "not a socket"),
    (socket_is_a_file, "not a socket"),
    (socket_is_a_pipe, "not a socket"),
]


@pytest.mark.parametrize(("change", "why"), REFUSED)
def test_a_place_that_others_could_change_is_not_used(
    folder: Path, listener: socket.socket, change: Callable[[Path], None], why: str
) -> None:
    change(folder)
    with pytest.raises(peers.StrangerError, match=why):
        peers.connect(at(folder), 5)
    assert nobody_came(listener)


@as_root
@pytest.mark.parametrize(
    ("change", "why"),
    [(anothers, "another user owns"), (socket_of_another, "others may connect")],
)
def test_a_place_of_another_user_is_not_used(
    folder: Path, listener: socket.socket, change: Callable[[Path], None], why: str
) -> None:
    change(folder)
    with pytest.raises(peers.StrangerError, match=why):
        peers.connect(at(folder), 5)
    assert nobody_came(listener)


@as_root
def test_a_link_above_that_another_user_made_is_not_followed(
    tmp_path: Path, folder: Path, listener: socket.socket
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    peers.refuse_foreign_folder(str(link / "d"))
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(peers.StrangerError, match="another user made the link"):
        peers.connect(str(link / "d" / "s"), 5)
    assert nobody_came(listener)


def nobody_came(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return True
    return False


def test_nothing_there_is_an_ordinary_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        peers.connect(at(folder), 5)
    with pytest.raises(FileNotFoundError):
        peers.connect(at(folder / "none"), 5)


def test_a_socket_without_a_listener_is_refused(folder: Path, listener: socket.socket) -> None:
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        peers.connect(at(folder), 5)


def test_a_full_backlog_fails_at_once(folder: Path, listener: socket.socket) -> None:
    listener.listen(0)
    held = [peers.connect(at(folder), 5)]
    with pytest.raises((BlockingIOError, ConnectionRefusedError)):
        held.extend(peers.connect(at(folder), 60) for _ in range(1000))
    for connection in held:
        connection.close()


def test_a_socket_that_is_swapped_during_the_connection_is_refused(
    folder: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = peers.refuse_foreign_user

    def swap(connection: socket.socket) -> int:
        (folder / "s").unlink()
        with socket.socket(socket.AF_UNIX) as another:
            another.bind(at(folder))
        (folder / "s").chmod(0o600)
        return checked(connection)

    monkeypatch.setattr(peers, "refuse_foreign_user", swap)
    with pytest.raises(peers.StrangerError, match="replaced"):
        peers.connect(at(folder), 5)


LISTEN_AS = """
import os, socket, sys
path, user = sys.argv[1], int(sys.argv[2])
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chown(path, 0, 0)
os.chmod(path, 0o600)
os.setuid(user)
listener.listen()
print("ready", flush=True)
sys.stdin.read()
"""
CONNECT_AS = """
import os, socket, sys
path, user = sys.argv[1], int(sys.argv[2])
os.chdir(os.path.dirname(path))
connection = socket.socket(socket.AF_UNIX)
os.setuid(user)
connection.connect(os.path.basename(path))
print("ready", flush=True)
sys.stdin.read()
"""


@as_root
def test_a_socket_of_ours_with_another_users_process_behind_it_is_refused(folder: Path) -> None:
    """The worst case: they have got their socket into our folder, and it looks like ours."""
    with other(LISTEN_AS, folder), pytest.raises(peers.StrangerError, match=f"user {OTHER}"):
        peers.connect(at(folder), 5)


@as_root
def test_a_connection_of_another_user_is_refused(folder: Path, listener: socket.socket) -> None:
    """The worst case: the modes are wrong."""
    (folder / "s").chmod(0o666)
    folder.chmod(0o711)
    refused = pytest.raises(peers.StrangerError, match=f"user {OTHER}")
    with other(CONNECT_AS, folder), listener.accept()[0] as theirs, refused:
        peers.refuse_stranger(theirs)


@as_root
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has namespaces")
@pytest.mark.parametrize("kind", ["net", "mount", "pid"])
def test_the_same_user_in_another_namespace_is_refused(
    folder: Path, listener: socket.socket, kind: str
) -> None:
    """It is in a container that shares the home folder: it has other files and other networks."""
    unshare = ("unshare", f"--{kind}", *(["--fork"] if kind == "pid" else []), "--")
    refused = pytest.raises(peers.StrangerError, match="in another namespace")
    with other(CONNECT_AS, folder, *unshare, user=0), listener.accept()[0] as theirs, refused:
        peers.refuse_stranger(theirs)
    assert place_of(*unshare) != place_of() == peers.place()


@as_root
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these rights")
@pytest.mark.parametrize(
    "rights", ["--no-new-privs", "--groups=0,12345", "--bounding-set=-net_admin"]
)
def test_the_same_user_with_other_rights_is_refused(
    folder: Path, listener: socket.socket, rights: str
) -> None:
    """It is in a sandbox, which it must not leave through the daemon."""
    sandbox = ("setpriv", rights)
    refused = pytest.raises(peers.StrangerError, match="other rights")
    with other(CONNECT_AS, folder, *sandbox, user=0), listener.accept()[0] as theirs, refused:
        peers.refuse_stranger(theirs)
    assert place_of(*sandbox) != place_of() == peers.place()


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no taskset")
@pytest.mark.parametrize("before", [["nice"], ["taskset", "--cpu-list", "0"]])
def test_a_slow_command_has_a_daemon_of_its_own(before: list[str]) -> None:
    """Else all connections after `nice rsync` would be slow."""
    if before == ["nice"] or len(os.sched_getaffinity(0)) > 1:
        assert place_of(*before) != place_of()


def place_of(*before: str) -> str:
    """The place of a process that is started with the command `before`."""
    program = "from sm_proxy.daemon import peers; print(peers.place(), end='')"
    return subprocess.check_output([*before, sys.executable, "-c", program], text=True)


@contextlib.contextmanager
def other(program: str, folder: Path, *before: str, user: int = OTHER) -> Iterator[None]:
    """A process of another user that has done its part; it ends with the `with` block."""
    words = [*before, sys.executable, "-c", program, at(folder), str(user)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield


def test_the_credentials_of_macos_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        told = bytes(4) + (501).to_bytes(4, sys.byteorder) + bytes(68)

        def getsockopt(self, *asked: int) -> bytes:
            assert asked == (0, 1, 76)
            return self.told

    connection: Any = Connection()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    assert peers.refuse_foreign_user(connection) == 0
    peers.refuse_stranger(connection)
    monkeypatch.setattr(os, "geteuid", lambda: 502)
    with pytest.raises(peers.StrangerError, match="user 501"):
        peers.refuse_stranger(connection)
    connection.told = b"\1" + connection.told[1:]  # another version of the structure
    with pytest.raises(peers.StrangerError, match="does not tell"):
        peers.refuse_stranger(connection)


def test_a_system_that_tells_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "sunos5")
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(peers.StrangerError, match="does not tell"):
        peers.refuse_stranger(ours)
