"""`daemon status | stop`: what a daemon holds, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from sm_proxy import cli
from sm_proxy.daemon import control, place, wire
from sm_proxy.daemon.status import Connection, KeptSession, Status
from sm_proxy.doctor.check import Context
from sm_proxy.doctor.daemon import healthy
from sm_proxy.errors import SmProxyError
from sm_proxy.local import screen
from sm_proxy.settings import Settings
from tests.daemon.residents import Resident
from tests.waits import await_true

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no daemon")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STATUS = Status(
    pid=0,
    version="1.0",
    since=1_700_000_000,
    idle=600,
    ends_in=None,
    connections=(Connection(0, "sm-\x1b[31mred", 1_700_000_001),),
    sessions=(
        KeptSession(0, "me-0abc", "i-0abc to 10.0.0.5:22", 1_700_000_002, 0, 90.2),
        KeptSession(0, "me-0def", "i-0abc to 10.0.0.6:22", 1_700_000_002, 2, None),
        KeptSession(0, "me-0fed", "i-0abc to 10.0.0.6:22", 1_700_000_003, 0, None),
    ),
)


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder whose name is short enough for a socket in it."""
    folder = Path(f"/tmp/sm-proxy-test-{os.getpid()}-{tmp_path_factory.mktemp('d').name}")
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(folder))
    return folder


class Fake:
    """Something that listens where the daemon would, and answers."""

    def __init__(
        self, path: str, answer: Callable[[str], bytes], first: bytes = wire.READY
    ) -> None:
        self.path = path
        self._first = first
        self.asked: list[str] = []
        self._answer = answer
        self._server = socket.socket(socket.AF_UNIX)
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mask = os.umask(0o177)
        self._server.bind(path)
        os.umask(mask)
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    reader = wire.RequestReader()
                    connection.sendall(self._first)
                    if self._first != wire.READY:
                        continue
                    while (request := reader.receive(connection)) is None:
                        pass
                    self.asked.append(request.kind)
                    connection.sendall(self._answer(request.kind))

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        Path(self.path).unlink(missing_ok=True)


@pytest.fixture
def fake(state: Path) -> Iterator[Callable[..., Fake]]:
    """Starts a daemon that answers as told: at our own socket, or beside it."""
    made: list[Fake] = []

    def start(answer: Callable[[str], bytes], name: str = "", first: bytes = wire.READY) -> Fake:
        own = Path(place.sockets(place.identity())[0])
        made.append(Fake(str(own.with_name(name) if name else own), answer, first))
        return made[-1]

    yield start
    for each in made:
        each.close()
    shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = cli.main(["daemon", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_without_a_daemon_the_next_ssh_starts_one(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "status")
    assert (status, out) == (0, "no daemon runs; the next ssh starts one\n")
    assert run(capsys, "stop")[:2] == (0, "no daemon runs\n")


def test_status_says_that_the_daemon_is_switched_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_DAEMON_IDLE", "0")
    assert "daemon_idle = 0 keeps ssh from starting one" in run(capsys, "status")[1]
    monkeypatch.setattr(screen, "of", lambda _: screen.Screen(columns=40))
    wrapped = run(capsys, "status")[1].splitlines()
    assert len(wrapped) == 3
    assert max(map(len, wrapped)) <= 40


def test_status_shows_connections_and_kept_sessions(
    fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = fake(lambda _: STATUS.to_json())
    status, out, _ = run(capsys, "status")
    assert status == 0
    assert "\x1b" not in out
    assert out.splitlines() == [
        "daemon        0, sm-proxy 1.0, since 2023-11-14T22:13:20Z",
        f"  socket      {daemon.path}",
        "  connection  sm-\N{REPLACEMENT CHARACTER}[31mred, since 2023-11-14T22:13:21Z, process 0",
        "  session     me-0abc: i-0abc to 10.0.0.5:22, since 2023-11-14T22:13:22Z, ends in 90s",
        "  session     me-0def: i-0abc to 10.0.0.6:22, since 2023-11-14T22:13:22Z, 2 connection(s)",
        "  session     me-0fed: i-0abc to 10.0.0.6:22, since 2023-11-14T22:13:23Z, opened ahead",
    ]


@pytest.mark.parametrize("action", ["status", "stop"])
def test_a_daemon_that_others_could_reach_is_not_asked(
    action: str, fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str]
) -> None:
    """ssh does not use it either; `doctor` says the same."""
    daemon = fake(lambda _: STATUS.to_json())
    Path(daemon.path).parent.chmod(0o755)
    status, _, err = run(capsys, action)
    assert status == 1
    assert "bad-permissions: no daemon is used: others may enter " in err
    assert f"Remove {daemon.path}." in err
    with pytest.raises(SmProxyError, match="others may enter"):
        healthy(Context(Settings(), None, cast("Any", None)))


def test_json_has_all_of_it(fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str]) -> None:
    daemon = fake(lambda _: STATUS.to_json())
    (data,) = json.loads(run(capsys, "status", "--json")[1])["data"]["daemons"]
    first, second, _ = data.pop("sessions")
    assert data.pop("connections") == [
        {"pid": 0, "host": "sm-\x1b[31mred", "since": "2023-11-14T22:13:21Z"}
    ]
    assert data == {
        "socket": daemon.path,
        "pid": 0,
        "version": "1.0",
        "since": "2023-11-14T22:13:20Z",
        "idle": 600,
        "ends_in": None,
    }
    assert first["ends_in"] == 90.2
    assert (second["ends_in"], second["streams"]) == (None, 2)


def test_daemons_of_other_versions_are_found(
    fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str]
) -> None:
    fake(lambda _: STATUS.to_json(), "0123456789abcdef.sock")
    assert "sm-proxy 1.0" in run(capsys, "status")[1]


def test_a_daemon_in_another_place_is_not_waited_for(
    fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container that shares the home folder, for example."""
    monkeypatch.setattr(control, "_READY_S", 600)
    fake(lambda _: b"", "0123456789abcdef.sock", first=wire.REFUSED)
    assert run(capsys, "status")[1].startswith("no daemon runs")
    assert run(capsys, "stop")[:2] == (0, "no daemon runs\n")


def test_files_of_a_killed_daemon_are_no_daemon(
    fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str]
) -> None:
    left = fake(lambda _: b"")
    left._server.shutdown(socket.SHUT_RDWR)
    left._server.close()
    lock = Path(left.path).with_suffix(".lock")
    lock.touch(0o600)
    assert run(capsys, "status")[1].startswith("no daemon runs")
    assert lock.exists()
    assert run(capsys, "stop")[:2] == (0, "no daemon runs\n")
    assert not list(lock.parent.iterdir())
    left._server = socket.socket(socket.AF_UNIX)
    left._server.bind(f"{left.path}.unused")
    Path(f"{left.path}.unused").unlink()


def test_stop_waits_until_every_process_has_ended(
    fake: Callable[..., Fake], sleeper: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    told = replace(STATUS, pid=sleeper.pid)

    def answer(kind: str) -> bytes:
        if kind == control.STOP:
            threading.Timer(0.3, sleeper.terminate).start()
        return told.to_json()

    daemon = fake(answer)
    threading.Thread(target=sleeper.wait, daemon=True).start()
    status, out, _ = run(capsys, "stop", "--json")
    assert status == 0
    assert json.loads(out)["data"] == {"stopped": [sleeper.pid]}
    assert sleeper.wait(60) == -signal.SIGTERM
    assert daemon.asked == ["status", "stop"]


def test_a_process_that_does_not_end_is_named(
    fake: Callable[..., Fake],
    sleeper: subprocess.Popen[bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "_END_S", 0.0)
    told = replace(STATUS, connections=(Connection(sleeper.pid, "sm-job", 0),))
    fake(lambda _: told.to_json())
    status, _, err = run(capsys, "stop")
    assert status == 1
    assert err.startswith("sm-proxy: busy: the daemon's processes have not ended in 0 s: ")
    assert f"kill -9 {sleeper.pid}" in err


def test_a_daemon_that_does_not_answer_is_named(
    fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_ANSWER_S", 0.1)
    goes_on = threading.Event()

    def answer(_: str) -> bytes:
        goes_on.wait(60)
        return b""

    daemon = fake(answer)
    status, _, err = run(capsys, "status")
    goes_on.set()
    await_true(lambda: len(daemon.asked) >= 1, 60)
    assert status == 1
    assert err.startswith(f"sm-proxy: busy: the daemon at {daemon.path} does not answer")
    if sys.platform == "linux":
        assert f"kill -9 {os.getpid()}" in err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not name the process")
def test_a_daemon_that_is_stopped_goes_on_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Resident(tmp_path)
    stopped.path.chmod(0o600)
    monkeypatch.setattr(control, "sockets", lambda: [str(stopped.path)])
    monkeypatch.setattr(control, "_ANSWER_S", 0.1)
    kill = os.kill

    def patient(pid: int, number: int) -> None:
        monkeypatch.setattr(control, "_ANSWER_S", 60)
        kill(pid, number)

    kill(stopped.process.pid, signal.SIGSTOP)
    assert run(capsys, "status")[0] == 1
    monkeypatch.setattr(os, "kill", patient)
    monkeypatch.setattr(control, "_begun", lambda _: "")  # its parent reaps it
    status, out, err = run(capsys, "stop")
    assert (status, out) == (0, f"daemon {stopped.process.pid} has ended\n"), err
    assert stopped.process.wait(60) == 0


def test_a_daemon_with_a_full_backlog_blocks_no_command(
    fake: Callable[..., Fake], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_ANSWER_S", 0.1)
    goes_on = threading.Event()
    daemon = fake(lambda _: str(goes_on.wait(60)).encode())
    daemon._server.listen(0)
    with contextlib.ExitStack() as stack:
        for _ in range(4):  # one is accepted; macOS lets more wait than it is told
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.setblocking(False)
            connection.connect_ex(daemon.path)
        status, _, err = run(capsys, "status")
    goes_on.set()
    assert status == 1
    assert err.startswith(f"sm-proxy: busy: the daemon at {daemon.path} does not answer")


@pytest.mark.parametrize("word", ["nonsense", "--help"])
def test_only_the_actions_that_people_type_are_shown(
    word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["daemon", word])
    shown = "".join(capfd.readouterr())
    assert "stop" in shown
    assert "spare" not in shown
